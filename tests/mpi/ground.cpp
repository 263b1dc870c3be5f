// Communicator, agreement, parallel HDF5 and gathering on awkward rank counts.
#include <gtest/gtest.h>
#include <numeric>

#include "mpi_world.hpp"
#include "taskgalaxy/run/cost_log.hpp"
#include "taskgalaxy/storage/parts.hpp"
#include "taskgalaxy/storage/publish.hpp"

namespace tg {

using test::world;

TEST(ranks, add_up_gather_and_broadcast) {
    const auto n = world().size();
    EXPECT_EQ(world().sum(std::int64_t{world().rank()}), n * (n - 1) / 2);
    EXPECT_EQ(world().sum_before(1), world().rank());
    EXPECT_EQ(world().broadcast<std::string>(world().is_root() ? "from root" : "mine"), "from root");
    const auto texts = world().gather<std::string>(std::string(static_cast<std::size_t>(world().rank()), 'x'));
    ASSERT_EQ(texts.size(), world().is_root() ? static_cast<std::size_t>(n) : 0u);
    for (std::size_t r = 0; r < texts.size(); ++r) EXPECT_EQ(texts[r].size(), r);
}

TEST(ranks, reduce_scatter_then_all_gather_is_an_all_reduce) {
    const auto n = static_cast<std::size_t>(world().size());
    std::vector<float> values(n * 16), mine(16), all(n * 16);
    std::iota(values.begin(), values.end(), static_cast<float>(world().rank()));
    auto expected = values;
    world().all_reduce_sum(std::span(expected));
    world().reduce_scatter_sum(values, mine);
    world().all_gather(std::as_bytes(std::span(mine)), std::as_writable_bytes(std::span(all)));
    EXPECT_EQ(all, expected);
}

TEST(ranks, pass_blocks_around_a_ring) {
    const int n = world().size(), next = (world().rank() + 1) % n, previous = (world().rank() + n - 1) % n;
    const std::vector<int> out(1000, world().rank());
    std::vector<int> in(1000, -1);
    world().exchange(std::as_bytes(std::span(out)), next, std::as_writable_bytes(std::span(in)), previous);
    EXPECT_EQ(in, std::vector<int>(1000, previous));
}

TEST(ranks, split_by_colour_keeps_their_order) {
    const auto group = world().split(world().rank() % 2);
    EXPECT_EQ(group->rank(), world().rank() / 2);
    EXPECT_EQ(world().split(-1), nullptr);
}

TEST(ranks, all_learn_of_the_failure_of_the_last) {
    const int last = world().size() - 1;
    try {
        parallel::together(world(), [&] {
            if (world().rank() == last) throw InputError("only here");
        });
        FAIL() << "rank " << world().rank() << " did not learn of it";
    } catch (const parallel::AgreedFailure& failure) {
        EXPECT_EQ(failure.failed_rank(), last);
        EXPECT_EQ(failure.code(), ExitCode::input);
        EXPECT_STREQ(failure.what(), "only here");
    }
}

TEST(parts, gathered_by_all_ranks_are_what_one_rank_would_write) {
    const test::SharedFolder folder;
    constexpr parallel::Cut parts{1003, 50};
    const storage::PartStore store(folder / "parts", parts, "f", world());
    storage::for_each_part(store, world(), "test", "items",
                           [](std::uint64_t, parallel::Slice items, storage::Hdf5File& out) {
                               std::vector<float> rows;
                               std::vector<std::string> names;
                               for (auto i = items.begin; i < items.end; ++i) {
                                   for (int d = 0; d < 3; ++d)
                                       rows.push_back(static_cast<float>(i) + 0.25f * static_cast<float>(d));
                                   names.push_back(std::string(i % 7, 'n'));
                               }
                               const std::uint64_t shape[] = {items.size(), 3};
                               out.write("rows", std::span<const float>(rows), shape);
                               out.write_texts("name", names);
                           });
    store.gather(folder / "all.h5", [](storage::Hdf5File& out) { out.set_attribute("items", 1003); });
    const auto all = storage::Hdf5File::open(folder / "all.h5");
    ASSERT_EQ(all.shape("rows"), (std::vector<std::uint64_t>{1003, 3}));
    const auto rows = all.read<float>("rows");
    const auto names = all.read_texts("name");
    for (std::size_t i = 0; i < 1003; ++i) {
        ASSERT_EQ(rows[3 * i + 1], static_cast<float>(i) + 0.25f);
        ASSERT_EQ(names[i].size(), i % 7);
    }
    EXPECT_EQ(all.int_attribute("items"), 1003);
    EXPECT_FALSE(std::filesystem::exists(folder / "parts"));
}

TEST(parts, one_ranks_failure_is_everybodys_and_keeps_the_parts_done) {
    const test::SharedFolder folder;
    constexpr parallel::Cut parts{40, 2};
    const int last = world().size() - 1;
    const auto run = [&](bool fail) {
        const storage::PartStore store(folder / "parts", parts, "f", world());
        const auto before = store.missing().size();
        storage::for_each_part(store, world(), "test", "items",
                               [&](std::uint64_t, parallel::Slice items, storage::Hdf5File& out) {
                                   if (fail && world().rank() == last) throw InputError("broken");
                                   out.write("x", std::vector<std::int64_t>(items.size(), 1));
                               });
        return before;
    };
    EXPECT_THROW(run(true), parallel::AgreedFailure);
    const auto share = parallel::slice_of(20, 0, 1).size() / static_cast<std::uint64_t>(world().size());
    EXPECT_LE(run(false), 20 - (world().size() > 1 ? share : 0));
}

TEST(cost_log, has_the_slowest_rank_the_sum_of_files_and_the_mean_of_waits) {
    const test::SharedFolder folder;
    const auto rank = world().rank(), n = world().size();
    take_phase_costs();
    if (rank == n - 1) {
        const CostPhase phase("of one rank");
        const CountedFileWork work(64, 2);
    }
    run::log_costs(world(), folder / "costs.csv", "match", {1, 1.0 + rank, rank, 10 * rank, 1.0 * rank, 3, 30, 0.5});
    world().barrier();  // the file is rank 0's
    const auto rows = run::read_costs(folder / "costs.csv");
    ASSERT_EQ(rows.size(), 2u);
    EXPECT_EQ(rows[0].phase, "of one rank");
    EXPECT_EQ(rows[0].file_operations, 2);
    EXPECT_EQ(rows[1].phase, "total");
    EXPECT_EQ(rows[1].ranks, n);
    EXPECT_EQ(rows[1].stage, "match");
    EXPECT_DOUBLE_EQ(rows[1].seconds, n);
    EXPECT_EQ(rows[1].collectives, n - 1);
    EXPECT_EQ(rows[1].file_bytes, 30 * n);
    EXPECT_NEAR(rows[1].collective_s, 0.5 * (n - 1), 1e-6);
    EXPECT_NEAR(rows[1].file_s, 0.5, 1e-6);
}

}  // namespace tg
