#include "taskgalaxy/nn/models/convert.hpp"

#include <algorithm>
#include <array>
#include <set>

#include <fmt/format.h>

#include "converted_weights.hpp"
#include "layouts.hpp"
#include "taskgalaxy/core/error.hpp"
#include "taskgalaxy/core/text.hpp"
#include "taskgalaxy/nn/models/model_folder.hpp"

namespace tg::models {

namespace fs = std::filesystem;

namespace {

ConvertedModel write_same(VlmParts& parts, const fs::path& output) {
    std::vector<storage::TensorSpec> specs;
    const Target target{parts.names, parts.language.config.vocabulary};
    add_specs(parts, target, specs);
    std::set<std::string> ours;
    for (const auto& spec : specs) ours.insert(spec.name);
    for (const auto& [name, info] : parts.files.tensors())
        if (!ours.contains(name)) specs.push_back({name, info});
    const auto count = specs.size();
    storage::SafetensorsWriter writer(output, std::move(specs));
    write_units(parts, target, writer);
    for (const auto& [name, info] : parts.files.tensors())
        if (!ours.contains(name)) copy_tensor(parts.files, name, writer, name);
    const auto done = finished(writer, count);
    copy_side_files(parts, output);
    return done;
}

struct Layout {
    std::string_view name;
    ConvertedModel (*write)(VlmParts& parts, const fs::path& output);
};
constexpr std::array layouts{Layout{"same", write_same}, Layout{"llava-hf", write_llava_hf},
                             Layout{"liuhaotian", write_liuhaotian}};

}  // namespace

std::vector<std::string> model_layouts() {
    std::vector<std::string> names;
    for (const auto& layout : layouts) names.emplace_back(layout.name);
    return names;
}

ConvertedModel convert_model(const fs::path& model, std::string_view layout, const fs::path& output) {
    const auto row = std::find_if(layouts.begin(), layouts.end(), [&](const Layout& l) { return l.name == layout; });
    if (row == layouts.end())
        throw UsageError(fmt::format("layout '{}' is not known", layout), "choose from " + join(model_layouts(), ", "));
    if (fs::exists(output) && !(fs::is_directory(output) && fs::is_empty(output)))
        throw UsageError(fmt::format("{} is in the way", output.string()), "give a folder that does not exist yet");
    const auto parts = VlmParts::describe(model);
    check_exportable(*parts);
    fs::create_directories(output);
    return row->write(*parts, output);
}

}  // namespace tg::models
