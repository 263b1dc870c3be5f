// The hostile folder of tests/fixtures/pool/make_hostile.py through the whole of ingest: nothing crashes, nothing hangs
// (ctest has a time limit), nothing is lost, and what must be noticed is. Run it under the asan preset as well.
#include <fstream>
#include <map>

#include "taskgalaxy/core/text.hpp"
#include "taskgalaxy/ingest/ingest_stage.hpp"
#include "taskgalaxy/pool/decode_ahead.hpp"
#include "unit/pictures/fixtures.hpp"

namespace tg::pool {
namespace {

using namespace test;

class HostileFolder : public ::testing::Test {
protected:
    HostileFolder() {
        const auto script = std::filesystem::path(TG_SOURCE_DIR) / "tests/fixtures/pool/make_hostile.py";
        const auto command = std::string("python3 ") + script.string() + " " + folder_.path().string() + " > /dev/null";
        EXPECT_EQ(std::system(command.c_str()), 0) << command;
        std::ifstream lines(folder_.path() / "expected.tsv", std::ios::binary);
        for (std::string line; std::getline(lines, line);) {
            const auto fields = split(line, '\t');
            expected_[replace_all(replace_all(fields.at(0), "\\n", "\n"), "\\t", "\t")] = fields.at(1);
        }
        settings_.sources = {folder_.path().string()};
        settings_.threads = 2;
        const auto ranks = parallel::make_solo();
        run::StageContext context{*ranks, run::Paths(run_.path()), "f"};
        ingest::make_ingest_stage(settings_)->run(context);
        pool_ = std::make_unique<Pool>(run_.path() / "pool.h5", settings_);
    }
    ScratchFolder folder_, run_;
    PoolSettings settings_;
    std::map<std::string, std::string, std::less<>> expected_;
    std::unique_ptr<Pool> pool_;
};

TEST_F(HostileFolder, has_every_file_accounted_for_and_every_picture_that_is_left_delivered) {
    EXPECT_GE(expected_.size(), 200u);
    EXPECT_EQ(pool_->size(), expected_.size());
    std::vector<std::uint64_t> all;
    for (std::uint64_t i = 0; i < pool_->size(); ++i) {
        all.push_back(i);
        const auto wanted = expected_.find(pool_->uri(i));
        ASSERT_NE(wanted, expected_.end()) << pool_->uri(i);
        const auto status = pool_->status(i);
        EXPECT_EQ(pool_->usable(i), pool_->reason(i).empty()) << pool_->uri(i);
        if (wanted->second == "broken") {
            EXPECT_FALSE(pool_->usable(i)) << pool_->uri(i);
        } else if (wanted->second != "*") {
            EXPECT_EQ(pictures::name_of(status), wanted->second) << pool_->uri(i) << ": " << pool_->reason(i);
        }
    }
    // What ingest calls usable comes through; what it does not comes as a failure with its reason.
    pictures::ImageRecipe recipe;
    recipe.size = recipe.shortest_edge = 32;
    DecodeAhead ahead(*pool_, all, recipe, {.batch = 16, .threads = 2});
    std::size_t delivered = 0, failed = 0;
    while (auto* batch = ahead.next()) {
        for (std::size_t i = 0; i < batch->indices.size(); ++i) {
            EXPECT_EQ(batch->failures[i].empty(), pool_->usable(batch->indices[i]))
                << pool_->uri(batch->indices[i]) << ": " << batch->failures[i];
            ++(batch->failures[i].empty() ? delivered : failed);
        }
        ahead.release(batch);
    }
    EXPECT_EQ(delivered + failed, expected_.size());
    EXPECT_GT(delivered, 30u);
    EXPECT_GT(failed, 60u);
}

}  // namespace
}  // namespace tg::pool
