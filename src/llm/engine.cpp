#include "taskgalaxy/llm/chat.hpp"

#include <algorithm>
#include <deque>
#include <exception>
#include <fmt/format.h>
#include <limits>
#include <mutex>
#include <queue>
#include <random>
#include <sys/resource.h>
#include <unordered_map>
#include <vector>

#include "answer_journal.hpp"
#include "endpoint.hpp"
#include "request_body.hpp"
#include "steady_wall_clock.hpp"
#include "taskgalaxy/core/error.hpp"
#include "taskgalaxy/core/log.hpp"
#include "taskgalaxy/core/random.hpp"
#include "taskgalaxy/core/stop.hpp"
#include "taskgalaxy/core/text.hpp"
#include "taskgalaxy/core/threads.hpp"

namespace tg::llm {
namespace {

constexpr double longest_nap_s = 0.05;  // how late a stop request may be seen
constexpr double publish_s = 0.25;
constexpr int failures_told = 5;  // of a kind, line by line; then only every tenfold

struct Line;

// One request on its way: waiting -> preparing -> ready -> in flight -> (later -> ready)* -> being written -> done.
struct Job {
    Request request;
    AnswerCheck check;
    std::vector<std::function<void(Reply)>> done;  // more than one: the same request was given again meanwhile
    Digest key;
    std::uint64_t order = 0;
    Line* line = nullptr;
    EndpointFigures* figures = nullptr;
    std::string body;
    std::string problem;  // why preparing failed
    TokenEstimate estimate{};
    Endpoint::Sending sending{};
    double go_at = 0;  // while later
    double usd_reserved = 0;
    int failures = 0, refusals = 0, askings = 0, tries = 0;
    Reply reply{};
};

struct LowerPriority {
    bool operator()(const Job* a, const Job* b) const {
        return std::pair(a->request.priority, b->order) < std::pair(b->request.priority, a->order);
    }
};
struct LaterFirst {
    bool operator()(const Job* a, const Job* b) const { return a->go_at > b->go_at; }
};

// One endpoint and the requests that wait for it.
struct Line {
    Endpoint endpoint;
    std::priority_queue<Job*, std::vector<Job*>, LowerPriority> waiting, ready;
    std::priority_queue<Job*, std::vector<Job*>, LaterFirst> later;
    std::size_t preparing = 0;
};

double usd_or_zero(double usd) { return std::max(usd, 0.0); }

}  // namespace

struct Engine::Impl {
    // What other threads hand over to the loop.
    struct Inbox {
        std::mutex mutex;
        std::vector<Job*> prepared, durable;
    };
    // A request that the journal answers: read only when its turn comes, so that millions cost no memory.
    struct Hit {
        Request request;
        AnswerCheck check;
        std::function<void(Reply)> done;
        Digest key;
    };

    std::map<std::string, EndpointSettings> settings;
    ApiSettings api;
    int ranks;
    SteadyWallClock clock;
    std::map<std::string, Line> lines;
    std::unordered_map<Digest, std::unique_ptr<Job>, DigestHash> jobs;
    std::deque<Hit> hits;
    std::deque<Job*> settled;  // replied, `done` still to be called
    Inbox inbox;
    Transfers transfers;
    AnswerJournal journal;
    ThreadPool encoders;  // last: its threads end before what they write to

    std::uint64_t next_order = 0;
    RandomStream jitter{std::random_device{}()};
    std::size_t queued = 0;                                  // waiting, preparing, ready or later
    std::size_t writing = 0;                                 // answered, not yet durable
    double usd_budget = 0, usd_spent = 0, usd_reserved = 0;  // this rank's

    enum class Stopping { no, request, budget, failure } stopping = Stopping::no;
    double drain_until = 0;
    std::exception_ptr failure;
    bool journal_broken = false;

    mutable std::mutex figures_mutex;
    EngineFigures shown;
    double published = 0;
    std::map<std::string, std::uint64_t> told;

