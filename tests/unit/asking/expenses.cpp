#include "taskgalaxy/asking/expenses.hpp"

#include <algorithm>
#include <fstream>
#include <gtest/gtest.h>

#include "taskgalaxy/core/error.hpp"
#include "taskgalaxy/parallel/partition.hpp"
#include "temporary_folder.hpp"

namespace tg::asking {
namespace {

constexpr std::uint64_t requests = 23;

// What an engine would say that asked requests `mine`, in a run whose earlier lives paid for tokens.
llm::EngineFigures figures_of(parallel::Slice mine) {
    llm::EngineFigures figures;
    for (const auto* endpoint : {"a", "b"}) {
        auto& counts = figures.by_endpoint_and_stage[{endpoint, "screen"}];
        counts.asked = counts.answered = mine.size();
        counts.sent = 2 * mine.size(), counts.retries = mine.size();
        counts.tokens_in = static_cast<std::int64_t>(100 * mine.size());
        counts.usd = 0.25 * static_cast<double>(mine.size());  // sums of quarters are exact in any order
        counts.tokens_in_before = 1000, counts.usd_before = 8;
        counts.price_known = true;
    }
    figures.by_endpoint_and_stage[{"a", "expand"}].tokens_in_before = 77;  // of another stage, in the same journal
    return figures;
}

Expenses total_of_shares(std::uint64_t ranks) {
    std::vector<Account> accounts;
    for (std::uint64_t rank = 0; rank < ranks; ++rank)
        accounts.push_back(account_of(figures_of(parallel::slice_of(requests, rank, ranks)), {"screen"}));
    return total(accounts);
}

}  // namespace

TEST(expenses, are_the_same_total_however_many_ranks_asked) {
    for (std::uint64_t ranks = 1; ranks <= 5; ++ranks) {
        const auto sum = total_of_shares(ranks);
        ASSERT_EQ(sum.size(), 2u) << ranks;
        for (const auto& [key, expense] : sum) {
            EXPECT_EQ(key.first, "screen");
            EXPECT_EQ(expense.asked, 23) << ranks;
            EXPECT_EQ(expense.sent, 46) << ranks;
            EXPECT_EQ(expense.tokens_in, 2300 + 1000) << "the past is counted once, on " << ranks << " ranks";
            EXPECT_EQ(expense.usd, 5.75 + 8) << ranks;
            EXPECT_TRUE(expense.price_known);
        }
    }
}

TEST(expenses, count_answers_once_that_an_engine_opened_late_found_in_another_ranks_journal) {
    std::vector<Account> accounts;
    for (const bool late : {false, true, true}) {
        auto figures = figures_of({0, 4});
        if (late) figures.by_endpoint_and_stage.at({"a", "screen"}).tokens_in_before += 400;
        if (late) figures.by_endpoint_and_stage.at({"a", "screen"}).usd_before += 1;
        accounts.push_back(account_of(figures, {"screen"}));
    }
    for (int turn = 0; turn < 3; ++turn) {
        EXPECT_EQ(total(accounts).at({"screen", "a"}).tokens_in, 3 * 400 + 1000);
        EXPECT_EQ(total(accounts).at({"screen", "a"}).usd, 3 + 8);
        std::rotate(accounts.begin(), accounts.begin() + 1, accounts.end());
    }
}

TEST(expenses, that_only_a_late_engine_found_are_no_past) {
    auto late = figures_of({0, 0}), early = figures_of({0, 4});
    for (const auto* endpoint : {"a", "b"}) {
        auto& counts = early.by_endpoint_and_stage.at({endpoint, "screen"});
        counts.tokens_in_before = 0, counts.usd_before = 0;
    }
    early.by_endpoint_and_stage.erase({"b", "screen"});
    const std::vector<Account> accounts{account_of(late, {"screen"}), account_of(early, {"screen"})};
    EXPECT_EQ(total(accounts).at({"screen", "a"}).tokens_in, 400);
    EXPECT_EQ(total(accounts).at({"screen", "b"}).tokens_in, 0);
}

TEST(expenses, of_ranks_that_asked_nothing_are_nothing) {
    EXPECT_TRUE(total({}).empty());
    EXPECT_TRUE(sum_expenses(*parallel::make_solo(), nullptr, {"screen"}).empty());
}

TEST(expenses, hide_the_dollars_where_one_price_is_unknown) {
    auto figures = figures_of({0, requests});
    figures.by_endpoint_and_stage.at({"b", "screen"}).price_known = false;
    const auto sum = sum_expenses(*parallel::make_solo(), &figures, {"screen"});
    EXPECT_FALSE(sum.at({"screen", "b"}).price_known);
    run::Figures named;
    add_expense_figures(named, sum);
    std::map<std::string, double> by_name(named.begin(), named.end());
    EXPECT_EQ(by_name.at("screen.requests"), 46);
    EXPECT_EQ(by_name.at("screen.tokens_in"), 2 * 3300);
    EXPECT_FALSE(by_name.contains("screen.usd"));
}

TEST(expenses, come_back_from_their_file_as_they_were) {
    const test::TemporaryFolder folder;
    const run::Paths paths(folder.path());
    const auto file = expenses_file(paths, "curate");
    EXPECT_EQ(file, folder.path() / "costs/curate.json");
    EXPECT_TRUE(read_expenses(file).empty());
    const auto wrote = total_of_shares(3);
    write_expenses(file, wrote);
    const auto read = read_expenses(file);
    ASSERT_EQ(read.size(), wrote.size());
    for (const auto& [key, expense] : wrote) EXPECT_EQ(Expense::fields(read.at(key)), Expense::fields(expense));
    std::ofstream(file) << R"([{"stage": "screen"}])";
    EXPECT_THROW(read_expenses(file), InputError);
}

}  // namespace tg::asking
