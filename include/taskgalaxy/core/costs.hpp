// What work costs this process: seconds, collectives and their bytes, file operations and theirs; in all, and by named
// phase. Counted always (an atomic addition each), so that a slow run can be asked where its time went. Collectives
// count the bytes that this rank gives or receives, and the wait for the slowest rank is in their seconds. May be
// called from any thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <string>

namespace tg {

struct Cost {
    std::int64_t calls = 0;  // of the phase
    double seconds = 0;
    std::int64_t collectives = 0, collective_bytes = 0;
    double collective_s = 0;
    std::int64_t file_operations = 0, file_bytes = 0;  // open, create, write, read, sync and rename count one each
    double file_s = 0;
};
Cost operator+(const Cost& a, const Cost& b);
Cost operator-(const Cost& a, const Cost& b);

// One operation; its time is from the making of the object to its end.
class CountedCollective {
public:
    explicit CountedCollective(std::uint64_t bytes) : bytes_(bytes) {}
    ~CountedCollective();
    CountedCollective(const CountedCollective&) = delete;
    CountedCollective& operator=(const CountedCollective&) = delete;

private:
    std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
    std::uint64_t bytes_;
};

class CountedFileWork {
public:
    explicit CountedFileWork(std::uint64_t bytes = 0, int operations = 1) : bytes_(bytes), operations_(operations) {}
    ~CountedFileWork();
    CountedFileWork(const CountedFileWork&) = delete;
    CountedFileWork& operator=(const CountedFileWork&) = delete;

private:
    std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
    std::uint64_t bytes_;
    int operations_;
};

// What was counted since the process began; `calls` and `seconds` are the caller's to fill.
Cost costs_so_far();

// While in scope, what happens in this process is the phase's cost. Phases of one name add up; one inside another
// counts in both.
class CostPhase {
public:
    explicit CostPhase(std::string name) : name_(std::move(name)), before_(costs_so_far()) {}
    ~CostPhase();
    CostPhase(const CostPhase&) = delete;
    CostPhase& operator=(const CostPhase&) = delete;

private:
    std::string name_;
    Cost before_;
    std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

// The phases since the last call, which forgets them.
std::map<std::string, Cost> take_phase_costs();

}  // namespace tg