    Impl(const std::map<std::string, EndpointSettings>& endpoint_settings, const ApiSettings& api_settings,
         const std::filesystem::path& folder, int rank, int num_ranks)
        : settings(endpoint_settings),
          api(api_settings),
          ranks(num_ranks),
          transfers(Transfers::Options{api.ca_bundle, api.http2}),
          journal(folder, rank, std::chrono::milliseconds(api.journal_group_ms), !api.retry_failed),
          encoders(static_cast<std::size_t>(api.encode_threads)) {
        bool any_key = false;
        for (auto& [name, s] : settings) {
            s.check(name);
            image_tokens(s.image_tokens, s.image_detail, 1, 1);  // an unknown rule is told now
            if (api.budget_usd > 0 && (s.price_in < 0 || s.price_out < 0))
                throw UsageError(
                    fmt::format("[endpoint.{}]: api.budget_usd is set, but not what this endpoint costs", name),
                    "give price_in and price_out (0 where it is free)");
            any_key |= !s.api_key_env.empty() || !s.api_key_file.empty();
            lines.emplace(name, Line{Endpoint(name, s, api, rank, num_ranks, clock.now()), {}, {}, {}});
        }
        if (any_key) {  // a core file would hold the keys
            rlimit none{};
            getrlimit(RLIMIT_CORE, &none);
            none.rlim_cur = 0;
            setrlimit(RLIMIT_CORE, &none);
        }
        double before = 0;
        for (const auto& [name_and_stage, paid] : journal.paid_before()) {
            auto& f = shown.by_endpoint_and_stage[name_and_stage];
            f.tokens_in_before = paid.tokens_in;
            f.tokens_out_before = paid.tokens_out;
            f.usd_before = paid.usd;
            f.price_known = paid.price_known;
            shown.price_known &= paid.price_known;
            before += paid.usd;
        }
        shown.usd = before;
        usd_budget = (api.budget_usd - before) / num_ranks;
        publish(true);
    }

    // ---- figures

    template <class Change> void count(const Job& job, Change change) {
        const std::lock_guard lock(figures_mutex);
        change(*job.figures);
    }

    EndpointFigures* figures_of(const Request& request) {
        const std::lock_guard lock(figures_mutex);
        auto [it, fresh] = shown.by_endpoint_and_stage.try_emplace({request.endpoint, request.stage});
        const auto& s = settings.at(request.endpoint);
        const bool priced = s.price_in >= 0 && s.price_out >= 0;
        it->second.price_known = priced && (fresh || it->second.price_known);
        shown.price_known &= it->second.price_known;
        return &it->second;
    }

    void publish(bool now_at_once = false) {
        const double now = clock.now();
        if (!now_at_once && now - published < publish_s) return;
        published = now;
        const std::lock_guard lock(figures_mutex);
        shown.queued = queued;
        for (const auto& [name, line] : lines) shown.endpoints[name] = line.endpoint.state(now);
    }

    // ---- requests coming in

    void submit(Request&& request, AnswerCheck&& check, std::function<void(Reply)>&& done) {
        const auto line = lines.find(request.endpoint);
        if (line == lines.end()) {
            std::vector<std::string> names;
            for (const auto& [name, unused] : lines) names.push_back(name);
            throw UsageError(fmt::format("stage {}: there is no endpoint '{}'", request.stage, request.endpoint),
                             names.empty() ? "add its [endpoint.NAME] section" : "known are " + join(names, ", "));
        }
        const auto key = request_key(settings.at(request.endpoint), request);
        auto* figures = figures_of(request);
        {
            const std::lock_guard lock(figures_mutex);
            ++figures->asked;
        }
        if (const auto same = jobs.find(key); same != jobs.end()) {
            same->second->done.push_back(std::move(done));
            return;
        }
        if (journal.has(key)) {
            hits.push_back({std::move(request), std::move(check), std::move(done), key});
            return;
        }
        enlist(std::move(request), std::move(check), std::move(done), key);
    }

