#include "status.hpp"

#include <fstream>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "taskgalaxy/core/error.hpp"
#include "taskgalaxy/run/lock.hpp"
#include "taskgalaxy/run/record.hpp"
#include "temporary_folder.hpp"

namespace tg::app {
namespace {

using testing::HasSubstr;
using testing::Not;

// A run of which two stages are done, and a third was under way on two ranks.
struct StatusOfARun : testing::Test {
    test::TemporaryFolder run;
    StatusOfARun() {
        run::Record record(run / "run.h5");
        record.set("ingest", {"f1", "2026-01-01T00:00:00Z", 1.5, {{"pictures", 796}, {"share", 0.31987}}});
        record.set("match", {"f2", "2026-01-01T00:01:00Z", 2, {}});
        record.save();
        progress("0.json", R"({"stage": "curate", "done": 30, "total": 100, "unit": "images", "per_second": 2.0})");
        progress("1.json", R"({"stage": "curate", "done": 20, "total": 100, "unit": "images", "per_second": 3.0,
                               "note": "$1.20"})");
    }
    void progress(const std::string& file, const std::string& text) const {
        std::filesystem::create_directories(run / "progress");
        std::ofstream(run / ("progress/" + file)) << text;
    }
    std::string text() const { return status_text(run.path()); }
    nlohmann::json json() const { return nlohmann::json::parse(status_json(run.path())); }
};

TEST_F(StatusOfARun, names_every_stage_as_done_with_its_figures_or_not_done) {
    EXPECT_THAT(text(), HasSubstr("\n  ingest       done 2026-01-01T00:00:00Z in 1.5 s: pictures 796, share 0.3199\n"));
    EXPECT_THAT(text(), HasSubstr("\n  match        done 2026-01-01T00:01:00Z in 2.0 s\n"));
    EXPECT_THAT(text(), HasSubstr("\n  curate       not done\n"));
}

TEST_F(StatusOfARun, sums_the_work_under_way_over_the_ranks) {
    EXPECT_THAT(text(), HasSubstr("  interrupted in curate: 50/200 images (25.0 %), 5.0/s, $1.20\n"));
    const run::Lock lock(run.path());
    EXPECT_THAT(text(), HasSubstr("  now curate: 50/200 images (25.0 %), 5.0/s, 30.0 s to go, $1.20\n"));
}

TEST_F(StatusOfARun, says_whether_and_by_whom_it_is_run) {
    EXPECT_TRUE(text().starts_with(run.path().string() + ": not running\n"));
    const run::Lock lock(run.path());
    EXPECT_TRUE(text().starts_with(run.path().string() + ": running, process "));
    EXPECT_EQ(json()["running"], true);
    EXPECT_THAT(json()["holder"].get<std::string>(), HasSubstr("process "));
}

TEST_F(StatusOfARun, leaves_out_work_that_is_finished_done_or_cannot_be_read) {
    progress("2.json", R"({"stage": "train", "done": 5, "total": 5, "finished": true})");
    progress("3.json", R"({"stage": "match", "done": 5, "total": 9})");
    progress("4.json", R"({"stage": "evalu)");
    progress("notes.txt", R"({"stage": "export"})");
    const auto under_way = json()["under_way"];
    EXPECT_EQ(under_way.size(), 1u) << under_way;
    EXPECT_TRUE(under_way.contains("curate"));
}

TEST_F(StatusOfARun, json_says_the_same) {
    const auto all = json();
    EXPECT_EQ(all["run"], run.path().string());
    EXPECT_EQ(all["running"], false);
    EXPECT_EQ(all["stages"]["ingest"]["done"], true);
    EXPECT_EQ(all["stages"]["ingest"]["seconds"], 1.5);
    EXPECT_EQ(all["stages"]["ingest"]["figures"]["pictures"], 796);
    EXPECT_EQ(all["stages"]["curate"], (nlohmann::json{{"done", false}}));
    EXPECT_EQ(all["under_way"]["curate"]["done"], 50);
    EXPECT_EQ(all["under_way"]["curate"]["seconds_to_go"], 30.0);
}

TEST_F(StatusOfARun, work_of_unknown_size_has_no_end_in_sight) {
    std::filesystem::remove_all(run / "progress");
    progress("0.json", R"({"stage": "train", "done": 5, "unit": "steps"})");
    const run::Lock lock(run.path());
    EXPECT_THAT(text(), HasSubstr("  now train: 5/0 steps (100.0 %), 0.0/s\n"));
    EXPECT_THAT(text(), Not(HasSubstr("to go")));
}

TEST(status, refuses_a_folder_that_is_no_run) {
    const test::TemporaryFolder folder;
    EXPECT_THROW(status_text(folder.path()), InputError);
    EXPECT_THROW(status_json(folder / "missing"), InputError);
}

}  // namespace
}  // namespace tg::app
