// The errors of taskgalaxy: every one carries what went wrong and where, the fix, and the exit code of the program.
// Throw the subtype that names the cause; run_guarded() in parallel/session.hpp prints it once and leaves with its
// code.
#pragma once

#include <stdexcept>
#include <string>

namespace tg {

enum class ExitCode : int {
    done = 0,
    internal = 1,  // a defect of the program or of the machine
    usage = 2,     // command line or job file
    input = 3,     // pictures, weights, taxonomies, benchmark files
    endpoint = 4,  // a model server, its key or its quota
    storage = 5,   // disk, HDF5, run directory
    requeue = 75,  // stopped on request; the same command goes on (EX_TEMPFAIL)
};

class Error : public std::runtime_error {
public:
    // `what` says what is wrong and where in one line; `fix` says what to do about it (may be empty).
    Error(ExitCode code, const std::string& what, const std::string& fix = {})
        : std::runtime_error(fix.empty() ? what : what + "; " + fix), code_(code) {}
    ExitCode code() const { return code_; }

private:
    ExitCode code_;
};

struct UsageError : Error {
    explicit UsageError(const std::string& what, const std::string& fix = {}) : Error(ExitCode::usage, what, fix) {}
};
struct InputError : Error {
    explicit InputError(const std::string& what, const std::string& fix = {}) : Error(ExitCode::input, what, fix) {}
};
struct EndpointError : Error {
    explicit EndpointError(const std::string& what, const std::string& fix = {})
        : Error(ExitCode::endpoint, what, fix) {}
};
struct StorageError : Error {
    explicit StorageError(const std::string& what, const std::string& fix = {}) : Error(ExitCode::storage, what, fix) {}
};
// Thrown at a safe point after a stop was asked for: everything worth keeping is on disk.
struct Stopped : Error {
    explicit Stopped(const std::string& where)
        : Error(ExitCode::requeue, "stopped on request in " + where, "the same command goes on from here") {}
};

}  // namespace tg