    void enlist(Request&& request, AnswerCheck&& check, std::function<void(Reply)>&& done, const Digest& key) {
        auto job = std::make_unique<Job>();
        job->line = &lines.at(request.endpoint);
        job->figures = figures_of(request);
        job->request = std::move(request);
        job->check = std::move(check);
        job->done.push_back(std::move(done));
        job->key = key;
        job->order = next_order++;
        Job* raw = job.get();
        jobs.emplace(key, std::move(job));
        if (stopping != Stopping::no) return settle(raw, {Reply::Status::stopped, {}, {}, false});
        ++queued;
        raw->line->waiting.push(raw);
    }

    void answer_from_journal(Hit&& hit) {
        auto record = journal.find(hit.key);
        const bool answered = record->outcome == AnswerRecord::Outcome::answered;
        // An answer that today's grammar refuses was kept by yesterday's: it is asked anew.
        if (answered && hit.check && !hit.check(record->text).empty()) {
            if (const auto same = jobs.find(hit.key); same != jobs.end())
                same->second->done.push_back(std::move(hit.done));
            else enlist(std::move(hit.request), std::move(hit.check), std::move(hit.done), hit.key);
            return;
        }
        {
            auto* figures = figures_of(hit.request);
            const std::lock_guard lock(figures_mutex);
            ++figures->from_journal;
        }
        Reply reply{answered ? Reply::Status::answered : Reply::Status::failed, std::move(record->text), {}, true};
        if (!answered) reply.failure = fmt::format("{}: {}", record->kind, record->detail);
        hit.done(std::move(reply));
    }

    // ---- on the way out

    void prepare(Line& line) {
        while (!line.waiting.empty() && line.preparing + line.ready.size() < line.endpoint.worth_preparing()) {
            Job* job = line.waiting.top();
            line.waiting.pop();
            if (!job->request.image) {
                job->estimate = estimate(line.endpoint.settings(), job->request, nullptr);
                job->body = request_body(line.endpoint.settings(), job->request, nullptr, job->askings);
                line.ready.push(job);
                continue;
            }
            ++line.preparing;
            encoders.submit([this, job, &endpoint = line.endpoint.settings()] {
                try {
                    const auto image = job->request.image();
                    if (!image) throw InputError("there is no picture");
                    job->estimate = estimate(endpoint, job->request, image.get());
                    job->body = request_body(endpoint, job->request, image.get(), job->askings);
                } catch (const std::exception& e) {
                    job->problem = e.what();
                }
                hand_over(&Inbox::prepared, job);
            });
        }
    }

    // From other threads.
    void hand_over(std::vector<Job*> Inbox::*list, Job* job) {
        const std::lock_guard lock(inbox.mutex);
        const bool first = inbox.prepared.empty() && inbox.durable.empty();
        (inbox.*list).push_back(job);
        if (first) transfers.wake();
    }

    // Sends what may go; returns when the next may.
    double send(Line& line) {
        double now = clock.now();
        while (!line.later.empty() && line.later.top()->go_at <= now) {
            line.ready.push(line.later.top());
            line.later.pop();
        }
        prepare(line);
        while (!line.ready.empty()) {
            now = clock.now();
            if (const double at = line.endpoint.ready_at(now); at > now) return at;
            Job* job = line.ready.top();
            const auto& s = line.endpoint.settings();
            job->usd_reserved = usd_or_zero(dollars(s, line.endpoint.most(job->estimate)));
            if (api.budget_usd > 0 && usd_spent + usd_reserved + job->usd_reserved > usd_budget) {
                if (transfers.in_flight() > 0)
                    return std::numeric_limits<double>::infinity();  // what is in flight may turn out cheaper
                log::info(
                    "${:.4f} of this rank's share of api.budget_usd are left, and the next request of endpoint {} may "
                    "cost ${:.4f}",
                    usd_budget - usd_spent, job->request.endpoint, job->usd_reserved);
                stop(Stopping::budget);
                return std::numeric_limits<double>::infinity();
            }
            line.ready.pop();
            --queued;
            usd_reserved += job->usd_reserved;
            ++job->tries;
            job->sending = line.endpoint.begin(now, job->estimate);
            count(*job, [](EndpointFigures& f) { ++f.sent; });
            transfers.start(line.endpoint.route(job->sending.replica), std::move(job->body), job);
            if (line.ready.empty()) prepare(line);
        }
        return line.later.empty() ? std::numeric_limits<double>::infinity() : line.later.top()->go_at;
    }

