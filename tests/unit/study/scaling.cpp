#include "taskgalaxy/study/scaling.hpp"

#include <fstream>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "taskgalaxy/core/error.hpp"
#include "taskgalaxy/core/text.hpp"
#include "temporary_folder.hpp"

namespace tg::study {
namespace {

constexpr auto header =
    "ranks,stage,phase,calls,seconds,collectives,collective_bytes,collective_s,file_operations,file_bytes,file_s\n";

TEST(study_scaling, collects_what_is_measured_into_tables_charts_and_a_model) {
    const test::TemporaryFolder folder;
    ScalingSettings settings;
    settings.folder = folder.path();
    settings.collect_only = true;
    settings.repeats = 1;
    for (const std::string mode : {"strong", "weak"})
        for (const std::string ranks : {"1", "2"})
            std::ofstream(folder / (mode + "-" + ranks + "-1.csv"))
                << header << ranks << ",train,step,2," << (ranks == "1" ? 8 : 4) << ",10,100,0.5,0,0,0\n";
    const auto text = study_scaling(settings);
    EXPECT_THAT(text, testing::HasSubstr("| training step | 2 | 2.000 (2.000–2.000) | 100 % |"));
    EXPECT_EQ(read_text_file(folder / "scaling.md"), text);
    EXPECT_THAT(read_text_file(folder / "scaling.csv"),
                testing::HasSubstr("\nweak,2,1,training step,2.000000,5,50,0.250000,0,0,0.000000\n"));
    for (const auto* file : {"scaling.h5", "model.csv", "model.svg", "strong.svg", "strong-efficiency.svg", "weak.svg",
                             "weak-efficiency.svg"})
        EXPECT_TRUE(std::filesystem::exists(folder / file)) << file;
}

TEST(study_scaling, refuses_to_collect_where_nothing_is_measured) {
    const test::TemporaryFolder folder;
    ScalingSettings settings;
    settings.folder = folder.path();
    settings.collect_only = true;
    EXPECT_THROW(study_scaling(settings), InputError);
}

}  // namespace
}  // namespace tg::study
