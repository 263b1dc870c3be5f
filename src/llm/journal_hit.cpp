#include "journal_hit.hpp"

#include <fmt/format.h>
#include <utility>

namespace tg::llm {

std::optional<Reply> kept_reply(const AnswerJournal& journal, const JournalHit& hit) {
    auto record = journal.find(hit.key).value();
    if (record.result != AnswerRecord::Result::answered)
        return Reply{Reply::Status::failed, std::move(record.text), fmt::format("{}: {}", record.kind, record.detail),
                     true};
    if (hit.check && !hit.check(record.text).empty()) return std::nullopt;
    return Reply{Reply::Status::answered, std::move(record.text), {}, true};
}

}  // namespace tg::llm
