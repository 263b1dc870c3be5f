// What a vision-language model is made of, for those who train it or keep only a share of it: described from
// config.json first (geometry and names, no memory), then filled unit by unit. A model family is one file
// (vlm_*.cpp) and one row of the table in vlm.cpp.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "taskgalaxy/nn/layers/projector.hpp"
#include "taskgalaxy/nn/layers/torch.hpp"
#include "taskgalaxy/nn/layers/unit.hpp"
#include "taskgalaxy/nn/models/llama.hpp"
#include "taskgalaxy/nn/text/conversation.hpp"
#include "taskgalaxy/nn/text/language_tokenizer.hpp"
#include "taskgalaxy/pictures/tiles.hpp"
#include "taskgalaxy/storage/safetensors.hpp"

namespace tg::models {

// The frozen eyes: pixels [B,3,S,S] fp32 (B pictures, or all their tiles) -> what the projector takes of them, [B,N,C],
// no gradient.
class VisionTower {
public:
    virtual ~VisionTower() = default;
    virtual torch::Tensor features(const torch::Tensor& pixels) const = 0;
    virtual void load(const storage::SafetensorsFolder& files, const layers::WeightNames& names, torch::Device device,
                      torch::Dtype dtype) = 0;
    // Whether it may be kept in shares between uses: by blocks(), with on_block() heard.
    virtual bool can_be_sharded() const { return false; }
    // Loaded: the tensors of each block in the order of use; none of a tower that is kept whole.
    virtual std::vector<std::vector<torch::Tensor*>> blocks() { return {}; }
    // Called as a block's tensors are needed (true) and are no longer (false); load() says false after each that it has
    // read.
    std::function<void(std::size_t block, bool needed)> on_block{};
    int image_size = 0;          // S
    std::int64_t positions = 0;  // N, of one picture or tile
    std::int64_t channels = 0;   // C
};

struct LlavaFolder;  // llava_folder.hpp, of this room

struct VlmParts {
    // Reads the configuration and the headers of the weights; allocates nothing large. Throws InputError.
    static std::unique_ptr<VlmParts> describe(const std::filesystem::path& folder);

    std::filesystem::path folder;
    std::string family;  // its name, for messages: "llava"
    LanguageModel language;
    std::unique_ptr<VisionTower> vision{};  // null in a language model without eyes, as is the projector
    std::unique_ptr<layers::Projector> projector{};
    std::unique_ptr<text::LanguageTokenizer> tokenizer{};
    const text::ConversationStyle* style = nullptr;  // turns the model was trained with; may be replaced
    text::PictureMark mark{};                        // how a picture's place is written
    std::vector<std::int64_t> ends{};                // tokens that end an answer
    std::optional<pictures::PictureRecipe>
        pictures{};  // what becomes of pictures, where the family says it; else preprocessor_config.json does
    bool pads_to_square = false;  // image_aspect_ratio = pad; only with preprocessor_config.json
    storage::SafetensorsFolder files;
    std::optional<storage::SafetensorsFolder>
        vision_files{};  // where the tower lies in a folder of its own (liuhaotian)
    layers::WeightNames names{}, vision_names{};
    // Our names -> their paths in the class that loads the model, where these are not the names in the files.
    std::optional<layers::WeightNames> class_names{};
    std::shared_ptr<const LlavaFolder> llava{};  // null: not a LLaVA with a CLIP, which alone has two layouts

    // In the order of use: projector, embeddings, layers, head.
    std::vector<layers::Unit*> units();
    // What peft calls the module of one of our tensors: its path in the class that loads the model.
    std::string class_name(const std::string& ours) const;
    void load_vision(torch::Device device, torch::Dtype dtype);  // fp32 where the device is slow in bf16
    // Of a picture of so many tiles.
    std::int64_t image_positions(std::int64_t tiles = 1) const { return vision ? vision->positions * tiles : 0; }
    // Of this model with eyes; `pad`: "yes" or "no" over what the model says, "auto". Throws InputError where it does
    // not fit the tower.
    pictures::PictureRecipe picture_recipe(std::optional<bool> pad = {}) const;
};

// The file of a picture as what the tower takes of it: [tiles,3,S,S] fp32. Throws InputError that names `name` where it
// cannot be read.
torch::Tensor picture_tiles(std::span<const std::byte> file, const std::string& name,
                            const pictures::PictureRecipe& recipe, const pictures::DecodeOptions& options = {});

}  // namespace tg::models
