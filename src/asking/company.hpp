// API ranks ask on a background thread while the main threads of all ranks meet several times a second (MPI and HDF5
// belong to the main threads): a failure, an alarm or a stop on one rank is known on all of them within seconds, and
// nobody waits blindly.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "taskgalaxy/llm/settings.hpp"
#include "taskgalaxy/parallel/communicator.hpp"

namespace tg::asking {

// The ranks that ask, in ascending order; `host_of_rank` has one entry a rank. Throws UsageError as api_ranks_of().
std::vector<int> asking_ranks(const std::vector<std::string>& host_of_rank, const llm::ApiSettings& api);
// Collective; the same on every rank.
std::vector<int> asking_ranks(const parallel::Communicator& ranks, const llm::ApiSettings& api);

struct Company {
    std::function<void()> work;  // on a thread of its own; empty on ranks that do not ask. No MPI and no HDF5 inside
    std::function<void()>
        abandon;  // makes `work` come back soon, since another rank failed; callable from another thread
    std::function<void()>
        serve;  // on this rank's main thread between meetings and once after `work` ended: writes finished parts
    std::function<std::vector<std::int64_t>()>
        counts;  // as many numbers on every rank; summed over ranks at each meeting
    std::function<void(std::span<const std::int64_t>)>
        look;  // sees the sums on every rank; may throw an alarm, the same everywhere
};

// Collective. Returns when the work of every rank has ended well; else throws AgreedFailure on every rank, after all
// work has ended.
void run_in_company(const parallel::Communicator& ranks, const Company& company);

}  // namespace tg::asking
