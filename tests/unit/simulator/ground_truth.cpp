#include "taskgalaxy/simulator/ground_truth.hpp"

#include <filesystem>
#include <fmt/format.h>
#include <fstream>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "taskgalaxy/core/error.hpp"
#include "taskgalaxy/core/random.hpp"
#include "taskgalaxy/curation/answers.hpp"
#include "taskgalaxy/pictures/image.hpp"
#include "taskgalaxy/taxonomy/path.hpp"
#include "unit/curation/shipped_prompts.hpp"

using namespace tg;
using namespace tg::simulator;
using test::prompts;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

namespace {

pictures::Image blotches(std::uint64_t seed, int width = 120, int height = 90) {
    pictures::Image image{width, height, {}};
    for (int y = 0; y < height; ++y)
        for (int x = 0; x < width; ++x)
            for (std::uint64_t c = 0; c < 3; ++c)
                image.rgb.push_back(static_cast<std::uint8_t>(
                    random_bits(seed, static_cast<std::uint64_t>(y / 15 * 100 + x / 15) * 3 + c)));
    return image;
}

// A small pool: folders of pictures with captions.
const std::filesystem::path& pool_folder() {
    static const auto folder = [] {
        const auto root = std::filesystem::path(testing::TempDir()) / "ground_truth_pool";
        std::filesystem::remove_all(root);
        std::uint64_t seed = 1;
        for (const auto& [name, caption] :
             std::vector<std::pair<std::string, std::string>>{{"animals/birds/crow", "A crow.\nde=Eine Kr\u00E4he"},
                                                              {"animals/birds/heron", "A great blue heron, flying."},
                                                              {"animals/birds/cartoon/duck", "A duck"},
                                                              {"animals/fish/carp", "A carp"},
                                                              {"food/fruit/apple", "An apple"},
                                                              {"00_symbols/money_old/euro/coins/cent", "A cent"},
                                                              {"town/church", ""}}) {
            const auto file = root / (name + ".jpg");
            std::filesystem::create_directories(file.parent_path());
            const auto bytes = pictures::encode_jpeg(blotches(seed++), 92);
            std::ofstream(file, std::ios::binary)
                .write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
            if (!caption.empty()) std::ofstream(root / (name + ".txt")) << caption;
        }
        std::ofstream(root / "loose.jpg") << "no folder, no type";
        return root;
    }();
    return folder;
}

GroundTruthSettings known_pool() {
    GroundTruthSettings out;
    out.pictures = pool_folder();
    return out;
}

SimulatedCall call_with(const std::string& user, std::uint64_t picture_seed = 0) {
    SimulatedCall call;
    call.model = "judge-a";
    call.user = user;
    if (picture_seed > 0)
        call.image = pictures::encode_jpeg(pictures::resized(blotches(picture_seed), 64, 48),
                                           80);  // shrunk and encoded again, as it is sent
    return call;
}

}  // namespace

TEST(ground_truth, reads_folders_as_types_and_captions_as_names) {
    const GroundTruth truth(known_pool());
    ASSERT_EQ(truth.size(), 7u);
    const auto crow = truth.find("animals/birds/crow.jpg");
    ASSERT_TRUE(crow);
    EXPECT_EQ(truth.find("stamps/animals/birds/crow.jpg"), crow);
    EXPECT_FALSE(truth.find("nowhere.jpg"));
    EXPECT_EQ(truth.folder(*crow), "animals~birds");
    EXPECT_EQ(truth.caption(*crow), "A crow.");
    EXPECT_EQ(truth.folder(*truth.find("00_symbols/money_old/euro/coins/cent.jpg")), "symbols~money old~euro coins");
}

TEST(ground_truth, knows_which_folder_a_type_is_about) {
    const GroundTruth truth(known_pool());
    EXPECT_EQ(truth.folder_of_type("animal recognition"), "animals");
    EXPECT_EQ(truth.folder_of_type("animals~birds"), "animals~birds");
    EXPECT_EQ(truth.folder_of_type("animal recognition~birds~names of birds"), "animals~birds");
    EXPECT_EQ(truth.folder_of_type("animal recognition~birds~cartoon"), "animals~birds~cartoon");
    EXPECT_EQ(truth.folder_of_type("object counting~animals~fish"), "animals~fish");
    EXPECT_EQ(truth.folder_of_type("object counting~line charts"), std::nullopt);
    EXPECT_EQ(truth.folder_of_type("animal recognition~wombats"), std::nullopt);
    const auto heron = *truth.find("animals/birds/heron.jpg");
    EXPECT_TRUE(truth.fits(heron, "animal recognition~signs of animals"));
    EXPECT_FALSE(truth.fits(heron, "animal recognition~fish"));
    EXPECT_FALSE(truth.fits(heron, "animal recognition~birds~cartoon"));
}

