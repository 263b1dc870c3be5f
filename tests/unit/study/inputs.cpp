#include "inputs.hpp"

#include <fstream>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "taskgalaxy/core/error.hpp"
#include "taskgalaxy/core/text.hpp"
#include "temporary_folder.hpp"

namespace tg::study {
namespace {

struct StudyInputs : testing::Test {
    test::TemporaryFolder folder;
    std::filesystem::path study = folder / "study", pictures = folder / "pictures";
    StudyInputs() {
        std::filesystem::create_directories(pictures / "below");
        std::ofstream(pictures / "a.png") << "A";
        std::ofstream(pictures / "below/b.jpg") << "B";
        std::ofstream(pictures / "notes.txt") << "no picture";
    }
};

TEST_F(StudyInputs, a_pool_takes_the_pictures_in_turn_until_there_are_enough) {
    const auto pool = make_pool(study, pictures, 3);
    EXPECT_EQ(read_text_file(pool / "00000000.png"), "A");
    EXPECT_EQ(read_text_file(pool / "00000001.jpg"), "B");
    EXPECT_EQ(read_text_file(pool / "00000002.png"), "A");
    EXPECT_FALSE(std::filesystem::exists(pool / "00000003.jpg"));
}

TEST_F(StudyInputs, a_complete_pool_is_kept_and_a_half_made_one_is_made_again) {
    const auto pool = make_pool(study, pictures, 2);
    std::filesystem::remove(pool / "00000001.jpg");
    make_pool(study, pictures, 2);
    EXPECT_FALSE(std::filesystem::exists(pool / "00000001.jpg"));
    std::filesystem::remove(pool.string() + ".complete");
    make_pool(study, pictures, 2);
    EXPECT_TRUE(std::filesystem::exists(pool / "00000001.jpg"));
}

TEST_F(StudyInputs, a_folder_without_pictures_is_named) {
    EXPECT_THROW(make_pool(study, folder / "nothing", 2), InputError);
}

TEST_F(StudyInputs, task_types_are_distinct_paths_of_three_levels) {
    const auto text = read_text_file(make_types(study, 130));
    EXPECT_TRUE(text.starts_with("field 0~subject 0~task 0 of subject 0\nfield 1~subject 1~task 1 of subject 1\n"));
    EXPECT_TRUE(text.ends_with("field 1~subject 1~task 129 of subject 1\n"));
}

TEST_F(StudyInputs, samples_speak_of_pictures_of_the_pool) {
    const auto pool = make_pool(study, pictures, 2);
    const auto samples = nlohmann::json::parse(read_text_file(make_samples(study, pool, 3)));
    ASSERT_EQ(samples.size(), 3u);
    EXPECT_EQ(samples[2]["image"], "00000000.png");
    EXPECT_EQ(samples[2]["conversations"][1]["value"], "Picture number 2 of this study.");
}

}  // namespace
}  // namespace tg::study
