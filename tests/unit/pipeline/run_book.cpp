#include "run_book.hpp"

#include <fstream>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "taskgalaxy/core/error.hpp"
#include "taskgalaxy/core/text.hpp"
#include "taskgalaxy/parallel/communicator.hpp"
#include "temporary_folder.hpp"

namespace tg::pipeline {
namespace {

using testing::ElementsAre;
using testing::EndsWith;
using testing::HasSubstr;
using testing::IsEmpty;

using Files = std::vector<std::string>;

struct MadeUpStage : run::Stage {
    MadeUpStage(std::string its_name, Files its_reads, Files its_writes, Files its_looks = {})
        : called(std::move(its_name)),
          in(std::move(its_reads)),
          out(std::move(its_writes)),
          seen(std::move(its_looks)) {}
    std::string_view name() const override { return called; }
    std::string_view purpose() const override { return "made up"; }
    Files reads() const override { return in; }
    Files looks_at() const override { return seen; }
    Files writes() const override { return out; }
    void describe_inputs(DigestBuilder& inputs) const override {
        if (outside_file_is_gone) throw InputError("weights: no such file");
        inputs.add(setting);
    }
    void check() const override {
        ++checks;
        if (complaint) complaint();
    }
    void run(run::StageContext& context) override {
        for (const auto& file : out) std::ofstream(context.paths.file(file)) << setting;
    }

    std::string called;
    Files in, out, seen;
    std::string setting = "1";
    bool outside_file_is_gone = false;
    void (*complaint)() = nullptr;
    mutable int checks = 0;
};

// pool -> match -> page, which also looks at what `train` makes.
struct RunBookTest : testing::Test {
    test::TemporaryFolder folder;
    Stages stages;
    MadeUpStage *pool, *match, *train, *page;
    std::string job = "[pool]\nsources = a\n[match]\nk = 10\n";
    const std::unique_ptr<parallel::Communicator> solo = parallel::make_solo();

    RunBookTest()
        : pool(add({"pool", {}, {"pool.h5"}})),
          match(add({"match", {"pool.h5"}, {"matches.h5"}})),
          train(add({"train", {"matches.h5"}, {"model"}})),
          page(add({"page", {"matches.h5"}, {"page.html"}, {"model"}})) {}

