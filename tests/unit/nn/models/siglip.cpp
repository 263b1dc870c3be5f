#include "siglip.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "taskgalaxy/core/error.hpp"
#include "taskgalaxy/core/text.hpp"
#include "temporary_folder.hpp"
#include "unit/nn/fixtures.hpp"

namespace tg::models {
namespace {

namespace fs = std::filesystem;
using test::fixtures;
using Json = nlohmann::json;
using Ids = std::vector<std::int64_t>;

TEST(siglip_tokenizer, gives_the_ids_that_transformers_gives) {
    const text::SiglipTokenizer tokenizer(fixtures("siglip") / "tiny");
    EXPECT_EQ(tokenizer.context(), 16u);
    std::ifstream in(fixtures("siglip") / "tokens.jsonl");
    std::size_t rows = 0;
    for (std::string line; std::getline(in, line); ++rows) {
        const auto row = Json::parse(line);
        EXPECT_EQ(tokenizer.encode(row[0].get<std::string>()), row[1].get<Ids>()) << "of: " << line;
    }
    EXPECT_EQ(rows, 507u);
}

TEST(siglip_tokenizer, a_folder_without_its_model_is_told) {
    const tg::test::TemporaryFolder folder;
    EXPECT_THROW(text::SiglipTokenizer{folder.path()}, InputError);
    std::ofstream(folder / "spiece.model") << "no protocol buffer";
    EXPECT_THROW(text::SiglipTokenizer{folder.path()}, InputError);
}

TEST(siglip, gives_the_vectors_that_transformers_gives) {
    const auto expected = Json::parse(read_text_file(fixtures("siglip") / "tiny" / "expected.json"));
    const auto model = load_dual_encoder(fixtures("siglip") / "tiny");
    auto pixels = torch::empty({5, 3, 32, 32});  // the formula of make_siglip_fixture.py
    for (std::int64_t i = 0; i < pixels.numel(); ++i)
        pixels.data_ptr<float>()[i] = static_cast<float>(std::sin(static_cast<double>(i) * 0.37) * 1.5);
    std::vector<Ids> ids;
    for (const auto& text : expected["texts"]) ids.push_back(model->tokenizer().encode(text.get<std::string>()));
    const auto images = model->encode_images(pixels), texts = model->encode_texts(ids);
    ASSERT_EQ(model->dim(), 24);
    for (std::int64_t row = 0; row < 5; ++row)
        for (std::int64_t d = 0; d < 24; ++d) {
            const auto r = static_cast<std::size_t>(row), c = static_cast<std::size_t>(d);
            EXPECT_NEAR(images[row][d].item<float>(), expected["images"][r][c].get<float>(), 2e-5f);
            EXPECT_NEAR(texts[row][d].item<float>(), expected["text_rows"][r][c].get<float>(), 2e-5f);
        }
}

}  // namespace
}  // namespace tg::models
