#include <algorithm>
#include <fstream>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "fixture.hpp"
#include "sample_feed.hpp"
#include "taskgalaxy/core/error.hpp"
#include "taskgalaxy/parallel/partition.hpp"

namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::ThrowsMessage;

fs::path written(const tg::fixture::Scratch& scratch, const std::string& text, const std::string& name = "data.json") {
    const auto file = scratch.path() / name;
    std::ofstream(file) << text;
    return file;
}

// The samples of a set, read one by one.
std::vector<tg::training::Sample> all_of(const std::vector<std::string>& words) {
    const auto solo = tg::parallel::make_solo();
    const tg::training::SampleSet set(tg::training::read_sources(words), *solo);
    std::vector<tg::training::Sample> all;
    for (std::uint64_t i = 0; i < set.size(); ++i) all.push_back(set.read(i));
    return all;
}

std::string plain_sample(const std::string& id, const std::string& image = "") {
    return fmt::format(
        R"({{"id": "{}", {}"conversations": [{{"from": "human", "value": "two words"}}, {{"from": "gpt", )"
        R"("value": "one"}}]}})",
        id, image.empty() ? "" : fmt::format(R"("image": "{}", )", image));
}

TEST(SampleSet, reads_llavas_list_and_drops_a_leading_answer) {
    const tg::fixture::Scratch scratch("json");
    const auto samples = all_of({written(scratch, R"( [
        {"id": "a", "image": "x/y.png", "conversations": [{"from": "human", "value": "What is <image> this?"},
        {"from": "gpt", "value": "A \"}]{ cat\\."}]} ,
        {"id": 7, "conversations": [{"from": "gpt", "value": "Hello"}, {"from": "human", "value": "Hi <image>"},
        {"from": "gpt", "value": "Yes"}]}])")});
    ASSERT_EQ(samples.size(), 2u);
    EXPECT_EQ(samples[0].image, "x/y.png");
    EXPECT_EQ(samples[0].turns[0].question, "What is <image> this?") << "marks stay: the model's family places them";
    EXPECT_EQ(samples[0].turns[0].answer, "A \"}]{ cat\\.");
    EXPECT_EQ(samples[1].id, "7");
    ASSERT_EQ(samples[1].turns.size(), 1u);
    EXPECT_EQ(samples[1].turns[0].question, "Hi <image>");
}

TEST(SampleSet, reads_internvls_lines_and_data_lists) {
    const tg::fixture::Scratch scratch("jsonl");
    const auto lines =
        written(scratch,
                plain_sample("a", "b.png") + "\n\n" + plain_sample("t") + "\r\n" +
                    R"({"image": ["one.png"], "conversations": [{"from": "human", "value": "q"}, {"from": "gpt", )"
                    R"("value": "a"}]})",
                "data.jsonl");
    const auto list =
        written(scratch,
                fmt::format(R"({{"set": {{"annotation": "{}", "root": "pictures/", "repeat_time": 0.5, "length": 3, )"
                            R"("data_augment": false}}}})",
                            lines.string()),
                "meta.json");
    const auto samples = all_of({lines});
    ASSERT_EQ(samples.size(), 3u);
    EXPECT_EQ(samples[0].image, "b.png");
    EXPECT_EQ(samples[1].image, "");
    EXPECT_EQ(samples[2].image, "one.png");
    EXPECT_EQ(samples[2].id, "2") << "without an id a sample is named by its place";
    EXPECT_EQ(all_of({list})[0].image, "pictures/b.png");
    const auto sources = tg::training::read_sources({list.string() + "*3", lines.string()});
    ASSERT_EQ(sources.size(), 2u);
    EXPECT_DOUBLE_EQ(sources[0].weight, 1.5);
    EXPECT_DOUBLE_EQ(sources[1].weight, 1);
}

TEST(SampleSet, that_is_wrong_is_refused_by_the_sample) {
    const tg::fixture::Scratch scratch("json_bad");
    const auto read = [&](const std::string& text) { return [&scratch, text] { all_of({written(scratch, text)}); }; };
    using tg::Error;
    EXPECT_THAT(read("[]"), ThrowsMessage<Error>(HasSubstr("holds no sample")));
    EXPECT_THAT(read(""), ThrowsMessage<Error>(HasSubstr("holds no sample")));
    EXPECT_THAT(read("[{\"id\": \"a\""), ThrowsMessage<Error>(HasSubstr("ends in the middle of sample 0")));
    EXPECT_THAT(read("[" + plain_sample("a") + ","), ThrowsMessage<Error>(HasSubstr("ends behind sample 1")));
    EXPECT_THAT(read("[" + plain_sample("a") + plain_sample("b") + "]"),
                ThrowsMessage<Error>(HasSubstr("where a comma belongs")));
    EXPECT_THAT(read("[3]"), ThrowsMessage<Error>(HasSubstr("sample 0 is no object")));
    EXPECT_THAT(read("[{\"id\": tru}]"), ThrowsMessage<Error>(HasSubstr("sample 0")));
    EXPECT_THAT(read(R"([{"id": "a", "conversations": []}])"),
                ThrowsMessage<Error>(HasSubstr("sample 0 (id a) has no question with an answer")));
    EXPECT_THAT(
        read(R"([{"id": "a", "conversations": [{"from": "human", "value": "x"}, {"from": "human", "value": "y"}]}])"),
        ThrowsMessage<Error>(HasSubstr("does not alternate")));
    EXPECT_THAT(
        read(R"([{"id": "a", "conversations": [{"from": "human", "value": 3}, {"from": "gpt", "value": "y"}]}])"),
        ThrowsMessage<Error>(HasSubstr("sample 0")));
    EXPECT_THAT(read(R"([{"id": "a"}])"), ThrowsMessage<Error>(HasSubstr("no list `conversations`")));
    EXPECT_THAT(read(R"([{"image": ["a", "b"], "conversations": []}])"),
                ThrowsMessage<Error>(HasSubstr("not one path")));
    EXPECT_THAT(read(R"({"set": {"root": "x"}})"), ThrowsMessage<Error>(HasSubstr("set has no field `annotation`")));
    EXPECT_THAT([&] { all_of({written(scratch, "[]").string() + "*0"}); },
                ThrowsMessage<Error>(HasSubstr("no weight above zero")));
    EXPECT_THAT([&] { all_of({(scratch.path() / "nowhere.json").string()}); },
                ThrowsMessage<Error>(HasSubstr("does not exist")));
}

// `count` samples, of which every third has a picture, in one file.
TEST(SampleSet, of_hostile_hands_is_refused_or_cut_in_one_line) {
    const tg::fixture::Scratch scratch("json_hostile");
    const std::pair<const char*, const char*> wrong[] = {
        {R"([{"id": "a", "conversations": [{"from": "human", "value": 5}, {"from": "gpt", "value": "y"}]}])",
         "data.json"},
        {R"([{"id": "a", "conversations": [{"from": 1, "value": "x"}, {"from": "gpt", "value": "y"}]}])", "data.json"},
        {R"([{"id": "a", "conversations": ["x", "y"]}])", "data.json"},
        {R"([5])", "data.json"},
        {R"([{"id": "a", "image": ["x.png", "y.png"], "conversations": [{"from": "human", "value": "x"}, )"
         R"({"from": "gpt", "value": "y"}]}])",
         "not one path"},
        {R"([{"id": "a", "conversations": [{"from": "gpt", "value": "y"}]}])", "no question with an answer"},
        {"[{\"id\": \"\xff\xfe\"}]", "data.json"},
    };
    for (const auto& [text, said] : wrong) {
        try {
            all_of({written(scratch, text)});
            ADD_FAILURE() << text << " was taken";
        } catch (const tg::Error& error) {
            EXPECT_THAT(error.what(), HasSubstr(said)) << text;
            EXPECT_THAT(error.what(), testing::Not(HasSubstr("\n"))) << text;
        }
    }
    // An answer of a million characters is cut like any other; words without end and no words at all are no harm.
    const auto parts = tg::models::VlmParts::describe(tg::fixture::model);
    for (const std::string& unit : {std::string("x"), std::string("ab "), std::string("\xE6\x9D\xB1")}) {
        std::string answer;
        while (answer.size() < 1'000'000) answer += unit;
        const auto samples = all_of({written(
            scratch, nlohmann::json::array(
                         {{{"id", "long"},
                           {"image", "x.png"},
                           {"conversations",
                            {{{"from", "human"}, {"value", "<image>"}}, {{"from", "gpt"}, {"value", answer}}}}}})
                         .dump())});
        const auto encoded = tg::training::encode_sample(samples[0], *parts, 1, 2048);
        EXPECT_TRUE(encoded.cut);
        EXPECT_TRUE(encoded.failure.empty());
        EXPECT_EQ(encoded.ids.size(), 2048u);
        EXPECT_GT(encoded.supervised(), 1000);
    }
    const auto samples = all_of({written(
        scratch, R"([{"id": "a", "conversations": [{"from": "human", "value": ""}, {"from": "gpt", "value": ""}]}])")});
    EXPECT_GT(tg::training::encode_sample(samples[0], *parts, 1, 2048).supervised(), 0);  // that the answer ends
}

TEST(EncodedSamples, show_a_picture_only_where_the_text_has_its_place) {
    const auto parts = tg::models::VlmParts::describe(tg::fixture::model);
    const auto silent = tg::training::encode_sample({"a", "x.png", {{"What is this?", "A cat"}}}, *parts, 1, 2048);
    EXPECT_TRUE(silent.image.empty());  // as LLaVA: no mark, no picture
    const auto shown =
        tg::training::encode_sample({"a", "x.png", {{"What <image> is this?", "A cat"}}}, *parts, 1, 2048);
    EXPECT_EQ(std::count(shown.ids.begin(), shown.ids.end(), tg::text::image_placeholder), 16);
    const auto tiled =
        tg::models::VlmParts::describe(fs::path(TG_SOURCE_DIR) / "tests/fixtures/internvl/tiny-internlm");
    const auto added = tg::training::encode_sample({"a", "x.png", {{"What is this?", "A cat"}}}, *tiled, 5, 2048);
    EXPECT_EQ(added.image, "x.png");  // as InternVL: the mark is put in front
    EXPECT_EQ(std::count(added.ids.begin(), added.ids.end(), tg::text::image_placeholder), 45);
}

TEST(ShareOfStep, gives_ranks_as_many_samples_of_about_the_same_length) {
    std::vector<std::uint64_t> step(23);
    std::vector<std::int64_t> lengths(23);
    for (std::size_t i = 0; i < 23; ++i)
        step[i] = 100 + i, lengths[i] = static_cast<std::int64_t>(i * i % 17 * 10 + (i % 5 == 0 ? 576 : 0));
    EXPECT_EQ(tg::training::share_of_step(step, lengths, 0, 1), step);
    for (const int ranks : {2, 3, 5, 30}) {
        std::vector<std::uint64_t> all;
        std::int64_t most = 0, least = std::numeric_limits<std::int64_t>::max();
        for (int rank = 0; rank < ranks; ++rank) {
            const auto mine = tg::training::share_of_step(step, lengths, rank, ranks);
            EXPECT_EQ(
                mine.size(),
                tg::parallel::slice_of(23, static_cast<std::uint64_t>(rank), static_cast<std::uint64_t>(ranks)).size());
            std::int64_t sum = 0;
            for (const auto i : mine) sum += lengths[i - 100];
            most = std::max(most, sum), least = std::min(least, sum);
            all.insert(all.end(), mine.begin(), mine.end());
        }
        std::sort(all.begin(), all.end());
        EXPECT_EQ(all, step);
        if (ranks < 5) {
            EXPECT_LT(most - least, 576) << "no rank has a picture more than another, without less text";
        }
    }
}

TEST(EncodedSamples, are_cut_behind_the_picture_and_fail_where_it_does_not_fit) {
    const auto parts = tg::models::VlmParts::describe(tg::fixture::model);
    const auto whole = tg::fixture::sample(*parts, 0, 4096);
    EXPECT_FALSE(whole.cut);
    EXPECT_EQ(std::count(whole.ids.begin(), whole.ids.end(), tg::text::image_placeholder), 16);
    EXPECT_EQ(whole.labels.size(), whole.ids.size());
    const auto first = std::find(whole.ids.begin(), whole.ids.end(), tg::text::image_placeholder) - whole.ids.begin();
    const auto cut = tg::fixture::sample(*parts, 0, first + 17);
    EXPECT_TRUE(cut.cut);
    EXPECT_TRUE(cut.failure.empty());
    EXPECT_EQ(cut.ids.size(), static_cast<std::size_t>(first + 17));
    EXPECT_EQ(cut.labels.back(), tg::text::ignored_label);
    const auto broken = tg::fixture::sample(*parts, 0, first + 5);
    EXPECT_THAT(broken.failure, HasSubstr("does not fit"));
    EXPECT_EQ(broken.supervised(), 0);
}

}  // namespace
