#include "tower_config.hpp"

#include <fmt/format.h>

#include "taskgalaxy/core/error.hpp"
#include "taskgalaxy/core/json.hpp"

namespace tg::models {
namespace {

using Json = nlohmann::json;

std::int64_t positive(const Json& config, const char* key, std::int64_t otherwise, const std::string& where) {
    const auto found = config.find(key);
    if (found == config.end() || found->is_null()) return otherwise;
    if (!found->is_number_integer() || found->get<std::int64_t>() < 1 ||
        found->get<std::int64_t>() > (std::int64_t{1} << 24))
        throw InputError(fmt::format("{}: {} = {} is not a sensible size", where, key, found->dump()));
    return found->get<std::int64_t>();
}

layers::EncoderShape encoder_shape(const Json& config, std::int64_t hidden, std::int64_t mlp, std::int64_t heads,
                                   const TowerDefaults& defaults, const std::string& where) {
    layers::EncoderShape shape;
    shape.hidden = positive(config, "hidden_size", hidden, where);
    shape.mlp = positive(config, "intermediate_size", mlp, where);
    shape.layers = positive(config, "num_hidden_layers", 12, where);
    shape.heads = positive(config, "num_attention_heads", heads, where);
    if (shape.hidden % shape.heads != 0)
        throw InputError(
            fmt::format("{}: hidden_size {} is not divisible by {} heads", where, shape.hidden, shape.heads));
    const auto act = config.find("hidden_act");
    shape.activation = layers::activation_of(
        act != config.end() && act->is_string() ? act->get<std::string>() : std::string(defaults.activation), where);
    const auto norm = config.find("layer_norm_eps");
    shape.norm_eps = norm != config.end() && norm->is_number() ? norm->get<double>() : defaults.norm_eps;
    return shape;
}

}  // namespace

VisionShape vision_shape(const Json& config, const TowerDefaults& defaults, const std::string& where) {
    VisionShape shape;
    shape.encoder = encoder_shape(config, 768, 3072, 12, defaults, where);
    shape.image = positive(config, "image_size", 224, where);
    shape.patch = positive(config, "patch_size", defaults.patch, where);
    if (shape.patch > shape.image)
        throw InputError(fmt::format("{}: patches of {} pixels in an image of {}", where, shape.patch, shape.image));
    return shape;
}

TextShape text_shape(const Json& config, const TowerDefaults& defaults, const std::string& where) {
    TextShape shape;
    shape.encoder =
        encoder_shape(config, defaults.text_hidden, defaults.text_mlp, defaults.text_heads, defaults, where);
    shape.vocabulary = positive(config, "vocab_size", defaults.vocabulary, where);
    shape.positions = positive(config, "max_position_embeddings", defaults.positions, where);
    const auto end = config.find("eos_token_id");
    shape.end_id = end != config.end() && end->is_number_integer() ? end->get<std::int64_t>() : 49407;
    return shape;
}

void require_fit(const text::Tokenizer& tokenizer, const TextShape& text, const std::filesystem::path& folder) {
    if (static_cast<std::int64_t>(tokenizer.context()) <= text.positions && tokenizer.end_id() < text.vocabulary)
        return;
    throw InputError(fmt::format(
        "{}: the tokenizer (context {}, end token {}) does not fit the text tower (context {}, vocabulary {})",
        folder.string(), tokenizer.context(), tokenizer.end_id(), text.positions, text.vocabulary));
}

}  // namespace tg::models
