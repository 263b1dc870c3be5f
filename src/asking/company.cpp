#include "company.hpp"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <map>
#include <mutex>
#include <thread>
#include <unistd.h>

namespace tg::asking {
namespace {

std::string host_name() {
    char name[256]{};
    if (gethostname(name, sizeof name - 1) != 0) return "unknown";
    return name;
}

// Work on a thread of its own whose end can be waited for with a limit; its failure is kept for the main thread.
class BackgroundWork {
public:
    explicit BackgroundWork(const std::function<void()>& work) {
        if (!work) {
            ended_ = true;
            return;
        }
        thread_ = std::jthread([this, work] {
            try {
                work();
            } catch (...) {  // handed to the main thread, which makes it known to all ranks
                failure_ = std::current_exception();
            }
            const std::lock_guard lock(mutex_);
            ended_ = true;
            wake_.notify_all();
        });
    }
    bool ended_within(std::chrono::milliseconds time) {
        std::unique_lock lock(mutex_);
        return wake_.wait_for(lock, time, [&] { return ended_; });
    }
    std::exception_ptr failure() {
        const std::lock_guard lock(mutex_);
        return ended_ ? failure_ : nullptr;
    }

private:
    std::mutex mutex_;
    std::condition_variable wake_;
    bool ended_ = false;
    std::exception_ptr failure_;
    std::jthread thread_;
};

}  // namespace

std::vector<int> asking_ranks(const std::vector<std::string>& host_of_rank, const llm::ApiSettings& api) {
    std::map<std::string, int> nodes;
    std::vector<int> node_of_rank;
    for (const auto& host : host_of_rank)
        node_of_rank.push_back(nodes.emplace(host, static_cast<int>(nodes.size())).first->second);
    auto asking = llm::api_ranks_of(api.ranks, node_of_rank);
    std::sort(asking.begin(), asking.end());
    return asking;
}

std::vector<int> asking_ranks(const parallel::Communicator& ranks, const llm::ApiSettings& api) {
    const auto hosts = ranks.broadcast(ranks.gather<std::string>(host_name()));
    std::vector<int> asking;
    parallel::together(ranks, [&] { asking = asking_ranks(hosts, api); });
    return asking;
}

void run_in_company(const parallel::Communicator& ranks, const Company& company) {
    using namespace std::chrono_literals;
    constexpr auto longest_pause = 200ms;
    auto pause = 2ms;  // short at first, so that what comes from the journal costs no wait

    std::exception_ptr mine, alarm;
    bool abandoned = false;
    BackgroundWork work(company.work);
    const auto serve = [&] {
        if (mine || !company.serve) return;
        try {
            company.serve();
        } catch (...) {  // agreed on at the next meeting
            mine = std::current_exception();
        }
    };
    const auto abandon = [&] {
        if (!abandoned && company.work && company.abandon) company.abandon();
        abandoned = true;
    };
    for (;;) {
        const bool ended = work.ended_within(company.work ? pause : 0ms);
        if (!company.work) std::this_thread::sleep_for(pause);
        serve();
        if (!mine) mine = work.failure();

        std::vector<std::int64_t> state{ended ? 0 : 1, mine ? 1 : 0};
        if (company.counts) {
            const auto counts = company.counts();
            state.insert(state.end(), counts.begin(), counts.end());
        }
        ranks.all_reduce_sum(state);
        if (state[1] > 0) abandon();
        else if (!alarm && company.look) {
            try {
                company.look(std::span<const std::int64_t>(state).subspan(2));
            } catch (...) {  // the sums are the same on every rank, and so is this
                alarm = std::current_exception();
                abandon();
            }
        }
        if (state[0] == 0) break;
        pause = std::min<std::chrono::milliseconds>(longest_pause, pause * 2);
    }
    serve();
    parallel::agree(ranks, mine ? mine : alarm);
}

}  // namespace tg::asking
