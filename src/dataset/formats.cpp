#include "formats.hpp"

#include <algorithm>
#include <array>
#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <vector>

#include "taskgalaxy/core/error.hpp"
#include "taskgalaxy/core/text.hpp"

namespace tg::dataset {
namespace {

using Json = nlohmann::ordered_json;

Json conversation(const ExportedSample& sample) {
    return Json::array({Json{{"from", "human"}, {"value", "<image>\n" + std::string(sample.question)}},
                        Json{{"from", "gpt"}, {"value", sample.answer}}});
}

// Answers of models may hold bytes that are no UTF-8: they are replaced, not refused.
std::string dump(const Json& json, int indent) { return json.dump(indent, ' ', false, Json::error_handler_t::replace); }

// One array, as LLaVA's trainer reads it; objects are written one by one, so memory does not grow with the dataset.
class LlavaWriter final : public FormatWriter {
public:
    explicit LlavaWriter(std::ostream& out) : out_(out) { out_ << '['; }
    void add(const ExportedSample& sample) override {
        const Json object{{"id", sample.id},
                          {"image", sample.image},
                          {"task_type", sample.task_type},
                          {"conversations", conversation(sample)}};
        out_ << (first_ ? "\n" : ",\n") << "  " << replace_all(dump(object, 2), "\n", "\n  ");
        first_ = false;
    }
    void finish() override { out_ << "\n]\n"; }

private:
    std::ostream& out_;
    bool first_ = true;
};

class InternvlWriter final : public FormatWriter {
public:
    explicit InternvlWriter(std::ostream& out) : out_(out) {}
    void add(const ExportedSample& sample) override {
        const Json object{
            {"id", sample.id},         {"image", sample.image},         {"width", sample.width},
            {"height", sample.height}, {"task_type", sample.task_type}, {"conversations", conversation(sample)}};
        out_ << dump(object, -1) << '\n';
    }
    void finish() override {}

private:
    std::ostream& out_;
};

template <class Writer> std::unique_ptr<FormatWriter> make(std::ostream& out) { return std::make_unique<Writer>(out); }

std::string internvl_data_list(std::string_view image_root, std::size_t samples) {
    return dump({{"taskgalaxy",
                  {{"root", image_root},
                   {"annotation", "train.internvl.jsonl"},
                   {"data_augment", false},
                   {"repeat_time", 1},
                   {"length", samples}}}},
                2) +
           "\n";
}

constexpr std::array table{
    Format{"llava", "train.json", "", make<LlavaWriter>, nullptr},
    Format{"internvl", "train.internvl.jsonl", "internvl_data.json", make<InternvlWriter>, internvl_data_list},
};

}  // namespace

std::span<const Format> formats() { return table; }

const Format& find_format(std::string_view name) {
    const auto found = std::find_if(table.begin(), table.end(), [&](const Format& f) { return f.name == name; });
    if (found != table.end()) return *found;
    std::vector<std::string> known;
    for (const auto& format : table) known.emplace_back(format.name);
    throw UsageError(fmt::format("export format '{}' is not known", name), "choose from " + join(known, ", "));
}

}  // namespace tg::dataset
