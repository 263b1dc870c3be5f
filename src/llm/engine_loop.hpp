// The engine's thread: takes requests in, prepares and sends them as their endpoints allow, journals what comes back,
// and tells those who asked. Everything here happens on the thread that calls run(), but for figures() (any thread) and
// the encoders, which hand over through the inbox.
#pragma once

#include <deque>
#include <exception>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>

#include "answer_journal.hpp"
#include "inbox.hpp"
#include "job.hpp"
#include "jobs_in_hand.hpp"
#include "journal_hit.hpp"
#include "ledger.hpp"
#include "lines.hpp"
#include "preparer.hpp"
#include "shutdown.hpp"
#include "steady_wall_clock.hpp"
#include "taskgalaxy/core/random.hpp"
#include "taskgalaxy/llm/engine.hpp"
#include "transport.hpp"

namespace tg::llm {

class EngineLoop {
public:
    EngineLoop(const std::map<std::string, EndpointSettings>& endpoints, const ApiSettings& api,
               const std::filesystem::path& journal_folder, int rank, int ranks, std::unique_ptr<Transport> transport);

    void submit(Request&& request, AnswerCheck&& check, Done&& done);
    RunEnd run(const std::function<bool()>& feed);
    EngineFigures figures() const { return ledger_.figures(); }
    Digest key(const Request& request) const;

private:
    // Requests coming in.
    void enlist(Request&& request, AnswerCheck&& check, Done&& done, const Digest& key);
    bool take_from(const std::function<bool()>& feed);
    void answer_hits();
    void answer_from_journal(JournalHit&& hit);

    // On the way out; times say when there is more to send.
    double send_all();
    double send(Line& line);
    bool affordable(Job& job);
    void dispatch(Job* job, double now);
    void prepare(Line& line);

    // What came back.
    void take_inbox();
    void take_prepared(Job* job);
    void came_back(Job* job, Outcome outcome);
    void take_answer(Job* job, Outcome& outcome);
    void retry(Job* job, const Outcome& outcome, double now);
    void ask_again(Job* job, const Outcome& outcome);
    void go_later(Job* job, double at);
    double backoff(int failures);

    // Ends.
    AnswerRecord booked(const Job& job, const Outcome& outcome, AnswerRecord::Result result);
    void keep(Job* job, const Outcome& outcome, AnswerRecord::Result result);
    void call_done();
    template <class Work> void guarded(Work&& work);
    template <class Work> void guarded_for(Job* job, Work&& work);
    void stop(Shutdown::Reason reason, std::exception_ptr failure = nullptr);
    void give_up_if_hopeless(const Endpoint& endpoint);
    bool wait_for_more(bool more, double next);
    void drop_in_flight();
    void abandon_unwritten();
    void publish(bool at_once = false);

    std::map<std::string, EndpointSettings> endpoints_;
    ApiSettings api_;
    SteadyWallClock clock_;
    std::unique_ptr<Transport> transport_;
    Inbox inbox_;  // outlives the threads of the journal and of the encoders, which write to it
    AnswerJournal journal_;
    Ledger ledger_;
    Lines lines_;
    JobsInHand jobs_;
    std::deque<JournalHit> hits_;
    std::size_t writing_ = 0;  // answered, not yet durable
    RandomStream jitter_;
    double published_ = 0;

    Shutdown shutdown_;
    bool journal_broken_ = false;

    Preparer preparer_;
};

}  // namespace tg::llm
