#include "samples.hpp"

#include <algorithm>
#include <numeric>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "taskgalaxy/core/error.hpp"
#include "taskgalaxy/core/random.hpp"
#include "taskgalaxy/core/text.hpp"

namespace tg {

using nlohmann::json;

namespace {

std::string id_of(const json& entry, std::size_t index) {
    const auto id = entry.find("id");
    if (id == entry.end()) return std::to_string(index);
    return id->is_string() ? id->get<std::string>() : id->dump();
}

Sample read_sample(const json& entry, std::size_t index, const std::string& where) {
    const auto refuse = [&](const std::string& why) { throw InputError(fmt::format("{}: sample {} (id {}) {}", where, index, excerpt(id_of(entry, index), 60), why)); };
    Sample sample;
    sample.id = id_of(entry, index);
    if (const auto image = entry.find("image"); image != entry.end() && !image->is_null()) {
        const auto& one = image->is_array() && image->size() == 1 ? image->front() : *image;
        if (!one.is_string()) refuse("has an image that is not one path");
        sample.image = one.get<std::string>();
    }
    const auto turns = entry.find("conversations");
    if (turns == entry.end() || !turns->is_array()) refuse("has no list `conversations`");
    std::size_t first = 0;
    const auto is_human = [&](const json& turn) { return turn.value("from", "") == "human"; };
    if (!turns->empty() && !is_human(turns->front())) first = 1;
    for (std::size_t i = first; i + 1 < turns->size(); i += 2) {
        const auto &question = (*turns)[i], &answer = (*turns)[i + 1];
        if (!is_human(question) || answer.value("from", "") != "gpt") refuse(fmt::format("does not alternate human and gpt at turn {}", i));
        sample.turns.push_back({question.value("value", ""), answer.value("value", "")});
    }
    if (sample.turns.empty()) refuse("has no question with an answer");
    if ((turns->size() - first) % 2 != 0) refuse("ends with a question");
    const auto marks = std::count_if(sample.turns.begin(), sample.turns.end(), [](const Turn& turn) { return turn.question.find(image_mark) != std::string::npos; });
    if (!sample.image.empty() && marks > 1) refuse("has one image and several <image> marks");
    return sample;
}

}  // namespace

std::vector<Sample> read_samples(const std::filesystem::path& file) {
    const auto where = file.string();
    const auto text = read_text_file(file);
    std::vector<Sample> samples;
    std::size_t line_number = 0;  // 0: the file is one value
    try {
        if (file.extension() == ".jsonl") {
            for (std::size_t begin = 0; begin < text.size();) {
                const auto end = std::min(text.find('\n', begin), text.size());
                const auto line = std::string_view(text).substr(begin, end - begin);
                ++line_number;
                if (!trimmed(line).empty()) samples.push_back(read_sample(json::parse(line), samples.size(), where));
                begin = end + 1;
            }
        } else {
            const auto entries = json::parse(text);
            if (!entries.is_array()) throw InputError(where + " is not a list of samples", "LLaVA's JSON is one array; one object a line is FILE.jsonl");
            for (std::size_t i = 0; i < entries.size(); ++i) samples.push_back(read_sample(entries[i], i, where));
        }
    } catch (const json::exception& e) {
        throw InputError(fmt::format("{}{}: {}", where, line_number > 0 ? fmt::format(":{}", line_number) : "", excerpt(e.what(), 200)));
    }
    if (samples.empty()) throw InputError(where + " holds no sample");
    return samples;
}

std::vector<std::uint64_t> StepOrder::step(std::uint64_t step) {
    const auto epoch = epoch_of(step);
    if (epoch != shuffled_epoch_) {
        permutation_.resize(samples_);
        std::iota(permutation_.begin(), permutation_.end(), std::uint64_t{0});
        shuffle(permutation_, random_bits(seed_, epoch));
        shuffled_epoch_ = epoch;
    }
    const auto begin = step % steps_per_epoch() * batch_;
    const auto end = std::min(begin + batch_, samples_);
    return {permutation_.begin() + static_cast<std::ptrdiff_t>(begin), permutation_.begin() + static_cast<std::ptrdiff_t>(end)};
}

}  // namespace tg