    MadeUpStage* add(MadeUpStage stage) {
        auto owned = std::make_unique<MadeUpStage>(std::move(stage));
        auto* raw = owned.get();
        stages.push_back(std::move(owned));
        return raw;
    }
    std::filesystem::path run_folder() const { return folder / "run"; }
    std::unique_ptr<RunBook> book(RunBook::Choice choice = {}) const {
        return std::make_unique<RunBook>(run_folder(), stages, std::move(choice), job,
                                         [](const std::string& stage) { return Files{stage}; });
    }
    // One life of the run: the names of the stages that it does.
    Files live(RunBook::Choice choice = {}) const {
        const auto run_book = book(std::move(choice));
        Files did;
        for (const auto& stage : stages) {
            const auto decision = run_book->decide(*stage);
            if (decision.action == Action::skip) continue;
            run_book->note_begun(*stage);
            run::StageContext context{*solo, run::Paths(run_folder()), decision.fingerprint};
            stage->run(context);
            run_book->note_done(*stage, {decision.fingerprint, "2026-01-01T00:00:00Z", 1, {}});
            did.emplace_back(stage->name());
        }
        return did;
    }
    template <class Failure = UsageError> std::string error_of(const std::function<void()>& work) const {
        try {
            work();
        } catch (const Failure& error) {
            return error.what();
        }
        return "no error";
    }
};

TEST_F(RunBookTest, does_every_stage_once_in_pipeline_order) {
    EXPECT_THAT(live(), ElementsAre("pool", "match", "train", "page"));
    EXPECT_THAT(live(), IsEmpty());
}

TEST_F(RunBookTest, tells_what_is_done) {
    EXPECT_FALSE(book()->is_done(*pool));
    live({.only = {"pool"}});
    const auto after = book();
    EXPECT_TRUE(after->is_done(*pool));
    EXPECT_FALSE(after->is_done(*match));
}

TEST_F(RunBookTest, keeps_the_decision_of_a_stage_that_is_not_chosen_empty) {
    const auto decision = book({.only = {"match"}})->decide(*pool);
    EXPECT_EQ(decision.action, Action::skip);
    EXPECT_EQ(decision.fingerprint, "");
}

TEST_F(RunBookTest, names_the_setting_that_changed_and_how_to_go_on) {
    live();
    match->setting = "2";
    job = "[pool]\nsources = b\n[match]\nk = 20\nlater = x\n";
    EXPECT_EQ(error_of([&] { live(); }),
              run_folder().string() +
                  ": stage match was done with other settings or inputs (match.k 10 -> 20, match.later unset -> x); "
                  "--redo match does it and what follows from it again, or give another run.folder");
}

TEST_F(RunBookTest, names_no_setting_where_only_a_file_changed) {
    live();
    match->setting = "the same setting, another file";
    EXPECT_THAT(error_of([&] { live(); }), HasSubstr("stage match was done with other settings or inputs; --redo"));
}

TEST_F(RunBookTest, does_a_stage_again_whose_file_is_missing_and_not_what_follows_from_the_same_result) {
    live();
    std::filesystem::remove(run_folder() / "matches.h5");
    EXPECT_THAT(live(), ElementsAre("match"));
}

TEST_F(RunBookTest, redoes_what_is_asked_for_and_what_follows_from_it) {
    live();
    EXPECT_THAT(live({.redo = {"match"}}), ElementsAre("match", "train", "page"));
    EXPECT_THAT(live({.redo = {"page"}}), ElementsAre("page"));
}

TEST_F(RunBookTest, redo_accepts_a_changed_setting) {
    live();
    match->setting = "2";
    EXPECT_THAT(live({.redo = {"match"}}), ElementsAre("match", "train", "page"));
    EXPECT_THAT(live(), IsEmpty());
}

TEST_F(RunBookTest, redo_of_one_stage_alone_leaves_what_reads_from_it_stale_only_if_its_inputs_changed) {
    live();
    live({.only = {"match"}, .redo = {"match"}});
    EXPECT_THAT(live(), IsEmpty()) << "the same inputs give the same result";
    match->setting = "2";
    live({.only = {"match"}, .redo = {"match"}});
    EXPECT_THAT(error_of([&] { live(); }), HasSubstr("stage train was done with other settings or inputs"));
}

TEST_F(RunBookTest, only_the_chosen_stages_are_done) {
    EXPECT_THAT(live({.only = {"pool", "match"}}), ElementsAre("pool", "match"));
    EXPECT_THAT(live(), ElementsAre("train", "page"));
}

TEST_F(RunBookTest, a_chosen_stage_whose_input_was_never_made_names_its_maker) {
    EXPECT_EQ(error_of([&] { live({.only = {"match"}}); }),
              "stage match needs pool.h5, which stage pool makes and which is not there yet; run stage pool too");
}

TEST_F(RunBookTest, a_file_that_is_only_looked_at_is_not_missed_and_drawn_again_unasked_when_it_comes) {
    EXPECT_THAT(live({.only = {"pool", "match", "page"}}), ElementsAre("pool", "match", "page"));
    EXPECT_THAT(live({.only = {"train"}}), ElementsAre("train"));
    EXPECT_THAT(live(), ElementsAre("page"));
    page->setting = "2";
    EXPECT_THAT(error_of([&] { live(); }), HasSubstr("stage page was done with other settings"))
        << "its own settings still ask";
}

TEST_F(RunBookTest, a_stage_that_was_begun_and_not_ended_is_due_again) {
    live();
    book()->note_begun(*match);
    EXPECT_THAT(error_of([&] { live({.only = {"train"}}); }), HasSubstr("stage train needs matches.h5"));
    EXPECT_THAT(live(), ElementsAre("match"));
}

TEST_F(RunBookTest, checks_what_will_run_and_what_follows_and_nothing_that_is_up_to_date) {
    live();
    book()->check_stages();
    EXPECT_EQ(pool->checks + match->checks + train->checks + page->checks, 0);
    book({.redo = {"train"}})->check_stages();
    EXPECT_EQ(pool->checks + match->checks, 0);
    EXPECT_EQ(train->checks, 1);
    EXPECT_EQ(page->checks, 1) << "it looks at what train makes";
}

TEST_F(RunBookTest, checks_a_stage_whose_setting_changed_whose_file_is_missing_or_whose_inputs_cannot_be_read) {
    live();
    pool->outside_file_is_gone = true;
    train->setting = "2";
    std::filesystem::remove(run_folder() / "page.html");
    book({.only = {"pool", "train", "page"}})->check_stages();
    EXPECT_EQ(pool->checks, 1);
    EXPECT_EQ(match->checks, 0) << "it was not chosen";
    EXPECT_EQ(train->checks, 1);
    EXPECT_EQ(page->checks, 1);
}

TEST_F(RunBookTest, tells_of_a_server_only_where_nothing_else_is_wrong) {
    pool->complaint = [] { throw EndpointError("no answer from the first server"); };
    match->complaint = [] { throw EndpointError("no answer from the second server"); };
    EXPECT_EQ(error_of<EndpointError>([&] { book()->check_stages(); }), "no answer from the first server");
    train->complaint = [] { throw InputError("a file is missing"); };
    EXPECT_EQ(error_of<InputError>([&] { book()->check_stages(); }), "a file is missing");
}

TEST_F(RunBookTest, keeps_the_job_once_a_stage_begins_and_not_before) {
    {
        const auto first = book();
        first->decide(*pool);
        EXPECT_FALSE(std::filesystem::exists(run_folder() / "job.cfg"));
        first->note_begun(*pool);
    }
    EXPECT_EQ(read_text_file(run_folder() / "job.cfg"), job);
}

TEST_F(RunBookTest, clears_the_progress_of_earlier_lives_and_keeps_a_second_job_out) {
    std::filesystem::create_directories(run_folder() / "progress");
    std::ofstream(run_folder() / "progress/7.json") << "{}";
    const auto first = book();
    EXPECT_FALSE(std::filesystem::exists(run_folder() / "progress"));
    EXPECT_THAT(error_of<StorageError>([&] { book(); }), HasSubstr("in use by process"));
}

TEST_F(RunBookTest, names_a_folder_that_cannot_be_made) {
    std::ofstream(folder / "run") << "a file in its place";
    EXPECT_THAT(error_of<StorageError>([&] { book(); }),
                testing::AllOf(HasSubstr("the run directory cannot be made"), EndsWith("choose another run.folder")));
}

TEST_F(RunBookTest, adds_each_life_to_the_provenance) {
    book()->note_life("jobs/a.cfg", 3);
    book()->note_life("jobs/b.cfg", 2);
    const auto kept = run::Record(run_folder() / "run.h5").provenance();
    EXPECT_EQ(kept.at("job"), "jobs/b.cfg");
    EXPECT_THAT(kept.at("lives"), testing::AllOf(HasSubstr("3 ranks"), HasSubstr("2 ranks")));
}

TEST(Decision, travels_between_ranks) {
    const auto arrived = parallel::from_message<Decision>(parallel::to_message(Decision{Action::run, "0123-4567"}));
    EXPECT_EQ(arrived.action, Action::run);
    EXPECT_EQ(arrived.fingerprint, "0123-4567");
}

}  // namespace
}  // namespace tg::pipeline
