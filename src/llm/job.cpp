#include "job.hpp"

namespace tg::llm {

AnswerRecord record_of(const Job& job, const Endpoint& endpoint, const Outcome& outcome, AnswerRecord::Result result) {
    const auto& request = job.request;
    AnswerRecord record{result, request.stage, request.item, request.endpoint, endpoint.settings().model, job.tries};
    if (outcome.paid) {  // where the server does not say, the estimate stands
        record.tokens_in = outcome.tokens_in >= 0 ? outcome.tokens_in : job.estimate.in;
        record.tokens_out = outcome.tokens_out >= 0 ? outcome.tokens_out : endpoint.expected_out(job.estimate.out);
    }
    record.usd = charge_usd(endpoint.settings(), {record.tokens_in, record.tokens_out}, outcome.tokens_cached);
    if (result != AnswerRecord::Result::answered) {
        record.kind = outcome.kind;
        record.detail = outcome.detail;
        record.status = outcome.code;
        record.request_id = outcome.request_id;
    }
    record.text = outcome.text;
    return record;
}

}  // namespace tg::llm
