// preprocessor_config.json, in the spellings that CLIP, SigLIP, LLaVA and InternVL folders use.
#include <fmt/format.h>

#include "taskgalaxy/core/json.hpp"
#include "taskgalaxy/pictures/preprocess.hpp"

namespace tg::pictures {
namespace {

using Json = nlohmann::json;

class Config {
public:
    explicit Config(const std::filesystem::path& file) : file_(file), json_(read_json(file)) {
        if (!json_.is_object()) fail("the file", "an object");
    }
    [[noreturn]] void fail(std::string_view key, std::string_view wanted) const {
        throw InputError(fmt::format("{}: {} should be {}", file_.string(), key, wanted),
                         "give the folder of a CLIP, SigLIP, LLaVA or InternVL model");
    }

    bool flag(const char* key, bool missing) const {
        const auto found = json_.find(key);
        if (found == json_.end() || found->is_null()) return missing;
        if (!found->is_boolean()) fail(key, "true or false");
        return found->get<bool>();
    }
    double number(const char* key, double missing) const {
        const auto found = json_.find(key);
        if (found == json_.end() || found->is_null()) return missing;
        if (!found->is_number()) fail(key, "a number");
        return found->get<double>();
    }
    std::array<float, 3> triple(const char* key) const {
        const auto found = json_.find(key);
        std::array<float, 3> values{};
        if (found == json_.end() || !found->is_array() || found->size() != 3) fail(key, "three numbers");
        for (std::size_t i = 0; i < 3; ++i) {
            if (!(*found)[i].is_number()) fail(key, "three numbers");
            values[i] = (*found)[i].get<float>();
        }
        return values;
    }
    std::string type_name() const {
        return json_.value("image_processor_type", json_.value("feature_extractor_type", std::string()));
    }
    // `key` as one number, or a member of the object it is; 0 where absent.
    int side(const char* key, const char* member) const {
        const auto found = json_.find(key);
        if (found == json_.end() || found->is_null()) return 0;
        if (found->is_number_integer()) return std::string_view(member).empty() ? positive(key, *found) : 0;
        if (!found->is_object()) fail(key, "a number or an object");
        const auto inner = found->find(member);
        return inner == found->end() ? 0 : positive(key, *inner);
    }

private:
    int positive(const char* key, const Json& value) const {
        if (!value.is_number_integer() || value.get<std::int64_t>() < 1 || value.get<std::int64_t>() > 16384)
            fail(key, "whole numbers from 1 to 16384");
        return value.get<int>();
    }
    std::filesystem::path file_;
    Json json_;
};

}  // namespace

ImageRecipe ImageRecipe::read(const std::filesystem::path& model_folder) {
    const Config config(model_folder / "preprocessor_config.json");
    ImageRecipe recipe;
    const auto type = config.type_name();
    const bool crops_by_default = type.find("CLIP") != type.npos || type.find("Llava") != type.npos;
    const bool crops = config.flag("do_center_crop", crops_by_default);
    if (!config.flag("do_resize", true)) config.fail("do_resize", "true: pictures of all sizes come in");

    int short_edge = config.side("size", "shortest_edge");
    if (const int bare = config.side("size", ""); bare > 0 && crops) short_edge = bare;
    if (short_edge > 0) {
        recipe.resize = Resize::shortest_edge;
        recipe.shortest_edge = short_edge;
        const int bare = config.side("crop_size", ""), crop_height = config.side("crop_size", "height"),
                  crop_width = config.side("crop_size", "width");
        if (!crops) config.fail("do_center_crop", "true where size is a shortest_edge: the model takes squares");
        if (bare == 0 && crop_height != crop_width) config.fail("crop_size", "a square");
        recipe.size = bare > 0 ? bare : crop_height > 0 ? crop_height : short_edge;
    } else {
        const int bare = config.side("size", ""), height = config.side("size", "height"),
                  width = config.side("size", "width");
        recipe.resize = Resize::exact;
        recipe.size = bare > 0 ? bare : height;
        if (recipe.size == 0) config.fail("size", "a number, {shortest_edge} or {height, width}");
        if (bare == 0 && height != width) config.fail("size", "a square");
        const int crop = std::max(config.side("crop_size", ""), config.side("crop_size", "height"));
        if (config.flag("do_center_crop", false) && crop > 0 && crop != recipe.size)
            config.fail("crop_size", "the same as size");
    }
    recipe.pad_square = config.flag("do_pad", false);
    const int filter = static_cast<int>(config.number("resample", static_cast<double>(Filter::bicubic)));
    if (filter < 1 || filter > 5) config.fail("resample", "1 to 5 (nearest is not offered)");
    recipe.filter = static_cast<Filter>(filter);
    recipe.rescale = config.flag("do_rescale", true) ? config.number("rescale_factor", 1.0 / 255.0) : 1.0;
    if (config.flag("do_normalize", true)) {
        recipe.mean = config.triple("image_mean");
        recipe.std = config.triple("image_std");
        for (const float s : recipe.std)
            if (!(s > 0)) config.fail("image_std", "three numbers above 0");
    }
    return recipe;
}

ImageRecipe ImageRecipe::exact(int size, std::array<float, 3> mean, std::array<float, 3> std) {
    ImageRecipe recipe;
    recipe.size = size;
    recipe.resize = Resize::exact;
    recipe.mean = mean;
    recipe.std = std;
    return recipe;
}

}  // namespace tg::pictures
