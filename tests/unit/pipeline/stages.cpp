#include "taskgalaxy/pipeline/stages.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <set>

#include "taskgalaxy/core/error.hpp"

namespace tg::pipeline {
namespace {

using testing::ElementsAre;

TEST(stages, are_named_in_the_list_as_they_name_themselves) {
    Job job;
    std::vector<std::string> names;
    for (const auto& stage : make_pipeline(job)) names.emplace_back(stage->name());
    EXPECT_EQ(names, stage_names());
}

TEST(stages, obey_sections_that_the_job_has) {
    Job job;
    for (const auto& name : stage_names()) {
        EXPECT_FALSE(sections_of(name).empty()) << name;
        for (const auto& section : sections_of(name)) EXPECT_NE(job.help_of(section), "") << name << ": " << section;
    }
    EXPECT_THROW(sections_of("frobnicate"), std::logic_error);
}

TEST(stages, read_what_a_stage_before_them_writes_and_write_what_no_other_does) {
    Job job;
    std::set<std::string> made;
    for (const auto& stage : make_pipeline(job)) {
        for (const auto& file : stage->reads()) EXPECT_TRUE(made.contains(file)) << stage->name() << " reads " << file;
        for (const auto& file : stage->writes())
            EXPECT_TRUE(made.insert(file).second) << stage->name() << " writes " << file;
    }
}

TEST(stages_called, knows_names_and_the_words_of_the_rows) {
    for (const auto& name : stage_names()) EXPECT_THAT(stages_called(name), ElementsAre(name));
    EXPECT_THAT(stages_called("embed"), ElementsAre("embed_images", "embed_texts"));
    for (const auto* part : {"refine", "generate", "screen"}) EXPECT_THAT(stages_called(part), ElementsAre("curate"));
    EXPECT_TRUE(is_stage_word("embed"));
    EXPECT_TRUE(is_stage_word("match"));
}

TEST(stages_called, lists_the_stages_where_a_word_means_none) {
    EXPECT_FALSE(is_stage_word("macth"));
    try {
        stages_called("macth");
        FAIL() << "an unknown stage was accepted";
    } catch (const UsageError& error) {
        EXPECT_STREQ(error.what(),
                     "stage 'macth' is not known; stages: ingest, embed_images, expand, embed_texts, match, curate, "
                     "export, train, evaluate, report");
    }
}

}  // namespace
}  // namespace tg::pipeline
