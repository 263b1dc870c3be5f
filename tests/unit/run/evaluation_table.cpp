#include "taskgalaxy/run/evaluation_table.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fmt/format.h>

#include "tables.hpp"

namespace tg::run {
namespace {

EvaluationTable some_table(std::size_t rows) {
    EvaluationTable table{.convention = "vlmevalkit", .prompts = "llava", .judge = ""};
    for (std::size_t i = 0; i < rows; ++i) {
        const auto number = static_cast<double>(i);
        table.rows.push_back({.model = i % 2 ? "tuned" : "base",
                              .benchmark = fmt::format("b{}", i),
                              .kind = "choice",
                              .title = "Multiple choice",
                              .rule = "exact",
                              .state = i % 3 == 2 ? "not run: no file" : "done",
                              .note = std::string(i, 'n'),
                              .headline = "overall",
                              .value = number / 3,
                              .full = 2000,
                              .score = number / 7,
                              .questions = 100 + i,
                              .unread = i,
                              .seconds = number,
                              .in_mean = i % 2 == 0});
        table.figures.push_back({"base", fmt::format("b{}", i), "overall", number, 100, 10 * i});
        table.means.push_back({"base", "all benchmarks", number, "a, b"});
    }
    return table;
}

class EvaluationTables : public ::testing::TestWithParam<std::size_t> {};

TEST_P(EvaluationTables, give_back_rows_figures_and_means) {
    const test::TemporaryFolder folder;
    const auto written = some_table(GetParam());
    written.write(folder / files::evaluation);
    const auto read = EvaluationTable::read(folder / files::evaluation);
    ASSERT_EQ(read.rows.size(), GetParam());
    ASSERT_EQ(read.figures.size(), GetParam());
    ASSERT_EQ(read.means.size(), GetParam());
    for (std::size_t i = 0; i < GetParam(); ++i) {
        const auto fields = [](const EvaluationRow& r) {
            return std::tuple(r.model, r.benchmark, r.kind, r.title, r.rule, r.state, r.note, r.headline, r.value,
                              r.full, r.score, r.questions, r.unread, r.seconds, r.in_mean, r.done());
        };
        EXPECT_EQ(fields(read.rows[i]), fields(written.rows[i]));
        const auto figure = [](const EvaluationFigure& f) {
            return std::tuple(f.model, f.benchmark, f.name, f.value, f.full, f.items);
        };
        EXPECT_EQ(figure(read.figures[i]), figure(written.figures[i]));
        const auto mean = [](const EvaluationMean& m) { return std::tuple(m.model, m.name, m.value, m.benchmarks); };
        EXPECT_EQ(mean(read.means[i]), mean(written.means[i]));
    }
    EXPECT_EQ(std::tuple(read.convention, read.prompts, read.judge), std::tuple("vlmevalkit", "llava", ""));
}

INSTANTIATE_TEST_SUITE_P(rows, EvaluationTables, ::testing::Values(0, 1, 40));

TEST(evaluation_table, says_which_dataset_is_missing_of_another_type_or_of_another_length) {
    const test::TemporaryFolder folder;
    const auto broken = [&](const char* name, const std::function<void(storage::Hdf5File&)>& fill) {
        storage::publish_hdf5(folder / name, fill);
        return test::storage_error([&] { EvaluationTable::read(folder / name); });
    };
    EXPECT_THAT(broken("empty.h5", [](storage::Hdf5File&) {}),
                test::NamesFileAndDataset(folder / "empty.h5", "model/lengths"));
    const auto texts = [](storage::Hdf5File& out) {
        for (const char* name : {"model", "benchmark", "kind", "title", "rule", "state", "note", "headline"})
            out.write_texts(name, {"x"});
    };
    EXPECT_THAT(broken("typed.h5",
                       [&](storage::Hdf5File& out) {
                           texts(out);
                           out.write("value", std::vector<float>{1});
                       }),
                test::NamesFileAndDataset(folder / "typed.h5", "value"));
    EXPECT_EQ(broken("longer.h5",
                     [&](storage::Hdf5File& out) {
                         texts(out);
                         out.write("value", std::vector<double>{1, 2});
                     }),
              (folder / "longer.h5").string() +
                  " /value: 2 rows beside 1 of /model; remove the file and run its stage again");
}

}  // namespace
}  // namespace tg::run
