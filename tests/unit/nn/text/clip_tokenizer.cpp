#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "taskgalaxy/core/error.hpp"
#include "taskgalaxy/nn/text/tokenizer.hpp"
#include "temporary_folder.hpp"
#include "unit/nn/fixture_paths.hpp"

namespace tg::text {
namespace {

namespace fs = std::filesystem;
using test::fixtures;
using Ids = std::vector<std::int64_t>;

// tests/fixtures/clip/tokens.jsonl: texts of many scripts and what transformers' CLIPTokenizer makes of them.
std::vector<std::pair<std::string, Ids>> reference() {
    std::vector<std::pair<std::string, Ids>> rows;
    std::ifstream in(fixtures("clip") / "tokens.jsonl");
    for (std::string line; std::getline(in, line);) {
        const auto row = nlohmann::json::parse(line);
        rows.emplace_back(row[0].get<std::string>(), row[1].get<Ids>());
    }
    return rows;
}

class ClipTokenizerTest : public ::testing::TestWithParam<const char*> {};

TEST_P(ClipTokenizerTest, gives_the_ids_that_transformers_gives) {
    const ClipTokenizer tokenizer(fixtures("clip") / GetParam());
    const auto rows = reference();
    ASSERT_EQ(rows.size(), 500u);
    for (const auto& [text, ids] : rows) EXPECT_EQ(tokenizer.encode(text), ids) << "of: " << text;
}

TEST_P(ClipTokenizerTest, a_long_text_keeps_its_end_token) {
    const ClipTokenizer tokenizer(fixtures("clip") / GetParam());
    std::string text;
    for (int i = 0; i < 300; ++i) text += "bird ";
    const auto ids = tokenizer.encode(text);
    EXPECT_EQ(ids.size(), tokenizer.context());
    EXPECT_EQ(ids.front(), tokenizer.begin_id());
    EXPECT_EQ(ids.back(), tokenizer.end_id());
}

INSTANTIATE_TEST_SUITE_P(of_both_layouts, ClipTokenizerTest, ::testing::Values("quick", "exact"),
                         [](const auto& about) { return std::string(about.param); });

TEST(clip_tokenizer, decodes_what_it_encoded_but_for_case_and_spacing) {
    const ClipTokenizer tokenizer(fixtures("clip") / "quick");
    EXPECT_EQ(tokenizer.decode(tokenizer.encode("A small  RED bird; привет 你好")), "a small red bird ; привет 你好");
    EXPECT_EQ(tokenizer.decode(Ids{}), "");
}

TEST(clip_tokenizer, a_megabyte_in_one_word_takes_no_quadratic_time) {
    const ClipTokenizer tokenizer(fixtures("clip") / "quick");
    EXPECT_EQ(tokenizer.encode(std::string(1'000'000, 'a')).size(), tokenizer.context());
}

TEST(clip_tokenizer, composes_by_the_tables_of_unicode_9_as_transformers_does) {
    const ClipTokenizer tokenizer(fixtures("clip") / "quick");
    EXPECT_EQ(tokenizer.encode("caf\u00e9"), tokenizer.encode("cafe\u0301"));
    EXPECT_EQ(tokenizer.encode("\u0e01\u0e38\u094d"),
              tokenizer.encode("\u0e01\u094d\u0e38"));  // marks known then are put in order
    EXPECT_NE(tokenizer.encode("\u0e01\u0e38\u0d3c"),
              tokenizer.encode("\u0e01\u0d3c\u0e38"));  // U+0D3C came with Unicode 10
}

TEST(clip_tokenizer, broken_utf8_counts_as_replacement_characters) {
    const ClipTokenizer tokenizer(fixtures("clip") / "quick");
    EXPECT_EQ(tokenizer.encode("a \xff b"), tokenizer.encode("a \xef\xbf\xbd b"));
}

TEST(clip_tokenizer, a_folder_without_or_with_broken_files_is_told) {
    const tg::test::TemporaryFolder folder;
    EXPECT_THROW(ClipTokenizer{folder.path()}, InputError);
    std::ofstream(folder / "vocab.json") << R"({"a": 0, "b</w>": 1})";
    std::ofstream(folder / "merges.txt") << "#version: 0.2\na b</w>\n";
    try {
        ClipTokenizer{folder.path()};
        FAIL() << "a merge without its token went through";
    } catch (const InputError& error) {
        EXPECT_THAT(error.what(), ::testing::HasSubstr("merge 'a b</w>' names a token that the vocabulary lacks"));
    }
    std::ofstream(folder / "tokenizer.json") << R"({"model": {"type": "Unigram"}})";
    EXPECT_THROW(ClipTokenizer{folder.path()}, InputError);
}

}  // namespace
}  // namespace tg::text
