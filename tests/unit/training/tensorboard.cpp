#include "tensorboard.hpp"

#include <gtest/gtest.h>

#include "fixture.hpp"

namespace {

namespace fs = std::filesystem;

std::string only_file(const fs::path& folder) {
    std::vector<fs::path> files;
    for (const auto& entry : fs::directory_iterator(folder)) files.push_back(entry.path());
    EXPECT_EQ(files.size(), 1u);
    std::ifstream in(files.at(0), std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
}

std::size_t count(const std::string& text, const std::string& word) {
    std::size_t found = 0;
    for (auto at = text.find(word); at != text.npos; at = text.find(word, at + 1)) ++found;
    return found;
}

TEST(TensorBoard, begins_with_what_the_log_holds_and_takes_the_rows_behind_it) {
    const tg::fixture::Scratch scratch("tensorboard");
    tg::training::TrainingLog log;
    for (int step = 0; step < 3; ++step) log.add({.step = static_cast<double>(step), .loss = 2, .seconds = 1});
    log.add_validation({0, 5, 100});
    tg::training::TensorBoard board(scratch.path(), true);
    board.begin(log);
    EXPECT_EQ(count(only_file(scratch.path()), "train/loss"), 3u);
    board.add(tg::training::LogRow{.step = 3, .loss = 1});
    board.add(tg::training::ValidationRow{4, 4, 100});
    EXPECT_EQ(count(only_file(scratch.path()), "train/loss"), 4u);
    EXPECT_EQ(count(only_file(scratch.path()), "validation/loss"), 2u);

    board.begin(log);  // after a roll back: what was behind it is forgotten
    EXPECT_EQ(count(only_file(scratch.path()), "train/loss"), 3u);
    EXPECT_EQ(count(only_file(scratch.path()), "validation/loss"), 1u);
}

TEST(TensorBoard, writes_nothing_where_the_job_wants_none) {
    const tg::fixture::Scratch scratch("tensorboard_off");
    tg::training::TensorBoard board(scratch.path(), false);
    board.begin({});
    board.add(tg::training::LogRow{.step = 0, .loss = 1});
    EXPECT_TRUE(fs::is_empty(scratch.path()));
}

}  // namespace