    // ---- what came back

    void came_back(Transfers::Finished&& finished) {
        Job* job = static_cast<Job*>(finished.tag);
        Line& line = *job->line;
        const double now = clock.now();
        auto verdict = judge(finished.outcome, now);
        line.endpoint.end(job->sending, finished.outcome, verdict, job->estimate, now);
        usd_reserved -= job->usd_reserved;
        if (const auto& reason = line.endpoint.stop_line()) stop_with(EndpointError(*reason));

        switch (verdict.fate) {
            case Fate::answered: {
                auto unfit = job->check ? job->check(verdict.text) : std::string();
                if (unfit.empty()) return keep(job, verdict, finished.outcome, AnswerRecord::Outcome::answered);
                if (verdict.cut_off) verdict.kind = "cut off", verdict.detail = "max_tokens was reached: " + unfit;
                else verdict.kind = "not as asked", verdict.detail = std::move(unfit);
                verdict.detail = excerpt(verdict.detail, 300);
                if (verdict.cut_off) return keep(job, verdict, finished.outcome, AnswerRecord::Outcome::failed);
                return ask_again(job, verdict, finished.outcome);
            }
            case Fate::ask_again: return ask_again(job, verdict, finished.outcome);
            case Fate::give_up: return keep(job, verdict, finished.outcome, AnswerRecord::Outcome::failed);
            case Fate::wait:
                count(*job, [](EndpointFigures& f) { ++f.rate_limited; });
                ++job->refusals;
                return go_later(job, std::move(finished.body),
                                now + std::max(verdict.wait_s.value_or(0),
                                               0.05 + backoff_s(api.backoff_first_s, api.backoff_longest_s,
                                                                job->refusals, jitter.unit())));
            case Fate::retry:
                // A server that is away is no fault of this request: only single failures burn its attempts.
                if (!line.endpoint.down() && verdict.kind != "no connection") ++job->failures;
                if (job->failures >= api.attempts)
                    return keep(job, verdict, finished.outcome, AnswerRecord::Outcome::failed);
                count(*job, [](EndpointFigures& f) { ++f.retries; });
                return go_later(job, std::move(finished.body),
                                now + backoff_s(api.backoff_first_s, api.backoff_longest_s, std::max(job->failures, 1),
                                                jitter.unit()));
            case Fate::stop_url:
            case Fate::stop_endpoint: return go_later(job, std::move(finished.body), now);
        }
    }

    void go_later(Job* job, std::string&& body, double at) {
        if (stopping != Stopping::no) return settle(job, {Reply::Status::stopped, {}, {}, false});
        job->body = std::move(body);
        job->go_at = at;
        ++queued;
        job->line->later.push(job);
    }

