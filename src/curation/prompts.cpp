#include "taskgalaxy/curation/prompts.hpp"

#include <fmt/format.h>

#include "taskgalaxy/core/error.hpp"
#include "taskgalaxy/core/text.hpp"
#include "taskgalaxy/taxonomy/path.hpp"

namespace tg::curation {
namespace {

// The file, checked: fill_template refuses unknown placeholders, and each listed one has to stand in the text.
std::string read_prompt(const std::filesystem::path& file, const std::vector<std::string_view>& placeholders) {
    auto text = read_text_file(file);
    for (const auto name : placeholders)
        if (text.find(fmt::format("{{{}}}", name)) == text.npos)
            throw UsageError(fmt::format("{}: the placeholder '{{{}}}' is missing", file.string(), name),
                             "without it the model would not know what it is asked");
    std::vector<std::pair<std::string_view, std::string_view>> values;
    for (const auto name : placeholders) values.emplace_back(name, "");
    static_cast<void>(fill_template(text, values, file.string()));
    return std::string(trimmed(text));
}

}  // namespace

Prompts::Prompts(const std::filesystem::path& folder) {
    const auto read = [&](const char* name, const std::vector<std::string_view>& placeholders) {
        const auto file = folder / name;
        return Text{file.string(), read_prompt(file, placeholders)};
    };
    expand_ = {read("expand_level1.txt", {"existing", "count"}),
               read("expand_level2.txt", {"parent", "existing", "count"}),
               read("expand_level3.txt", {"parent", "existing", "count"})};
    refine_ = read("refine.txt", {"candidates"});
    generate_ = read("generate.txt", {"types"});
    judge_ = read("judge.txt", {"task_type", "question", "answer"});
}

std::string Prompts::expand(std::string_view parent, const std::vector<std::string>& existing, int count) const {
    const auto& prompt = expand_.at(parent.empty() ? 0 : static_cast<std::size_t>(taxonomy::level_of(parent)));
    const auto list = existing.empty() ? std::string("(none yet)") : join(existing, "\n");
    const auto number = std::to_string(count);
    return fill_template(prompt.text, {{"parent", parent}, {"existing", list}, {"count", number}}, prompt.file);
}

std::string Prompts::refine(const std::vector<std::string>& candidates) const {
    return fill_template(refine_.text, {{"candidates", join(candidates, "\n")}}, refine_.file);
}

std::string Prompts::generate(const std::vector<std::string>& types) const {
    return fill_template(generate_.text, {{"types", join(types, "\n")}}, generate_.file);
}

std::string Prompts::judge(std::string_view task_type, std::string_view question, std::string_view answer) const {
    return fill_template(judge_.text, {{"task_type", task_type}, {"question", question}, {"answer", answer}},
                         judge_.file);
}

void Prompts::add_expand(DigestBuilder& inputs) const {
    for (const auto& prompt : expand_) inputs.add(std::string_view(prompt.text));
}

void Prompts::add_curate(DigestBuilder& inputs) const {
    for (const auto* prompt : {&refine_, &generate_, &judge_}) inputs.add(std::string_view(prompt->text));
}

}  // namespace tg::curation
