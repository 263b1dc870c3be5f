// The readers of models' answers: whatever a model says, they come back, and what they give keeps its promises.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <set>
#include <string>
#include <vector>

#include "replay.hpp"
#include "taskgalaxy/curation/answers.hpp"
#include "taskgalaxy/taxonomy/path.hpp"

namespace {

void hold(bool promise) {
    if (!promise) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace tg;
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    static const std::vector<std::string> offered{"animals~birds~names of birds", "food~fruit, fresh~counting", "town",
                                                  "animals~birds"};

    for (const std::string_view parent : {"", "animals", "animals~birds"}) {
        const auto answer = curation::read_expand_answer(text, parent);
        const std::set<std::string> once(answer.paths.begin(), answer.paths.end());
        hold(once.size() == answer.paths.size());
        for (const auto& path : answer.paths) {
            hold(taxonomy::parent_of(path) == parent);
            hold(taxonomy::read_path(path).path == path);  // normalised for good
            hold(path.find_first_of("{}<>") == path.npos && !path.ends_with("~none"));
        }
    }

    const auto refined = curation::read_refine_answer(text, offered);
    hold(refined.kept.size() == offered.size());
    const auto kept = std::count(refined.kept.begin(), refined.kept.end(), 1);
    hold(refined.problem.empty() || kept == 0);

    const auto generated = curation::read_generate_answer(text, offered);
    hold(generated.samples.size() == offered.size());
    std::int64_t made = 0;
    for (const auto& sample : generated.samples) {
        if (!sample) continue;
        ++made;
        hold(!sample->question.empty() && !sample->answer.empty());
    }
    hold(generated.problem.empty() || made == 0);
    hold(generated.notes[curation::Note::left_out] == static_cast<std::int64_t>(offered.size()) - made);

    const auto judged = curation::read_judge_answer(text);
    hold(judged.vote >= -1 && judged.vote <= 1);
    hold((judged.vote == -1) == !judged.problem.empty());
    return 0;
}