    // The cost of what came back is counted whether it can be used or not.
    AnswerRecord record_of(Job* job, const Verdict& verdict, const HttpOutcome& outcome, AnswerRecord::Outcome what) {
        const auto& s = job->line->endpoint.settings();
        AnswerRecord record{what, job->request.stage, job->request.item, job->request.endpoint, s.model, job->tries};
        const bool paid = outcome.problem == 0 && outcome.status >= 200 && outcome.status < 300;
        if (paid) {  // where the server does not say, the estimate stands
            record.tokens_in = verdict.tokens_in >= 0 ? verdict.tokens_in : job->estimate.in;
            record.tokens_out =
                verdict.tokens_out >= 0 ? verdict.tokens_out : job->line->endpoint.expected_out(job->estimate.out);
        }
        const auto cached = s.price_cached_in >= 0 ? std::min(verdict.tokens_cached, record.tokens_in) : 0;
        if (const double usd = dollars(s, {record.tokens_in - cached, record.tokens_out}); usd >= 0)
            record.usd = usd + static_cast<double>(cached) * s.price_cached_in * 1e-6 * (cached > 0);
        if (what != AnswerRecord::Outcome::answered) {
            record.kind = verdict.kind;
            record.detail = verdict.detail;
            record.status = outcome.status;
            record.request_id = outcome.header("x-request-id");
        }
        record.text = verdict.text;
        usd_spent += record.usd.value_or(0);
        count(*job, [&](EndpointFigures& f) {
            f.tokens_in += record.tokens_in;
            f.tokens_out += record.tokens_out;
            f.usd += record.usd.value_or(0);
            shown.usd += record.usd.value_or(0);
        });
        return record;
    }

    void ask_again(Job* job, const Verdict& verdict, const HttpOutcome& outcome) {
        if (job->askings >= api.ask_again) return keep(job, verdict, outcome, AnswerRecord::Outcome::failed);
        journal.append(job->key, record_of(job, verdict, outcome, AnswerRecord::Outcome::unusable), {});
        if (stopping != Stopping::no) return settle(job, {Reply::Status::stopped, {}, {}, false});
        ++job->askings;
        count(*job, [](EndpointFigures& f) { ++f.asked_again; });
        ++queued;
        job->line->waiting.push(job);  // prepared anew: its seed changes
    }

    // Journals an end; `done` is called once it is on disk.
    void keep(Job* job, const Verdict& verdict, const HttpOutcome& outcome, AnswerRecord::Outcome what) {
        auto record = record_of(job, verdict, outcome, what);
        if (what == AnswerRecord::Outcome::answered) {
            job->reply = {Reply::Status::answered, record.text, {}, false};
        } else {
            job->reply = {Reply::Status::failed, record.text, fmt::format("{}: {}", record.kind, record.detail), false};
            tell_failure(*job, record);
        }
        write_down(job, record);
    }

    void write_down(Job* job, const AnswerRecord& record) {
        journal.append(job->key, record, [this, job] { hand_over(&Inbox::durable, job); });
        ++writing;
    }

    void tell_failure(const Job& job, const AnswerRecord& record) {
        const auto times = ++told[record.endpoint + " " + record.kind];
        auto tenfold = times;
        while (tenfold % 10 == 0) tenfold /= 10;
        if (times > failures_told && tenfold != 1) return;
        log::warn("{} {} at {}: given up after {} {}: {}: {}{}{}", record.stage, record.item, record.endpoint,
                  job.tries, job.tries == 1 ? "try" : "tries", record.kind, record.detail,
                  record.request_id.empty() ? "" : " [request " + record.request_id + "]",
                  times > failures_told ? fmt::format(" (the {}th of this kind)", times) : "");
    }

    // ---- ends

    void settle(Job* job, Reply reply) {
        job->reply = std::move(reply);
        settled.push_back(job);
    }

