#include "taskgalaxy/run/record.hpp"

#include <gtest/gtest.h>

#include "temporary_folder.hpp"

namespace tg::run {

TEST(run_record, gives_back_stages_figures_and_provenance) {
    const test::TemporaryFolder folder;
    {
        Record record(folder / "run.h5");
        record.set("ingest", {"f1", "2026-01-01T00:00:00Z", 1.5, {{"images", 796}, {"bad", 0}}});
        record.set("embed", {"f2", "2026-01-01T00:01:00Z", 2.5, {}});
        record.provenance()["created"] = "2026-01-01T00:00:00Z";
        record.save();
    }
    Record record(folder / "run.h5");
    ASSERT_NE(record.find("ingest"), nullptr);
    EXPECT_EQ(record.find("ingest")->figures, (Figures{{"images", 796}, {"bad", 0}}));
    EXPECT_EQ(record.find("embed")->seconds, 2.5);
    EXPECT_EQ(record.find("match"), nullptr);
    EXPECT_EQ(record.provenance().at("created"), "2026-01-01T00:00:00Z");
    record.forget("embed");
    record.save();
    EXPECT_EQ(Record(folder / "run.h5").find("embed"), nullptr);
}

}  // namespace tg::run
