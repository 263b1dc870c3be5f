#include "engine_loop.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <random>

#include "request_key.hpp"
#include "taskgalaxy/core/error.hpp"
#include "taskgalaxy/core/log.hpp"
#include "taskgalaxy/core/stop.hpp"
#include "taskgalaxy/core/text.hpp"

namespace tg::llm {
namespace {

constexpr double longest_nap_s = 0.05;  // how late a stop request may be seen
constexpr double publish_s = 0.25;
constexpr double least_wait_s = 0.05;  // after a refusal by a limit

}  // namespace

EngineLoop::EngineLoop(const std::map<std::string, EndpointSettings>& endpoints, const ApiSettings& api,
                       const std::filesystem::path& journal_folder, int rank, int ranks,
                       std::unique_ptr<Transport> transport)
    : endpoints_(endpoints),
      api_(api),
      transport_(std::move(transport)),
      inbox_([this] { transport_->wake(); }),
      journal_(journal_folder, rank, std::chrono::milliseconds(api.journal_group_ms), !api.retry_failed),
      ledger_(endpoints_, api.budget_usd, ranks, journal_.paid_before()),
      lines_(endpoints_, api_, *transport_, rank, ranks, clock_.now()),
      jitter_(std::random_device{}()),
      shutdown_(api.drain_s),
      preparer_(endpoints_, *transport_, inbox_, api.encode_threads) {
    publish(true);
}

// ---- requests coming in

void EngineLoop::submit(Request&& request, AnswerCheck&& check, Done&& done) {
    lines_.of(request.endpoint, request.stage);  // there is one
    const auto key = request_key(endpoints_.at(request.endpoint), request);
    ledger_.asked(ledger_.account(request.endpoint, request.stage));
    if (jobs_.join(key, done)) return;
    if (journal_.has(key)) hits_.push_back({std::move(request), std::move(check), std::move(done), key});
    else enlist(std::move(request), std::move(check), std::move(done), key);
}

Digest EngineLoop::key(const Request& request) const {
    const auto settings = endpoints_.find(request.endpoint);
    if (settings == endpoints_.end()) throw UsageError(fmt::format("there is no endpoint '{}'", request.endpoint));
    return request_key(settings->second, request);
}

void EngineLoop::enlist(Request&& request, AnswerCheck&& check, Done&& done, const Digest& key) {
    auto& line = lines_.of(request.endpoint, request.stage);
    const auto account = ledger_.account(request.endpoint, request.stage);
    Job* job = jobs_.open(std::move(request), std::move(check), std::move(done), key);
    job->line = &line;
    job->account = account;
    if (shutdown_.under_way()) jobs_.leave(job);
    else line.queue.add(job);
}

// False once `feed` has no more.
bool EngineLoop::take_from(const std::function<bool()>& feed) {
    const auto wanted = static_cast<std::size_t>(api_.queued_items);
    bool more = true;
    while (more && lines_.queued() < wanted && hits_.size() < wanted) {
        const auto before = jobs_.opened() + hits_.size();
        guarded([&] { more = feed(); });
        if (jobs_.opened() + hits_.size() == before) break;  // nothing at the moment
    }
    return more;
}

void EngineLoop::answer_hits() {
    for (auto left = hits_.size(); left > 0 && !hits_.empty(); --left) {
        auto hit = std::move(hits_.front());
        hits_.pop_front();
        guarded([&] { answer_from_journal(std::move(hit)); });
    }
}

void EngineLoop::answer_from_journal(JournalHit&& hit) {
    if (auto reply = kept_reply(journal_, hit)) {
        ledger_.from_journal(ledger_.account(hit.request.endpoint, hit.request.stage));
        hit.done(*std::move(reply));
    } else if (!jobs_.join(hit.key, hit.done)) {
        enlist(std::move(hit.request), std::move(hit.check), std::move(hit.done), hit.key);
    }
}

// ---- on the way out

double EngineLoop::send_all() {
    double next = never;
    for (auto& [name, line] : lines_) {
        if (shutdown_.under_way()) break;
        guarded([&] { next = std::min(next, send(line)); });
    }
    return next;
}

// Sends what may go; returns when the next may.
double EngineLoop::send(Line& line) {
    line.queue.advance(clock_.now());
    prepare(line);
    while (Job* job = line.queue.first_ready()) {
        const double now = clock_.now();
        if (const double at = line.endpoint.ready_at(now); at > now) return at;
        if (!affordable(*job)) return never;
        line.queue.take();
        guarded_for(job, [&] { dispatch(job, now); });
        if (!line.queue.first_ready()) prepare(line);
    }
    return line.queue.next_later();
}

// Else stops, unless what is in flight may turn out cheaper than was reserved for it.
bool EngineLoop::affordable(Job& job) {
    const auto& endpoint = job.line->endpoint;
    job.usd_reserved = std::max(dollars(endpoint.settings(), endpoint.most(job.estimate)), 0.0);
    if (ledger_.affords(job.usd_reserved)) return true;
    if (transport_->in_flight() > 0) return false;
    log::info(
        "${:.4f} of this rank's share of api.budget_usd are left, and the next request of endpoint {} may cost ${:.4f}",
        ledger_.usd_left(), job.request.endpoint, job.usd_reserved);
    stop(Shutdown::Reason::budget);
    return false;
}

void EngineLoop::dispatch(Job* job, double now) {
    ledger_.reserve(job->usd_reserved);
    ++job->tries;
    job->sending = job->line->endpoint.begin(now, job->estimate);
    ledger_.sent(job->account);
    transport_->start(job, job->request.endpoint, job->sending.replica, job->message);
}

void EngineLoop::prepare(Line& line) {
    while (Job* job = line.queue.prepare_next(line.endpoint.worth_preparing()))
        if (preparer_.prepare(job)) take_prepared(job);
}

// ---- what came back

void EngineLoop::take_inbox() {
    const auto [prepared, durable] = inbox_.take();
    writing_ -= durable.size();
    for (Job* job : durable) jobs_.settle(job);
    for (Job* job : prepared) take_prepared(job);
}

void EngineLoop::take_prepared(Job* job) {
    auto& queue = job->line->queue;
    if (!shutdown_.under_way() && job->problem.empty()) return queue.prepared(job);
    queue.unprepared();
    if (shutdown_.under_way()) return jobs_.leave(job);
    Outcome outcome;
    outcome.kind = job->request.image ? "picture" : "request", outcome.detail = excerpt(job->problem, longest_detail);
    guarded_for(job, [&] { keep(job, outcome, AnswerRecord::Result::failed); });
}

void EngineLoop::came_back(Job* job, Outcome outcome) {
    auto& endpoint = job->line->endpoint;
    const double now = clock_.now();
    endpoint.end(job->sending, outcome, job->estimate, now);
    ledger_.release(job->usd_reserved);
    give_up_if_hopeless(endpoint);
    switch (outcome.fate) {
        case Fate::answered: return take_answer(job, outcome);
        case Fate::ask_again: return ask_again(job, outcome);
        case Fate::give_up: return keep(job, outcome, AnswerRecord::Result::failed);
        case Fate::wait:
            ledger_.rate_limited(job->account);
            ++job->refusals;
            return go_later(job, now + std::max(outcome.wait_s.value_or(0), least_wait_s + backoff(job->refusals)));
        case Fate::retry: return retry(job, outcome, now);
        case Fate::stop_server:
        case Fate::stop_endpoint: return go_later(job, now);
    }
}

void EngineLoop::take_answer(Job* job, Outcome& outcome) {
    auto unfit = job->check ? job->check(outcome.text) : std::string();
    if (unfit.empty()) return keep(job, outcome, AnswerRecord::Result::answered);
    if (outcome.cut_off) outcome.kind = "cut off", outcome.detail = "max_tokens was reached: " + unfit;
    else outcome.kind = "not as asked", outcome.detail = std::move(unfit);
    outcome.detail = excerpt(outcome.detail, longest_detail);
    if (outcome.cut_off) keep(job, outcome, AnswerRecord::Result::failed);
    else ask_again(job, outcome);
}

void EngineLoop::retry(Job* job, const Outcome& outcome, double now) {
    // A server that is away is no fault of this request: only single failures burn its attempts.
    if (!job->line->endpoint.down() && !outcome.unreached) ++job->failures;
    if (job->failures >= api_.attempts) return keep(job, outcome, AnswerRecord::Result::failed);
    ledger_.retried(job->account);
    go_later(job, now + backoff(std::max(job->failures, 1)));
}

void EngineLoop::ask_again(Job* job, const Outcome& outcome) {
    if (job->askings >= api_.ask_again) return keep(job, outcome, AnswerRecord::Result::failed);
    journal_.append(job->key, booked(*job, outcome, AnswerRecord::Result::unusable), {});
    if (shutdown_.under_way()) return jobs_.leave(job);
    ++job->askings;
    ledger_.asked_again(job->account);
    job->message.reset();
    job->line->queue.add(job);  // prepared anew: its seed changes
}

void EngineLoop::go_later(Job* job, double at) {
    if (shutdown_.under_way()) jobs_.leave(job);
    else job->line->queue.add_later(job, at);
}

double EngineLoop::backoff(int failures) {
    return backoff_s(api_.backoff_first_s, api_.backoff_longest_s, failures, jitter_.unit());
}

// ---- ends

AnswerRecord EngineLoop::booked(const Job& job, const Outcome& outcome, AnswerRecord::Result result) {
    auto record = record_of(job, job.line->endpoint, outcome, result);
    ledger_.paid(job.account, record);
    return record;
}

// Journals an end; `done` is called once it is on disk.
void EngineLoop::keep(Job* job, const Outcome& outcome, AnswerRecord::Result result) {
    const auto record = booked(*job, outcome, result);
    if (result == AnswerRecord::Result::answered) {
        job->reply = {Reply::Status::answered, record.text, {}, false};
    } else {
        job->reply = {Reply::Status::failed, record.text, fmt::format("{}: {}", record.kind, record.detail), false};
        ledger_.tell_failure(record);
    }
    job->message.reset();
    journal_.append(job->key, record, [this, job] { inbox_.put_durable(job); });
    ++writing_;
}

void EngineLoop::call_done() {
    while (const auto job = jobs_.take_settled()) {
        const auto status = job->reply.status;
        ledger_.ended(job->account, status, job->done.size(), job->reply.failure);
        if (status != Reply::Status::stopped) {
            job->line->endpoint.ended(status == Reply::Status::failed ? job->reply.failure : std::string());
            give_up_if_hopeless(job->line->endpoint);
        }
        for (std::size_t i = 0; i + 1 < job->done.size(); ++i) guarded([&] { job->done[i](job->reply); });
        guarded([&] { job->done.back()(std::move(job->reply)); });
    }
}

template <class Work> void EngineLoop::guarded(Work&& work) {
    try {
        work();
    } catch (const StorageError&) {
        journal_broken_ = true;
        stop(Shutdown::Reason::failure, std::current_exception());
    } catch (...) {  // run() throws it after the drain
        stop(Shutdown::Reason::failure, std::current_exception());
    }
}

// As guarded, for work that moves `job` on: if it fails before that, the job is left for the next run.
template <class Work> void EngineLoop::guarded_for(Job* job, Work&& work) {
    guarded([&] {
        try {
            work();
        } catch (...) {  // thrown on
            jobs_.leave(job);
            throw;
        }
    });
}

void EngineLoop::give_up_if_hopeless(const Endpoint& endpoint) {
    if (const auto& reason = endpoint.stop_line())
        stop(Shutdown::Reason::failure, std::make_exception_ptr(EndpointError(*reason)));
}

void EngineLoop::stop(Shutdown::Reason reason, std::exception_ptr failure) {
    if (!shutdown_.begin(reason, clock_.now(), std::move(failure))) return;
    for (Job* job : lines_.clear()) jobs_.leave(job);
    if (transport_->in_flight() > 0)
        log::info("asking stops; {} answers in flight are waited for, at most {}", transport_->in_flight(),
                  duration_text(api_.drain_s));
}

RunEnd EngineLoop::run(const std::function<bool()>& feed) {
    bool more = static_cast<bool>(feed);
    double next = never;
    do {
        take_inbox();
        call_done();
        if (stop_requested()) stop(Shutdown::Reason::request);
        more = more && !shutdown_.under_way() && take_from(feed);
        answer_hits();
        next = send_all();
        publish();
    } while (jobs_.any_settled() || !hits_.empty() || wait_for_more(more, next));
    publish(true);
    return shutdown_.end();
}

// Until something comes back or may be sent. False once nothing is queued, in flight or being written.
bool EngineLoop::wait_for_more(bool more, double next) {
    if (journal_broken_) {  // nothing can be kept any more
        drop_in_flight();
        abandon_unwritten();
        if (jobs_.any_settled()) return true;
    }
    const auto in_flight = transport_->in_flight();
    if (!more && lines_.queued() == 0 && in_flight == 0) {
        if (writing_ == 0) return false;
        guarded([&] { journal_.commit(); });
        return true;
    }
    if (in_flight > 0 && shutdown_.drained_long_enough(clock_.now())) {
        log::warn("{} answers did not come within {} and will be asked again by the next run", in_flight,
                  duration_text(api_.drain_s));
        drop_in_flight();
        return true;
    }
    for (auto& [job, outcome] : transport_->wait(std::clamp(next - clock_.now(), 0.0, longest_nap_s)))
        guarded_for(job, [&, job = job] { came_back(job, std::move(outcome)); });
    return true;
}

void EngineLoop::drop_in_flight() {
    for (Job* job : transport_->cancel_all()) {
        job->line->endpoint.cancelled(job->sending);
        ledger_.release(job->usd_reserved);
        jobs_.leave(job);
    }
}

// The journal's thread will call no more: what waited for it is left for the next run.
void EngineLoop::abandon_unwritten() {
    take_inbox();
    if (writing_ == 0 || lines_.preparing() > 0) return;  // the encoders still hold requests: those end first
    jobs_.leave_unsettled();
    writing_ = 0;
}

void EngineLoop::publish(bool at_once) {
    const double now = clock_.now();
    if (!at_once && now - published_ < publish_s) return;
    published_ = now;
    ledger_.publish(lines_.queued(), lines_.states(now));
}

}  // namespace tg::llm
