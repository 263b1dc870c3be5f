// Answers from ground truth, for the simulator: a pool folder whose sub-folders are the true types of its pictures and
// whose NAME.txt files hold their captions (Debian's tuxpaint-stamps-default). Serves the demo, the tests and a dress
// rehearsal; and since every answer and every planted mistake is a pure function of (seed, picture, type), the report
// recomputes what the simulator did.
//
// The taxonomy behind it: a level-1 name that speaks of a top folder ("animal recognition" of `animals`) has that
// folder's sub-folders below it, and under each folder three ways to ask about it; any other level-1 name gets subjects
// from the pool and from elsewhere.
//
// Which prompt it got is told by its structure, not by its words, so prompts may be reworded as long as
//   expansion   has no picture; the parent stands on a line of its own and at least one line begins with "parent~"; the
//   first number
//               is how many are wanted; existing children stand one a line;
//   refinement  has a picture and the candidates one a line;
//   generation  the same, and names the JSON field "question" in double quotes;
//   judgement   has a picture and one task type behind a colon (or alone on its line), but no list of them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "taskgalaxy/core/settings.hpp"
#include "taskgalaxy/simulator/simulator.hpp"

namespace tg::simulator {

struct GroundTruthSettings {
    std::filesystem::path pictures;
    std::int64_t truth_seed = 1;
    double wrong_answers = 0.15;
    double judge_errors = 0.1;
    std::vector<std::string> judge_error_of;

    void describe(SettingsVisitor& v) {
        v.option("pictures", &pictures, "folder of pictures with captions that answers come from");
        v.option("truth_seed", &truth_seed, "seed of the planted mistakes");
        v.option("wrong_answers", &wrong_answers, "share of generated samples that are wrong on purpose",
                 between(0, 1));
        v.option("judge_errors", &judge_errors, "share of a judge's votes that are wrong", between(0, 1));
        v.option("judge_error_of", &judge_error_of, "other shares for single models, as MODEL:0.2");
    }
};

// What is true of the pictures; reads names and captions only.
class GroundTruth {
public:
    // Throws InputError when the folder holds no pictures, UsageError on a bad judge_error_of.
    explicit GroundTruth(const GroundTruthSettings& settings);
    ~GroundTruth();
    GroundTruth(GroundTruth&&) noexcept;

    std::size_t size() const;
    const std::string& uri(std::size_t picture) const;  // relative to the folder
    // By uri, also with a source's name before it ("stamps/animals/birds/crow.png").
    std::optional<std::size_t> find(std::string_view uri) const;
    // The cleaned folders, joined by "~": "animals~birds".
    const std::string& folder(std::size_t picture) const;
    const std::string& caption(std::size_t picture) const;  // may be empty

    // The folder a task type is about ("animal recognition~birds~names of birds" -> "animals~birds"), if it is about
    // one of the pool's.
    std::optional<std::string> folder_of_type(std::string_view type) const;
    // Whether the type is about the picture's folder or one that holds it.
    bool fits(std::size_t picture, std::string_view type) const;

    struct Sample {
        std::string question, answer;
        bool planted_wrong = false;
    };
    // What the simulator generates for a type (also for one that does not fit: a question about something else).
    Sample sample(std::size_t picture, std::string_view type) const;
    bool planted_wrong(std::size_t picture, std::string_view type) const { return sample(picture, type).planted_wrong; }
    int vote(std::size_t picture, std::string_view type, std::string_view judge) const;

    // Children of a path ("" for level 1) in a fixed order.
    std::vector<std::string> children(std::string_view parent) const;

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

// The simulator's answer function: tells the picture by its nearest thumbnail in the folder. Decodes every picture
// once, here.
AnswerFunction ground_truth_answers(const GroundTruthSettings& settings);

}  // namespace tg::simulator
