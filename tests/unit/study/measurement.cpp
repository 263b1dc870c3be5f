#include "measurement.hpp"

#include <fstream>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "taskgalaxy/core/error.hpp"
#include "taskgalaxy/core/text.hpp"
#include "temporary_folder.hpp"

namespace tg::study {
namespace {

using testing::Contains;
using testing::HasSubstr;

struct Measurement : testing::Test {
    test::TemporaryFolder folder;
    ScalingSettings settings;
    Measurement() {
        settings.folder = folder / "study";
        settings.pictures = folder / "pictures";
        settings.items = 4, settings.items_per_rank = 3, settings.types = 2;
        settings.ranks = {1, 2};
        settings.job = "some.cfg";
        settings.sets = {"embed.batch=1"};
        std::filesystem::create_directories(settings.pictures);
        std::ofstream(settings.pictures / "a.png") << "A";
    }
    // A launcher that does what `script` says in place of a run, whose folder is $run.
    void launch_instead(const std::string& script) {
        std::ofstream(folder / "launcher.sh")
            << "for word; do case $word in run.folder=*) run=${word#run.folder=};; esac; done\n"
            << script;
        settings.launch = "sh " + (folder / "launcher.sh").string() + " {}";
    }
    int shell(const std::string& script, bool stop_it = false) const {
        return run_command({"sh", "-c", script}, folder / "run", stop_it);
    }
};

TEST_F(Measurement, strong_scaling_keeps_the_pictures_and_the_batch_and_weak_scaling_multiplies_them) {
    const auto pool = (settings.folder / "inputs/pool-").string();
    const auto strong = command_of(settings, {"strong", 2, 1});
    EXPECT_THAT(strong, Contains("pool.sources=folder:" + pool + "4"));
    EXPECT_THAT(strong, Contains("train.global_batch=8")) << "of the most ranks, whatever this point's";
    EXPECT_EQ(strong, command_of(settings, {"strong", 2, 1}));
    const auto weak = command_of(settings, {"weak", 2, 1});
    EXPECT_THAT(weak, Contains("pool.sources=folder:" + pool + "6"));
    EXPECT_THAT(command_of(settings, {"weak", 1, 1}), Contains("train.global_batch=4"));
}

TEST_F(Measurement, the_launcher_gets_the_rank_count_and_the_users_settings_come_last) {
    settings.launch = "srun  -n {}";
    const auto words = command_of(settings, {"strong", 2, 3});
    EXPECT_EQ(std::vector<std::string>(words.begin(), words.begin() + 3),
              (std::vector<std::string>{"srun", "-n", "2"}));
    EXPECT_THAT(words, Contains("run.folder=" + (settings.folder / "strong-2-3").string()));
    EXPECT_EQ(words.back(), "embed.batch=1");
}

TEST_F(Measurement, a_command_gives_its_exit_code_or_signal_and_leaves_its_output) {
    EXPECT_EQ(shell("echo out; echo err >&2; exit 3"), 3);
    EXPECT_EQ(read_text_file(folder / "run.txt"), "out\nerr\n");
    EXPECT_EQ(shell("kill -9 $$"), 128 + 9);
    EXPECT_EQ(run_command({"/no/such/program"}, folder / "none", false), 127);
    EXPECT_THAT(read_text_file(folder / "none.txt"), HasSubstr("/no/such/program: No such file"));
}

TEST_F(Measurement, a_command_is_asked_to_stop_at_its_first_checkpoint) {
    std::filesystem::create_directories(folder / "run/checkpoints");
    EXPECT_EQ(shell("trap 'exit 75' USR1; touch " + (folder / "run/checkpoints/1.h5").string() +
                        "; while :; do sleep 0.01; done",
                    true),
              75);
}

TEST_F(Measurement, a_point_is_measured_once_in_two_lives_and_only_its_costs_are_kept) {
    launch_instead(
        "mkdir -p $run/log; echo life >> $run/log/costs.csv; "
        "test $(wc -l < $run/log/costs.csv) = 2 || exit 75\n");
    const Point point{"strong", 2, 1};
    measure(settings, point);
    EXPECT_EQ(read_text_file(point.csv(settings.folder)), "life\nlife\n");
    EXPECT_FALSE(std::filesystem::exists(point.run(settings.folder)));
    launch_instead("exit 9\n");
    EXPECT_NO_THROW(measure(settings, point)) << "what is measured was started again";
}

TEST_F(Measurement, a_command_that_fails_is_named_with_its_output) {
    launch_instead("exit 9\n");
    try {
        measure(settings, {"weak", 2, 1});
        FAIL() << "a failed run counts as measured";
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), ExitCode::input);
        EXPECT_THAT(error.what(), HasSubstr("exit code 9 on 2 ranks; " + (settings.folder / "weak-2-1.txt").string()));
    }
}

}  // namespace
}  // namespace tg::study
