#include "taskgalaxy/matching/match_stage.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <numeric>

#include "taskgalaxy/core/error.hpp"
#include "taskgalaxy/run/embedding_table.hpp"
#include "taskgalaxy/run/match_table.hpp"
#include "taskgalaxy/storage/publish.hpp"
#include "temporary_folder.hpp"

namespace tg::matching {
namespace {

// Four pictures and four types on the axes of a plane; picture 1 is unusable.
class MatchStageTest : public ::testing::Test {
protected:
    void write(std::vector<float> images, std::vector<float> texts, std::uint64_t image_dim = 2,
               std::uint64_t text_dim = 2) const {
        storage::publish_hdf5(folder / run::files::image_embeddings, [&](storage::Hdf5File& out) {
            run::write_image_embeddings(out, images, image_dim, std::vector<std::uint8_t>(images.size() / image_dim));
        });
        storage::publish_hdf5(folder / run::files::text_embeddings, [&](storage::Hdf5File& out) {
            std::vector<std::int64_t> rows(texts.size() / text_dim);
            for (std::size_t i = 0; i < rows.size(); ++i)
                rows[i] = static_cast<std::int64_t>(10 * i + 3);  // leaves are not the first rows of a taxonomy
            run::write_text_embeddings(out, texts, text_dim, rows);
        });
    }
    run::Figures run(int k) {
        settings.k = k;
        const auto solo = parallel::make_solo();
        run::StageContext context{*solo, run::Paths(folder.path()), "fingerprint"};
        make_match_stage(settings)->run(context);
        return context.figures;
    }

    tg::test::TemporaryFolder folder;
    MatchSettings settings;
    const std::vector<float> axes{1, 0, 0, 1, -1, 0, 0, -1};
};

TEST_F(MatchStageTest, gives_rows_of_the_taxonomy_best_first_and_none_for_unusable_pictures) {
    write({1, 0, 0, 0, 0.6f, 0.8f, 0, -1}, axes);
    settings.images_per_part = 3;
    const auto figures = run(2);
    const auto matches = run::MatchTable(folder / run::files::matches).rows();
    EXPECT_EQ(matches.type, (std::vector<std::int64_t>{3, 13, -1, -1, 13, 3, 33, 3}));
    EXPECT_EQ(matches.score, (std::vector<float>{1, 0, 0, 0, 0.8f, 0.6f, 1, 0}));
    EXPECT_THAT(figures, ::testing::Contains(::testing::Pair("unusable_images", 1.0)));
}

TEST_F(MatchStageTest, counts_who_was_matched_at_which_rank) {
    write({1, 0, 0, 0, 0.6f, 0.8f, 0, -1}, axes);
    run(2);
    const auto found = run::MatchTable(folder / run::files::matches).diagnostics();
    EXPECT_EQ(found.type, (std::vector<std::int64_t>{3, 13, 23, 33}));
    EXPECT_EQ(found.images_per_type, (std::vector<std::int64_t>{3, 2, 0, 1}));
    EXPECT_EQ(found.images_per_type_and_rank, (std::vector<std::int64_t>{1, 2, 1, 1, 0, 0, 1, 0}));
    EXPECT_EQ(found.types_matched, (std::vector<std::int64_t>{3, 3}));
    EXPECT_EQ(found.unmatched_types, 1);
    const auto& histogram = found.score_histogram;
    EXPECT_EQ(std::accumulate(histogram.begin(), histogram.begin() + 200, std::int64_t{0}), 3)
        << "one first candidate a usable picture";
    EXPECT_EQ(histogram[199], 2) << "cosine 1 falls into the last bin";
}

TEST_F(MatchStageTest, blocks_of_types_give_the_same_bits) {
    // Few different directions, so that equal scores fall into different blocks.
    std::vector<float> images, texts;
    for (int i = 0; i < 40; ++i)
        images.insert(images.end(), {static_cast<float>(i % 5) - 2, static_cast<float>(i % 3) + 1});
    for (int t = 0; t < 37; ++t)
        texts.insert(texts.end(), {static_cast<float>(t * 7 % 6) - 3, static_cast<float>(t * 5 % 4) - 1});
    write(images, texts);
    settings.images_per_part = 16;
    settings.types_at_once = 0;
    run(9);
    const auto read = [&] {
        const auto matches = run::MatchTable(folder / run::files::matches).rows();
        return std::pair(matches.type, matches.score);
    };
    const auto whole = read();
    for (const int at_once : {1, 5, 9, 20, 37, 100}) {
        settings.types_at_once = at_once;
        std::filesystem::remove(folder / run::files::matches);
        run(9);
        EXPECT_EQ(read(), whole) << at_once << " types at once";
    }
}

TEST_F(MatchStageTest, inputs_that_do_not_fit_are_told) {
    write({1, 0, 0, 1, 0, 0}, axes, 3, 2);
    EXPECT_THROW(run(2), Error);
    write({1, 0, std::numeric_limits<float>::quiet_NaN(), 1}, axes);
    EXPECT_THROW(run(2), Error);
    write({1, 0}, axes);
    EXPECT_THROW(run(5), Error) << "k is larger than the number of types";
}

}  // namespace
}  // namespace tg::matching