TEST(ground_truth, has_children_for_every_kind_of_parent) {
    const GroundTruth truth(known_pool());
    EXPECT_THAT(
        truth.children("animal recognition"),
        ElementsAre("animal recognition~birds", "animal recognition~fish", "animal recognition~kinds of animals",
                    "animal recognition~signs of animals", "animal recognition~names of animals"));
    EXPECT_THAT(truth.children("animal recognition~birds"), Contains("animal recognition~birds~cartoon"));
    EXPECT_TRUE(truth.children("animal recognition~names of animals").empty());
    EXPECT_TRUE(truth.children("a~b~c").empty());
    for (const auto* parent : {"object counting", "object counting~line charts", "object counting~animals"}) {
        const auto children = truth.children(parent);
        EXPECT_FALSE(children.empty()) << parent;
        for (const auto& child : children) EXPECT_EQ(taxonomy::read_path(child).path, child);
    }
}

TEST(ground_truth, plants_about_the_stated_share_of_mistakes_always_the_same) {
    auto with = known_pool();
    with.wrong_answers = 0.3;
    const GroundTruth truth(with), again(with);
    int wrong = 0, all = 0;
    for (std::size_t picture = 0; picture < truth.size(); ++picture)
        for (int i = 0; i < 300; ++i) {
            const auto type = fmt::format("animal recognition~birds~kind {}", i);
            const auto sample = truth.sample(picture, type);
            EXPECT_EQ(again.sample(picture, type).question, sample.question);
            EXPECT_EQ(again.sample(picture, type).answer, sample.answer);
            wrong += sample.planted_wrong;
            ++all;
        }
    EXPECT_NEAR(static_cast<double>(wrong) / all, 0.3, 0.04);
}

TEST(ground_truth, asks_in_the_forms_of_the_benchmarks) {
    auto with = known_pool();
    with.wrong_answers = 0;
    const GroundTruth truth(with);
    const auto crow = *truth.find("animals/birds/crow.jpg");
    const auto choice = truth.sample(crow, "animal recognition~birds~kinds of birds");
    EXPECT_THAT(choice.question,
                testing::AllOf(HasSubstr("Which of these does the picture show?\nA. "), HasSubstr(". birds"),
                               HasSubstr("\nAnswer with the option's letter from the given choices directly.")));
    EXPECT_THAT(choice.question, HasSubstr(fmt::format("\n{}. birds", choice.answer)));
    const auto named = truth.sample(crow, "animal recognition~birds~names of birds");
    EXPECT_THAT(named.question, HasSubstr(fmt::format("\n{}. crow", named.answer)));
    const auto kind = truth.sample(crow, "animal recognition~kinds of animals");
    EXPECT_THAT(kind.question, HasSubstr(fmt::format("\n{}. animals", kind.answer)));
    for (int i = 0; i < 8; ++i) {
        const auto presence =
            truth.sample(static_cast<std::size_t>(i) % truth.size(), "animal recognition~birds~signs of birds");
        EXPECT_THAT(presence.question,
                    testing::AllOf(HasSubstr("Is the picture about "),
                                   HasSubstr("?\nAnswer the question using a single word or phrase.")));
        EXPECT_TRUE(presence.answer == "Yes" || presence.answer == "No");
    }
}

