// What the readers of all four grammars share: taking an answer out of its wrapping and finding the JSON inside.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "taskgalaxy/curation/answers.hpp"

namespace tg::curation {

// The answer without the model's thoughts (llm/thoughts.hpp) and out of its code fences; counts what was taken off.
std::string bare_answer(std::string_view answer, Notes& notes);

// The answer as one JSON value, if it is one as a whole.
std::optional<nlohmann::json> whole_json(std::string_view text);

// Every outermost {...} of a text that may have prose around and between; braces inside strings do not count. Objects
// that do not parse are mended once (raw line breaks inside strings, trailing commas), else counted as broken.
std::vector<nlohmann::json> json_objects(std::string_view text, Notes& notes);

// Finds which of the labels a model meant: the normalised spelling, else the last name alone where only one label ends
// so.
class LabelFinder {
public:
    explicit LabelFinder(const std::vector<std::string>& labels);
    struct Found {
        std::size_t index;
        bool exact;
    };
    std::optional<Found> find(std::string_view text) const;

private:
    const std::vector<std::string>& labels_;
};

}  // namespace tg::curation