    void call_done() {
        while (!settled.empty()) {
            Job* job = settled.front();
            settled.pop_front();
            const auto owned = std::move(jobs.extract(job->key).mapped());
            const auto status = job->reply.status;
            count(*job, [&](EndpointFigures& f) {
                // Those who asked the same meanwhile are answered without having been sent.
                const auto first = status == Reply::Status::stopped ? job->done.size() : 1;
                (status == Reply::Status::answered ? f.answered
                 : status == Reply::Status::failed ? f.failed
                                                   : f.stopped) += first;
                f.from_journal += job->done.size() - first;
                if (status == Reply::Status::failed)
                    ++f.failed_by_class[job->reply.failure.substr(0, job->reply.failure.find(':'))];
            });
            if (status != Reply::Status::stopped) {
                job->line->endpoint.ended(status == Reply::Status::failed ? job->reply.failure : std::string());
                if (const auto& reason = job->line->endpoint.stop_line()) stop_with(EndpointError(*reason));
            }
            for (std::size_t i = 0; i + 1 < job->done.size(); ++i) guarded([&] { job->done[i](job->reply); });
            guarded([&] { job->done.back()(std::move(job->reply)); });
        }
    }

    template <class Work> void guarded(Work&& work) {
        try {
            work();
        } catch (const StorageError&) {
            journal_broken = true;
            stop(Stopping::failure);
        } catch (...) {
            stop(Stopping::failure);
        }
    }

    // As guarded, for work that moves `job` on: if it fails before that, the job is left for the next run.
    template <class Work> void guarded_for(Job* job, Work&& work) {
        guarded([&] {
            try {
                work();
            } catch (...) {
                settle(job, {Reply::Status::stopped, {}, {}, false});
                throw;
            }
        });
    }

    template <class E> void stop_with(E error) {
        try {
            throw error;
        } catch (...) {
            stop(Stopping::failure);
        }
    }

    // Inside a handler `failure` becomes what was caught. The first reason counts.
    void stop(Stopping why) {
        if (why == Stopping::failure && !failure) failure = std::current_exception();
        if (stopping != Stopping::no) return;
        stopping = why;
        drain_until = clock.now() + api.drain_s;
        std::size_t left = 0;
        for (auto& [name, l] : lines) {
            for (auto* queue : {&l.waiting, &l.ready})
                for (; !queue->empty(); queue->pop(), ++left)
                    settle(queue->top(), {Reply::Status::stopped, {}, {}, false});
            for (; !l.later.empty(); l.later.pop(), ++left)
                settle(l.later.top(), {Reply::Status::stopped, {}, {}, false});
        }
        queued -= left;
        if (transfers.in_flight() > 0)
            log::info("asking stops; {} answers in flight are waited for, at most {}", transfers.in_flight(),
                      duration_text(api.drain_s));
    }

    void take_inbox() {
        std::vector<Job*> prepared, durable;
        {
            const std::lock_guard lock(inbox.mutex);
            prepared.swap(inbox.prepared);
            durable.swap(inbox.durable);
        }
        for (Job* job : durable) {
            --writing;
            settled.push_back(job);
        }
        for (Job* job : prepared) {
            --job->line->preparing;
            if (stopping != Stopping::no) {
                --queued;
                settle(job, {Reply::Status::stopped, {}, {}, false});
            } else if (!job->problem.empty()) {
                --queued;
                Verdict verdict;
                verdict.kind = "picture", verdict.detail = excerpt(job->problem, 300);
                guarded_for(job, [&] { keep(job, verdict, {}, AnswerRecord::Outcome::failed); });
            } else {
                job->line->ready.push(job);
            }
        }
    }

    void drop_in_flight() {
        for (void* tag : transfers.cancel_all()) {
            Job* job = static_cast<Job*>(tag);
            job->line->endpoint.cancelled(job->sending);
            usd_reserved -= job->usd_reserved;
            settle(job, {Reply::Status::stopped, {}, {}, false});
        }
    }

