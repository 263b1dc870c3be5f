#include "taskgalaxy/run/embedding_table.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

#include "tables.hpp"

namespace tg::run {
namespace {

constexpr std::uint64_t dim = 5;

std::vector<float> some_vectors(parallel::Slice rows) {
    std::vector<float> values(rows.size() * dim);
    std::iota(values.begin(), values.end(), static_cast<float>(rows.begin * dim));
    return values;
}

class EmbeddingTables : public ::testing::TestWithParam<std::uint64_t> {
protected:
    void write_attributes(storage::Hdf5File& whole) const {
        write_embedding_attributes(whole, "models/clip", "float32");
    }
    test::TemporaryFolder folder;
};

TEST_P(EmbeddingTables, of_pictures_give_back_vectors_and_failures) {
    const auto failed = [](parallel::Slice rows) {
        std::vector<std::uint8_t> out;
        for (auto row = rows.begin; row < rows.end; ++row) out.push_back(row % 3 == 0);
        return out;
    };
    test::gather_in_parts(
        folder / files::image_embeddings, GetParam(),
        [&](parallel::Slice rows, storage::Hdf5File& part) {
            write_image_embeddings(part, some_vectors(rows), dim, failed(rows));
        },
        [&](storage::Hdf5File& whole) { write_attributes(whole); });
    const EmbeddingTable table(folder / files::image_embeddings);
    const parallel::Slice all{0, GetParam()};
    EXPECT_EQ(table.rows(), GetParam());
    EXPECT_EQ(table.dim(), dim);
    EXPECT_EQ(table.embedding(all), some_vectors(all));
    EXPECT_EQ(table.failed(), failed(all));
}

TEST_P(EmbeddingTables, of_task_types_give_back_vectors_and_rows_of_the_taxonomy) {
    const auto types = [](parallel::Slice rows) {
        std::vector<std::int64_t> out;
        for (auto row = rows.begin; row < rows.end; ++row) out.push_back(static_cast<std::int64_t>(3 * row + 2));
        return out;
    };
    test::gather_in_parts(
        folder / files::text_embeddings, GetParam(),
        [&](parallel::Slice rows, storage::Hdf5File& part) {
            write_text_embeddings(part, some_vectors(rows), dim, types(rows));
        },
        [&](storage::Hdf5File& whole) { write_attributes(whole); });
    const EmbeddingTable table(folder / files::text_embeddings);
    const parallel::Slice tail{GetParam() / 2, GetParam()};
    EXPECT_EQ(table.embedding(tail), some_vectors(tail));
    EXPECT_EQ(table.types(), types({0, GetParam()}));
}

INSTANTIATE_TEST_SUITE_P(rows, EmbeddingTables, ::testing::Values(1, 4, 99));

TEST(embedding_table, of_nothing_is_a_table_of_no_rows) {
    const test::TemporaryFolder folder;
    storage::publish_hdf5(folder / "e.h5", [](storage::Hdf5File& out) { write_text_embeddings(out, {}, dim, {}); });
    const EmbeddingTable table(folder / "e.h5");
    EXPECT_EQ(table.rows(), 0u);
    EXPECT_EQ(table.dim(), dim);
    EXPECT_TRUE(table.types().empty());
}

TEST(embedding_table, says_which_dataset_is_missing_or_of_another_kind) {
    const test::TemporaryFolder folder;
    storage::publish_hdf5(folder / "e.h5", [](storage::Hdf5File& out) {
        write_text_embeddings(out, some_vectors({0, 2}), dim, {1, 2});
    });
    EXPECT_THAT(test::storage_error([&] { EmbeddingTable(folder / "e.h5").failed(); }),
                test::NamesFileAndDataset(folder / "e.h5", "failed"));
    storage::publish_hdf5(folder / "doubles.h5", [](storage::Hdf5File& out) {
        out.write("embedding", std::vector<double>{1, 2});
    });
    EXPECT_THAT(test::storage_error([&] {
                    EmbeddingTable(folder / "doubles.h5").embedding({0, 2});
                }),
                test::NamesFileAndDataset(folder / "doubles.h5", "embedding"));
}

}  // namespace
}  // namespace tg::run
