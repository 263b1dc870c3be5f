#include "taskgalaxy/report/audit.hpp"

#include <cmath>
#include <gtest/gtest.h>
#include <set>

#include "run_data.hpp"
#include "synthetic_run.hpp"
#include "taskgalaxy/core/error.hpp"
#include "taskgalaxy/core/text.hpp"

namespace tg::report {
namespace {

using test::SyntheticRun;

TEST(Audit, sheet_mixes_kept_and_rejected_and_shows_no_votes) {
    SyntheticRun run("audit_sheet");
    run.make_all();
    const auto page = read_text_file(write_audit_sheet(run.paths, run.pool, {.samples = 10, .rejected_share = 0.2}));
    EXPECT_EQ(page.find("class=\"vote "), std::string::npos);
    const auto samples = run::SampleTable(run.paths.file("samples.h5"));
    std::size_t rejected = 0;
    std::set<std::size_t> rows;
    for (std::size_t row = 0; row < samples.size(); ++row)
        if (page.find(fmt::format("data-row=\"{}\"", row)) != std::string::npos) {
            rows.insert(row);
            rejected += !samples.kept(row);
        }
    EXPECT_EQ(rows.size(), 10u);
    EXPECT_EQ(rejected, 2u);
    const auto again = read_text_file(write_audit_sheet(run.paths, run.pool, {.samples = 10, .rejected_share = 0.2}));
    EXPECT_EQ(page, again);
    const auto all = read_text_file(write_audit_sheet(run.paths, run.pool, {.samples = 100000}));
    EXPECT_GT(all.size(), page.size());
}

TEST(Audit, ratings_that_agree_with_the_judges_have_kappa_one) {
    SyntheticRun run("audit_agree");
    run.make_all();
    write_audit_sheet(run.paths, run.pool, {.samples = 1000});
    const run::SampleTable samples(run.paths.file("samples.h5"));
    std::string agree = "row,rating\r\n", opposed = "\xEF\xBB\xBFrating;row\n";
    for (std::size_t row = 0; row < samples.size(); ++row) {
        agree += fmt::format("{},{}\r\n", row, samples.kept(row) ? 1 : 0);
        opposed += row == 0 ? ";0\n" : fmt::format("{};{}\n", samples.kept(row) ? 0 : 1, row);
    }
    storage::publish_text(run.folder / "agree.csv", agree);
    storage::publish_text(run.folder / "opposed.csv", opposed);

    const auto one = read_audit(run.paths, {run.folder / "agree.csv"});
    EXPECT_EQ(one.kappa, 1);
    EXPECT_EQ(one.kept.value(), 1);
    EXPECT_EQ(one.rejected.value(), 0);
    EXPECT_EQ(one.kept.rated + one.rejected.rated, samples.size());
    EXPECT_TRUE(std::isnan(one.kappa_between_people));
    EXPECT_NE(audit_text(one).find("Cohen's kappa): 1.000"), std::string::npos);

    const auto two = read_audit(run.paths, {run.folder / "agree.csv", run.folder / "opposed.csv"});
    EXPECT_EQ(two.people, 2u);
    EXPECT_EQ(two.unrated, 1u);
    // Of opposite minds about everything: none agree, and 2p(1-p) would by chance.
    double valid = 0;
    for (std::size_t row = 1; row < samples.size(); ++row) valid += samples.kept(row);
    valid /= static_cast<double>(samples.size() - 1);
    const double by_chance = 2 * valid * (1 - valid);
    EXPECT_NEAR(two.kappa_between_people, -by_chance / (1 - by_chance), 1e-9);
    std::uint64_t by_votes = 0, valid_rejected = 0;
    for (const auto& [votes, share] : two.by_votes) by_votes += share.rated;
    for (const auto& [name, share] : two.rejected_by_level1) valid_rejected += share.valid;
    EXPECT_EQ(by_votes, two.kept.rated + two.rejected.rated);
    EXPECT_EQ(valid_rejected, two.rejected.valid);
}

TEST(Audit, the_sheet_itself_reads_back_as_unrated) {
    SyntheticRun run("audit_unrated");
    run.make_all();
    write_audit_sheet(run.paths, run.pool, {.samples = 12});
    const auto report = read_audit(run.paths, {run.paths.report() / "audit.csv"});
    EXPECT_EQ(report.unrated, 12u);
    EXPECT_EQ(report.kept.rated, 0u);
    EXPECT_TRUE(std::isnan(report.kappa));
}

TEST(Audit, interval_is_Wilsons) {
    const AuditReport::Share share{.valid = 90, .rated = 100};
    EXPECT_NEAR(share.interval().first, 0.8256, 1e-3);
    EXPECT_NEAR(share.interval().second, 0.9448, 1e-3);
}

TEST(Audit, mistakes_in_ratings_are_named) {
    SyntheticRun run("audit_mistakes");
    run.make_all();
    const auto message = [&](const char* text) {
        storage::publish_text(run.folder / "bad.csv", text);
        try {
            read_audit(run.paths, {run.folder / "bad.csv"});
        } catch (const InputError& error) {
            return std::string(error.what());
        }
        return std::string("nothing was thrown");
    };
    EXPECT_NE(message("row,rating\n0,1\n1,yes\n").find("bad.csv:3: rating 'yes' is neither 1 nor 0"),
              std::string::npos);
    EXPECT_NE(message("row,rating\n999999,1\n").find("'999999' is no row of samples.h5"), std::string::npos);
    EXPECT_NE(message("row,verdict\n0,1\n").find("column 'rating' is not there"), std::string::npos);
    EXPECT_NE(message("row,rating\n0\n").find("short of columns"), std::string::npos);
    std::filesystem::remove(run.paths.file("samples.h5"));
    EXPECT_THROW(write_audit_sheet(run.paths, run.pool, {}), InputError);
}

}  // namespace
}  // namespace tg::report
