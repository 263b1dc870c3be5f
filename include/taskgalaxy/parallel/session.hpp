// The life of MPI in this process, and the guard around everything the ranks do.
#pragma once

#include <chrono>
#include <functional>
#include <memory>

#include "taskgalaxy/parallel/communicator.hpp"

namespace tg::parallel {

class Lifeline;

// Initialises MPI (SERIALIZED) and finalises it; one a process, created first in main. Without a launcher it is a world
// of one. While it lives each rank watches the next one over TCP: where a rank is lost and the launcher does not end
// the job, the job ends with one line.
class Session {
public:
    Session(int& argc, char**& argv);
    ~Session();
    Session(const Session&) = delete;
    Session& operator=(const Session&) = delete;
    const Communicator& world() const { return *world_; }

    // From now on a collective of any group that takes longer than `limit` ends the job with one line naming it (a dead
    // or stalled rank). Zero switches it off.
    static void watch_collectives(std::chrono::seconds limit);

private:
    std::unique_ptr<Communicator> world_;
    std::unique_ptr<Lifeline> lifeline_;
};

// Runs `work` on every rank and returns the exit code for main. An AgreedFailure is printed once and every rank returns
// its code. A failure that the others cannot know of (thrown outside together()) is printed by its rank and aborts the
// job, because the others may be waiting for it in a collective.
int run_guarded(const Communicator& world, const std::function<int()>& work);

}  // namespace tg::parallel
