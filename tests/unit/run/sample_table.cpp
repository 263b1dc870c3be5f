#include "taskgalaxy/run/sample_table.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fmt/format.h>

#include "tables.hpp"

namespace tg::run {
namespace {

constexpr std::uint64_t k = 3, judges = 2;

// Picture i keeps i % 3 candidates.
struct Curated {
    SampleRows samples{.judges = judges};
    RefineRows refined{.k = k};
    std::vector<std::int64_t> notes{0, 0, 0, 0, 0, 0};

    explicit Curated(parallel::Slice images) {
        for (auto image = images.begin; image < images.end; ++image) {
            refined.state.push_back(image % 3 == 0);
            for (std::uint64_t rank = 0; rank < k; ++rank) refined.kept.push_back(rank < image % 3);
            for (std::uint64_t rank = 0; rank < image % 3; ++rank) {
                samples.image.push_back(static_cast<std::int64_t>(image));
                samples.type.push_back(static_cast<std::int64_t>(10 * rank + image % 7));
                samples.question.push_back(fmt::format("What is in {}?", image));
                samples.answer.push_back(std::string(image % 5, 'a'));
                samples.votes.insert(samples.votes.end(),
                                     {std::uint8_t{1}, image % 4 == 0 ? no_vote : std::uint8_t{0}});
                samples.kept.push_back(image % 2 == 0);
                samples.state.push_back(image % 4 == 0);
            }
            notes[image % notes.size()] += 1;
        }
    }
};

SampleFigures some_figures() {
    return {.image_states = {5, 4, 3, 2, 1},
            .sample_states = {9, 8, 7, 6},
            .votes_for = {1, 2, 3},
            .judge_votes = {1, 2, 3, 4, 5, 6},
            .agreement = {1, 0.5, 0.5, 1},
            .level1 = {"animals"},
            .level1_counts = {1, 2, 3, 4},
            .notes = {"fenced", "dropped"},
            .note_counts = {1, 2, 3, 4, 5, 6},
            .judges = {"first", "second"},
            .none_rate = 0.25,
            .kept_rate = 0.75,
            .fleiss_kappa = 0.125,
            .kept = 11,
            .keep_votes = 2,
            .limit_items = 0};
}

class SampleTables : public ::testing::TestWithParam<std::uint64_t> {
protected:
    test::TemporaryFolder folder;
};

TEST_P(SampleTables, give_back_the_samples_of_all_parts_in_order) {
    const auto file = folder / files::samples;
    test::gather_in_parts(
        file, GetParam(),
        [](parallel::Slice images, storage::Hdf5File& part) {
            const Curated curated(images);
            write_samples(part, curated.samples, curated.refined, curated.notes);
        },
        [](storage::Hdf5File& whole) { write_sample_figures(whole, some_figures()); });

    const Curated expected({0, GetParam()});
    const SampleTable table(file);
    ASSERT_EQ(table.size(), expected.samples.image.size());
    EXPECT_THAT(table.judges(), ::testing::ElementsAre("first", "second"));
    for (std::size_t row = 0; row < table.size(); ++row) {
        EXPECT_EQ(table.image(row), expected.samples.image[row]);
        EXPECT_EQ(table.type(row), expected.samples.type[row]);
        EXPECT_EQ(table.question(row), expected.samples.question[row]);
        EXPECT_EQ(table.answer(row), expected.samples.answer[row]);
        EXPECT_EQ(table.kept(row), expected.samples.kept[row] != 0);
        EXPECT_EQ(table.state(row), expected.samples.state[row]);
        EXPECT_THAT(table.votes(row),
                    ::testing::ElementsAre(expected.samples.votes[2 * row], expected.samples.votes[2 * row + 1]));
    }
    const auto refined = read_refined(file);
    EXPECT_EQ(refined.k, k);
    EXPECT_EQ(refined.state, expected.refined.state);
    EXPECT_EQ(refined.kept, expected.refined.kept);
    EXPECT_EQ(read_image_states(file), some_figures().image_states);
}

INSTANTIATE_TEST_SUITE_P(pictures, SampleTables, ::testing::Values(1, 3, 50));

TEST(a_part_of_samples, gives_back_what_the_figures_are_counted_from) {
    const test::TemporaryFolder folder;
    const Curated curated({0, 20});
    storage::publish_hdf5(folder / "part.h5", [&](storage::Hdf5File& out) {
        write_samples(out, curated.samples, curated.refined, curated.notes);
    });
    const auto marks = read_sample_marks(folder / "part.h5");
    EXPECT_EQ(marks.refined.kept, curated.refined.kept);
    EXPECT_EQ(marks.state, curated.samples.state);
    EXPECT_EQ(marks.kept, curated.samples.kept);
    EXPECT_EQ(marks.votes, curated.samples.votes);
    EXPECT_EQ(marks.notes, curated.notes);
}

TEST(sample_table, says_which_dataset_is_missing_or_of_another_length) {
    const test::TemporaryFolder folder;
    Curated curated({0, 8});
    storage::publish_hdf5(folder / "part.h5", [&](storage::Hdf5File& out) {
        write_samples(out, curated.samples, curated.refined, curated.notes);
    });
    EXPECT_THAT(test::storage_error([&] { read_image_states(folder / "part.h5"); }),
                test::NamesFileAndDataset(folder / "part.h5", "figures/image_states"));
    EXPECT_THAT(test::storage_error([&] { SampleTable(folder / "part.h5"); }),
                ::testing::HasSubstr("part.h5 @judges: the attribute is missing"));
    curated.samples.type.pop_back();
    storage::publish_hdf5(folder / "short.h5", [&](storage::Hdf5File& out) {
        write_samples(out, curated.samples, curated.refined, curated.notes);
        write_sample_figures(out, some_figures());
    });
    EXPECT_EQ(test::storage_error([&] { SampleTable(folder / "short.h5"); }),
              fmt::format("{}: 6 rows of type beside 7 of image; remove the file and run stage curate again",
                          (folder / "short.h5").string()));
}

}  // namespace
}  // namespace tg::run