TEST(ground_truth, lets_each_judge_err_at_its_own_rate) {
    auto with = known_pool();
    with.judge_errors = 0.1;
    with.judge_error_of = {"wild:0.5", "sure:0"};
    const GroundTruth truth(with);
    std::map<std::string, int> errors;
    constexpr int count = 2000;
    for (int i = 0; i < count; ++i) {
        const auto type = fmt::format("animal recognition~birds~kind {}", i);
        for (const auto* judge : {"plain", "wild", "sure"}) {
            const bool valid = truth.fits(0, type) && !truth.planted_wrong(0, type);
            errors[judge] += truth.vote(0, type, judge) != (valid ? 1 : 0);
        }
    }
    EXPECT_NEAR(errors["plain"] / double{count}, 0.1, 0.03);
    EXPECT_NEAR(errors["wild"] / double{count}, 0.5, 0.04);
    EXPECT_EQ(errors["sure"], 0);
    with.judge_error_of = {"wild"};
    EXPECT_THROW(GroundTruth{with}, UsageError);
}

TEST(ground_truth, of_a_folder_without_pictures_is_refused) {
    GroundTruthSettings empty;
    empty.pictures = "/nonexistent";
    EXPECT_THROW(GroundTruth{empty}, InputError);
}

TEST(the_simulated_model, tells_the_kind_of_prompt_and_the_picture) {
    auto with = known_pool();
    with.wrong_answers = 0, with.judge_errors = 0;
    const auto answer = ground_truth_answers(with);
    const GroundTruth truth(with);
    const std::vector<std::string> candidates{"animal recognition~fish", "animal recognition~birds~names of birds",
                                              "object counting~line charts", "animal recognition"};

    // Refinement: pictures 1 (crow) and 4 (carp), which were sent smaller and encoded once more.
    EXPECT_THAT(curation::read_refine_answer(answer(call_with(prompts().refine(candidates), 1)), candidates).kept,
                ElementsAre(0, 1, 0, 1));
    EXPECT_THAT(curation::read_refine_answer(answer(call_with(prompts().refine(candidates), 4)), candidates).kept,
                ElementsAre(1, 0, 0, 1));
    EXPECT_EQ(answer(call_with(prompts().refine({"object counting~line charts"}), 1)), "[None]");

    // Generation.
    const std::vector<std::string> types{"animal recognition~birds~names of birds", "animal recognition~birds"};
    const auto samples = curation::read_generate_answer(answer(call_with(prompts().generate(types), 1)), types).samples;
    ASSERT_TRUE(samples[0] && samples[1]);
    const auto crow = *truth.find("animals/birds/crow.jpg");
    EXPECT_EQ(samples[0]->answer, truth.sample(crow, types[0]).answer);

    // Judgement.
    EXPECT_EQ(answer(call_with(prompts().judge(types[0], samples[0]->question, samples[0]->answer), 1)), "1");
    EXPECT_EQ(answer(call_with(prompts().judge("animal recognition~fish", "Which fish?", "A carp"), 1)), "0");

    // Expansion at each level; what exists is not repeated, and no more than asked for is given.
    EXPECT_THAT(curation::read_expand_answer(
                    answer(call_with(prompts().expand("animal recognition", {"animal recognition~birds"}, 2))),
                    "animal recognition")
                    .paths,
                ElementsAre("animal recognition~fish", "animal recognition~kinds of animals"));
    EXPECT_THAT(curation::read_expand_answer(answer(call_with(prompts().expand("animal recognition~birds", {}, 9))),
                                             "animal recognition~birds")
                    .paths,
                Contains("animal recognition~birds~cartoon"));
    EXPECT_EQ(curation::read_expand_answer(
                  answer(call_with(prompts().expand("", {"animal recognition", "food recognition"}, 3))), "")
                  .paths.size(),
              3u);
    EXPECT_EQ(answer(call_with(prompts().expand("animal recognition~names of animals", {}, 9))), "None");
}

TEST(the_simulated_model, answers_in_json_where_a_schema_asks_for_it) {
    const auto answer = ground_truth_answers(known_pool());
    const std::vector<std::string> candidates{"animal recognition~fish", "animal recognition~birds~names of birds"};
    auto call = call_with(prompts().refine(candidates), 1);
    call.response_schema = curation::refine_schema(candidates);
    EXPECT_EQ(answer(call), R"({"keep":["animal recognition~birds~names of birds"]})");
    call = call_with(prompts().judge(candidates[1], "q", "a"), 1);
    call.response_schema = curation::judge_schema();
    EXPECT_THAT(answer(call), testing::AnyOf(R"({"valid":0})", R"({"valid":1})"));
}
