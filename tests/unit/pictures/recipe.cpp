#include "fixtures.hpp"
#include "taskgalaxy/pictures/preprocess.hpp"

namespace tg::pictures {
namespace {

using test::ScratchFolder;

ImageRecipe recipe_of(std::string_view json) {
    const ScratchFolder folder;
    folder.write("preprocessor_config.json", json);
    return ImageRecipe::read(folder.path());
}

TEST(ImageRecipe, reads_CLIP_in_its_old_and_new_spelling) {
    for (const auto* json :
         {R"({"crop_size": 224, "do_center_crop": true, "do_normalize": true, "do_resize": true,
        "feature_extractor_type": "CLIPFeatureExtractor",
                                "image_mean": [0.48145466, 0.4578275, 0.40821073], "image_std": [0.26862954,
                                0.26130258, 0.27577711], "resample": 3, "size": 224})",
          R"({"crop_size": {"height": 224, "width": 224}, "do_center_crop": true, "do_convert_rgb": true,
         "do_normalize": true, "do_rescale": true, "do_resize": true,
                                "image_mean": [0.48145466, 0.4578275, 0.40821073], "image_std": [0.26862954,
                                0.26130258, 0.27577711], "image_processor_type": "CLIPImageProcessor",
                                "resample": 3, "rescale_factor": 0.00392156862745098,
                                "size": {"shortest_edge": 224}})"}) {
        const auto recipe = recipe_of(json);
        EXPECT_EQ(recipe.resize, ImageRecipe::Resize::shortest_edge);
        EXPECT_EQ(recipe.size, 224);
        EXPECT_EQ(recipe.shortest_edge, 224);
        EXPECT_EQ(recipe.filter, Filter::bicubic);
        EXPECT_EQ(recipe.rescale, 1.0 / 255.0);
        EXPECT_FLOAT_EQ(recipe.mean[0], 0.48145466f);
        EXPECT_FALSE(recipe.pad_square);
    }
}

TEST(ImageRecipe, reads_SigLIP_and_ViT_as_a_direct_resize) {
    const auto recipe = recipe_of(
        R"({"do_normalize": true, "do_rescale": true, "do_resize": true, "image_mean": [0.5, 0.5, 0.5],
        "image_processor_type": "SiglipImageProcessor",
                                      "image_std": [0.5, 0.5, 0.5], "resample": 2,
                                      "rescale_factor": 0.00392156862745098, "size": {"height": 384, "width": 384}})");
    EXPECT_EQ(recipe.resize, ImageRecipe::Resize::exact);
    EXPECT_EQ(recipe.size, 384);
    EXPECT_EQ(recipe.filter, Filter::bilinear);
}

TEST(ImageRecipe, reads_LLaVA_padding_and_InternVL) {
    EXPECT_TRUE(recipe_of(
                    R"({"do_pad": true, "size": {"shortest_edge": 336}, "crop_size": {"height": 336, "width": 336},
            "image_processor_type": "LlavaImageProcessor",
                              "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]})")
                    .pad_square);
    const auto intern = recipe_of(
        R"({"crop_size": 448, "do_center_crop": true, "do_normalize": true, "do_resize": true,
        "feature_extractor_type": "CLIPFeatureExtractor",
                                      "image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225],
                                      "resample": 3, "size": 448})");
    EXPECT_EQ(intern.size, 448);
    EXPECT_EQ(intern.resize, ImageRecipe::Resize::shortest_edge);
}

void expect_refused(std::string_view json, std::string_view named) {
    try {
        recipe_of(json);
        FAIL() << "accepted: " << json;
    } catch (const InputError& error) {
        EXPECT_NE(std::string_view(error.what()).find(named), std::string_view::npos) << error.what();
        EXPECT_NE(std::string_view(error.what()).find("preprocessor_config.json"), std::string_view::npos)
            << error.what();
    }
}

TEST(ImageRecipe, names_the_key_it_cannot_follow) {
    const std::string rest = R"("image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]})";
    expect_refused("{not json", "not JSON");
    expect_refused("[]", "an object");
    expect_refused("{" + rest, "size");
    expect_refused(R"({"size": {"height": 10, "width": 20}, )" + rest, "size");
    expect_refused(R"({"size": 224, "resample": 0, )" + rest, "resample");
    expect_refused(R"({"size": "224", )" + rest, "size");
    expect_refused(R"({"size": 224, "image_mean": [1, 2]})", "image_mean");
    expect_refused(R"({"size": 224, "image_mean": [0, 0, 0], "image_std": [1, 0, 1]})", "image_std");
    expect_refused(R"({"size": {"shortest_edge": 224}, "do_center_crop": false, )" + rest, "do_center_crop");
    EXPECT_THROW(ImageRecipe::read("/nowhere/at/all"), InputError);
}

}  // namespace
}  // namespace tg::pictures
