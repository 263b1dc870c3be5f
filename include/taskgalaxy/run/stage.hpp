// What a stage of the pipeline is: a name, what it reads and writes in the run directory, what decides its result, and
// run(). The room `pipeline` holds the ordered list of them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "taskgalaxy/core/digest.hpp"
#include "taskgalaxy/parallel/communicator.hpp"
#include "taskgalaxy/run/paths.hpp"

namespace tg::run {

// Figures a stage wants remembered: in run.h5, in `status` and in the report ("images" -> 796, "none_rate" -> 0.12).
using Figures = std::vector<std::pair<std::string, double>>;

// Handed to run(): the ranks, the run directory and the fingerprint of this stage's inputs and settings (hex), which
// guards its parts.
struct StageContext {
    const parallel::Communicator& ranks;
    Paths paths;
    std::string fingerprint;
    Figures figures{};  // filled by the stage; rank 0's are kept
};

// Lines of `taskgalaxy plan`: what, how many, in which unit.
struct PlanLine {
    std::string what;
    double amount = 0;
    std::string unit;
    std::string note{};
};

class Stage {
public:
    virtual ~Stage() = default;
    virtual std::string_view name() const = 0;
    virtual std::string_view purpose() const = 0;        // one line for help
    virtual std::vector<std::string> reads() const = 0;  // files of the run directory made by earlier stages
    virtual std::vector<std::string> looks_at() const {
        return {};
    }  // more such files, used where they exist and not missed where not
    virtual std::vector<std::string> writes() const = 0;  // files of the run directory
    // Everything outside the run directory that decides the result: settings (result_settings()), weights, prompts, by
    // content or by (path, size, modification time) where reading them would take long. Rank 0 calls it.
    virtual void describe_inputs(DigestBuilder& inputs) const = 0;
    // Before any work starts, on rank 0: missing files, impossible settings. Throws UsageError or InputError.
    virtual void check() const {}
    // What run() would do; needs nothing but settings and whatever files of the run directory exist already.
    virtual std::vector<PlanLine> plan(const Paths&) const { return {}; }
    // Begins what needs no file of another stage, on a thread of its own without MPI, while stages before this one run;
    // run() waits for it. Collective, like the next: which throws on every rank if that work has failed on one.
    virtual void start_early(const StageContext&) {}
    virtual void check_early(const parallel::Communicator&) const {}
    // On every rank; collective. Leaves its files complete under their final names, or throws on every rank.
    virtual void run(StageContext& context) = 0;
};

// Adds a file or folder tree by path, size and modification time (for weights and picture folders). Throws InputError
// if missing.
void add_file_identity(DigestBuilder& inputs, const std::filesystem::path& path);

}  // namespace tg::run