    RunEnd run(const std::function<bool()>& feed) {
        bool more = static_cast<bool>(feed);
        for (;;) {
            take_inbox();
            call_done();
            if (stopping == Stopping::no && stop_requested()) stop(Stopping::request);
            if (stopping != Stopping::no) more = false;
            while (more && queued < static_cast<std::size_t>(api.queued_items) &&
                   hits.size() < static_cast<std::size_t>(api.queued_items)) {
                const auto before = next_order + hits.size();
                guarded([&] { more = feed(); });
                if (next_order + hits.size() == before) break;  // nothing at the moment
            }
            for (auto left = hits.size(); left > 0 && !hits.empty(); --left) {
                auto hit = std::move(hits.front());
                hits.pop_front();
                guarded([&] { answer_from_journal(std::move(hit)); });
            }
            double next = std::numeric_limits<double>::infinity();
            if (stopping == Stopping::no)
                for (auto& [name, line] : lines) {
                    guarded([&] { next = std::min(next, send(line)); });
                    if (stopping != Stopping::no) break;
                }
            publish();
            if (!settled.empty() || !hits.empty()) continue;
            if (journal_broken) {  // nothing can be kept any more
                drop_in_flight();
                abandon_unwritten();
                if (!settled.empty()) continue;
            }
            const auto in_flight = transfers.in_flight();
            if (!more && queued == 0 && in_flight == 0) {
                if (writing == 0) break;
                guarded([&] { journal.commit(); });
                continue;
            }
            if (stopping != Stopping::no && in_flight > 0 && clock.now() >= drain_until) {
                log::warn("{} answers did not come within {} and will be asked again by the next run", in_flight,
                          duration_text(api.drain_s));
                drop_in_flight();
                continue;
            }
            for (auto& finished : transfers.wait(std::clamp(next - clock.now(), 0.0, longest_nap_s)))
                guarded_for(static_cast<Job*>(finished.tag), [&] { came_back(std::move(finished)); });
        }
        publish(true);
        if (failure) std::rethrow_exception(failure);
        return stopping == Stopping::request  ? RunEnd::stop_requested
               : stopping == Stopping::budget ? RunEnd::budget
                                              : RunEnd::finished;
    }

    // The journal's thread will call no more: what waited for it is left for the next run.
    void abandon_unwritten() {
        take_inbox();
        const bool preparing =
            std::any_of(lines.begin(), lines.end(), [](const auto& line) { return line.second.preparing > 0; });
        if (writing == 0 || preparing) return;  // the encoders still hold requests: those end first
        std::vector<Job*> stranded;
        for (const auto& [key, job] : jobs)
            if (std::find(settled.begin(), settled.end(), job.get()) == settled.end() &&
                job->reply.status != Reply::Status::stopped)
                stranded.push_back(job.get());
        for (Job* job : stranded) settle(job, {Reply::Status::stopped, {}, {}, false});
        writing = 0;
    }
};

Engine::Engine(const std::map<std::string, EndpointSettings>& endpoints, const ApiSettings& api,
               const std::filesystem::path& journal_folder, int api_rank, int api_ranks) {
    api.check();
    impl_ = std::make_unique<Impl>(endpoints, api, journal_folder, api_rank, api_ranks);
}

Engine::~Engine() = default;

void Engine::submit(Request request, AnswerCheck check, std::function<void(Reply)> done) {
    impl_->submit(std::move(request), std::move(check), std::move(done));
}

RunEnd Engine::run(const std::function<bool()>& feed) { return impl_->run(feed); }

EngineFigures Engine::figures() const {
    const std::lock_guard lock(impl_->figures_mutex);
    return impl_->shown;
}

void throw_if_ended_early(RunEnd end, const std::string& stage) {
    if (end == RunEnd::stop_requested) throw Stopped(stage);
    if (end == RunEnd::budget)
        throw Error(ExitCode::done, fmt::format("{}: api.budget_usd is spent; every answer paid for is kept", stage),
                    "raise the budget and the same command goes on from here");
}

Digest Engine::key(const Request& request) const {
    const auto settings = impl_->settings.find(request.endpoint);
    if (settings == impl_->settings.end()) throw UsageError(fmt::format("there is no endpoint '{}'", request.endpoint));
    return request_key(settings->second, request);
}

}  // namespace tg::llm
