#include "commands.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <map>

#include "taskgalaxy/core/error.hpp"
#include "taskgalaxy/pipeline/stages.hpp"
#include "temporary_folder.hpp"

namespace tg::app {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::StartsWith;

using Words = std::vector<std::string>;

int act(const std::string& command, const Words& arguments) {
    return find_command(command).act(*parallel::make_solo(), arguments);
}

std::string error_of(const std::string& command, const Words& arguments) {
    try {
        act(command, arguments);
    } catch (const UsageError& error) {
        return error.what();
    } catch (const parallel::AgreedFailure& failure) {
        EXPECT_EQ(failure.code(), ExitCode::usage);
        return failure.what();
    }
    return "no error";
}

std::string said_by(const std::string& command, const Words& arguments) {
    testing::internal::CaptureStdout();
    const int code = act(command, arguments);
    auto text = testing::internal::GetCapturedStdout();
    EXPECT_EQ(code, 0);
    return text;
}

TEST(commands, are_found_by_their_names_and_by_the_customary_options) {
    for (const auto& command : commands()) EXPECT_EQ(&find_command(std::string(command.name)), &command);
    EXPECT_EQ(find_command("--help").name, "help");
    EXPECT_EQ(find_command("-h").name, "help");
    EXPECT_EQ(find_command("--version").name, "version");
}

TEST(commands, run_alone_starts_mpi) {
    for (const auto& command : commands()) EXPECT_EQ(command.on_ranks, command.name == "run") << command.name;
}

TEST(commands, an_unknown_one_is_told_the_known_ones) {
    try {
        find_command("frobnicate");
        FAIL() << "an unknown command was found";
    } catch (const UsageError& error) {
        EXPECT_THAT(error.what(),
                    AllOf(StartsWith("'frobnicate' is neither a command nor a stage; commands: run, plan"),
                          HasSubstr("convert, help, version; taskgalaxy help tells more")));
    }
}

TEST(commands, say_what_is_missing_and_their_usage) {
    const std::map<std::string, std::string> missing{{"run", "JOB"},    {"plan", "JOB"},     {"status", "RUN"},
                                                     {"report", "RUN"}, {"audit", "RUN"},    {"compare", "RUN"},
                                                     {"chat", "MODEL"}, {"convert", "MODEL"}};
    for (const auto& [command, what] : missing)
        EXPECT_THAT(error_of(command, {}), AllOf(StartsWith(what + " is missing; usage: taskgalaxy " + command + " ")))
            << command;
    for (const auto& command : commands()) {
        if (command.name == "help" || command.name == "version") continue;
        const std::string name(command.name);
        EXPECT_THAT(error_of(name, {"--nonsense"}), HasSubstr("; usage: taskgalaxy " + name)) << name;
    }
}

TEST(commands, refuse_numbers_that_make_no_sense_before_anything_is_read) {
    EXPECT_THAT(error_of("audit", {"run", "--samples", "0"}), StartsWith("--samples is at least 1"));
    EXPECT_THAT(error_of("audit", {"run", "--rejected-share", "2"}), StartsWith("--samples is at least 1, --rejected"));
    EXPECT_THAT(error_of("compare", {"run", "--k", "5,x"}), StartsWith("--k: 'x' is no depth"));
    EXPECT_THAT(error_of("convert", {"model", "--layout", "same"}), StartsWith("--layout and --output are needed"));
    const Words study{"scaling", "folder", "job.cfg"};
    const auto error_of_study = [&](Words options) {
        options.insert(options.begin(), study.begin(), study.end());
        return error_of("study", options);
    };
    EXPECT_THAT(error_of("study", {"shrinking", "a", "b"}), StartsWith("`study scaling` takes a folder"));
    EXPECT_THAT(error_of_study({}), StartsWith("--pictures is missing"));
    EXPECT_THAT(error_of_study({"--ranks", "1,0"}), StartsWith("--ranks: '0' is no rank count"));
    EXPECT_THAT(error_of_study({"--pictures", "p", "--repeats", "0"}), StartsWith("--repeats, --items"));
    EXPECT_THAT(error_of_study({"--pictures", "p", "--link-gb", "0"}), StartsWith("the model's machine"));
}

TEST(commands, a_job_file_that_is_not_there_is_a_usage_error) {
    EXPECT_THAT(error_of("plan", {"no/such.cfg"}),
                AllOf(HasSubstr("no/such.cfg"), HasSubstr("give the path of a job file, for example jobs/demo.cfg")));
}

TEST(commands, report_names_a_folder_that_is_no_run) {
    const test::TemporaryFolder folder;
    EXPECT_THROW(act("report", {folder.path().string()}), InputError);
}

TEST(help, lists_every_command_and_every_stage) {
    const auto text = said_by("help", {});
    for (const auto& command : commands()) EXPECT_THAT(text, HasSubstr(std::string(command.purpose)));
    for (const auto& stage : pipeline::stage_names()) EXPECT_THAT(text, HasSubstr("\n  " + stage + " "));
}

TEST(help, of_a_stage_names_its_files_and_explains_its_sections) {
    for (const auto& stage : pipeline::stage_names()) {
        const auto text = said_by("help", {stage});
        EXPECT_THAT(text, AllOf(StartsWith(stage + ": "), HasSubstr("\n  reads  "), HasSubstr("\n  writes ")));
        for (const auto& section : pipeline::sections_of(stage)) EXPECT_THAT(text, HasSubstr("[" + section));
    }
    EXPECT_THAT(said_by("help", {"embed"}), AllOf(HasSubstr("embed_images: "), HasSubstr("embed_texts: ")));
    EXPECT_THAT(said_by("help", {"screen"}), StartsWith("curate: "));
}

TEST(help, of_a_command_is_its_usage_and_report_is_taken_for_the_stage) {
    EXPECT_THAT(said_by("help", {"status"}), StartsWith("taskgalaxy status RUN [--json]\n  what a run has done"));
    EXPECT_THAT(said_by("help", {"run"}), HasSubstr("[run]"));
    EXPECT_THAT(said_by("help", {"simulate"}), AllOf(HasSubstr("[simulator]"), HasSubstr("[ground_truth]")));
    EXPECT_THAT(said_by("help", {"report"}), HasSubstr("\n  writes report/index.html"));
    EXPECT_THAT(error_of("help", {"frobnicate"}), StartsWith("stage 'frobnicate' is not known; stages: ingest"));
}

}  // namespace
}  // namespace tg::app
