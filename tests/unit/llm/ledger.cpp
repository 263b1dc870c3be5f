#include "ledger.hpp"

#include <gtest/gtest.h>
#include <vector>

#include "taskgalaxy/core/random.hpp"

namespace tg::llm {
namespace {

using Status = Reply::Status;

std::map<std::string, EndpointSettings> endpoints() {
    EndpointSettings priced, free_of_prices;
    priced.price_in = 1, priced.price_out = 2;
    return {{"priced", priced}, {"unknown", free_of_prices}};
}

AnswerRecord paid(double usd, std::int64_t in = 0, std::int64_t out = 0) {
    AnswerRecord record;
    record.tokens_in = in, record.tokens_out = out, record.usd = usd;
    return record;
}

}  // namespace

TEST(ledger, keeps_an_account_for_each_endpoint_and_stage) {
    const auto settings = endpoints();
    Ledger ledger(settings, 0, 1, {});
    const auto judge = ledger.account("priced", "judge"), refine = ledger.account("priced", "refine");
    for (int i = 0; i < 3; ++i) ledger.asked(judge);
    ledger.asked(refine);
    ledger.sent(judge);
    ledger.retried(judge);
    ledger.rate_limited(judge);
    ledger.asked_again(refine);
    ledger.paid(judge, paid(0.25, 100, 10));
    ledger.paid(refine, paid(0.5, 7, 1));
    const auto figures = ledger.figures();
    const auto& f = figures.by_endpoint_and_stage.at({"priced", "judge"});
    EXPECT_EQ(f.asked, 3u);
    EXPECT_EQ(f.sent, 1u);
    EXPECT_EQ(f.retries, 1u);
    EXPECT_EQ(f.rate_limited, 1u);
    EXPECT_EQ(f.asked_again, 0u);
    EXPECT_EQ(f.tokens_in, 100);
    EXPECT_EQ(f.tokens_out, 10);
    EXPECT_EQ(f.usd, 0.25);
    EXPECT_EQ(figures.by_endpoint_and_stage.at({"priced", "refine"}).asked_again, 1u);
    EXPECT_EQ(figures.usd, 0.75);
    EXPECT_EQ(ledger.account("priced", "judge"), judge) << "an account stays where it is";
}

TEST(ledger, adds_what_earlier_lives_paid_and_shares_what_they_left) {
    const auto settings = endpoints();
    Ledger ledger(settings, 10, 4, {{{"priced", "judge"}, {1000, 100, 2, true}}, {{"gone", "judge"}, {5, 5, 1, true}}});
    const auto figures = ledger.figures();
    const auto& f = figures.by_endpoint_and_stage.at({"priced", "judge"});
    EXPECT_EQ(f.tokens_in_before, 1000);
    EXPECT_EQ(f.tokens_out_before, 100);
    EXPECT_EQ(f.usd_before, 2);
    EXPECT_EQ(f.usd, 0);
    EXPECT_EQ(figures.usd, 3);
    EXPECT_DOUBLE_EQ(ledger.usd_left(), (10.0 - 3.0) / 4) << "of four ranks";
}

TEST(ledger, says_that_the_cost_is_unknown_once_an_endpoint_without_prices_was_used) {
    const auto settings = endpoints();
    Ledger ledger(settings, 0, 1, {});
    ledger.account("priced", "judge");
    EXPECT_TRUE(ledger.figures().price_known);
    ledger.account("unknown", "judge");
    const auto figures = ledger.figures();
    EXPECT_FALSE(figures.price_known);
    EXPECT_TRUE(figures.by_endpoint_and_stage.at({"priced", "judge"}).price_known);
    EXPECT_FALSE(figures.by_endpoint_and_stage.at({"unknown", "judge"}).price_known);
    Ledger next(settings, 0, 1, {{{"priced", "judge"}, {10, 1, 0, false}}});
    next.account("priced", "judge");
    EXPECT_FALSE(next.figures().price_known) << "earlier lives had no prices";
}

TEST(ledger, counts_every_request_once_whatever_becomes_of_it) {
    const auto settings = endpoints();
    for (std::uint64_t seed = 0; seed < 100; ++seed) {
        RandomStream random(seed);
        Ledger ledger(settings, 0, 1, {});
        const std::vector accounts{ledger.account("priced", "judge"), ledger.account("unknown", "refine")};
        for (int request = 0; request < 50; ++request) {
            const auto account = accounts[random.below(2)];
            const auto askers = 1 + random.below(3);
            for (std::uint64_t i = 0; i < askers; ++i) ledger.asked(account);
            if (random.below(4) == 0)
                for (std::uint64_t i = 0; i < askers; ++i) ledger.from_journal(account);
            else
                ledger.ended(account, std::vector{Status::answered, Status::failed, Status::stopped}[random.below(3)],
                             askers, "cut body: of all things");
        }
        for (const auto& [names, f] : ledger.figures().by_endpoint_and_stage) {
            EXPECT_EQ(f.asked, f.answered + f.from_journal + f.failed + f.stopped);
            const auto of_class = f.failed_by_class.find("cut body");
            EXPECT_EQ(f.failed, of_class == f.failed_by_class.end() ? 0 : of_class->second);
        }
    }
}

// Requests are reserved at the most that they may cost, many are in flight at once and come back in any order.
TEST(ledger, lets_no_sequence_of_requests_pass_the_budget) {
    const auto settings = endpoints();
    for (std::uint64_t seed = 0; seed < 200; ++seed) {
        RandomStream random(seed);
        const double before = random.unit(), budget = 1 + 4 * random.unit();
        Ledger ledger(settings, budget, 1, {{{"priced", "judge"}, {0, 0, before, true}}});
        const auto account = ledger.account("priced", "judge");
        std::vector<double> in_flight;
        bool refused = false;
        for (int step = 0; step < 400; ++step) {
            if (random.below(2) == 0) {
                const double most = random.unit() * 0.2;
                refused |= !ledger.affords(most);
                if (!ledger.affords(most)) continue;
                ledger.reserve(most);
                in_flight.push_back(most);
            } else if (!in_flight.empty()) {
                std::swap(in_flight[random.below(in_flight.size())], in_flight.back());
                ledger.release(in_flight.back());
                ledger.paid(account, paid(in_flight.back() * std::min(1.0, 2 * random.unit())));
                in_flight.pop_back();
            }
            ASSERT_LE(ledger.figures().usd, budget + 1e-12) << "seed " << seed;
        }
        EXPECT_TRUE(refused) << "the budget was never near";
    }
}

TEST(ledger, affords_everything_where_there_is_no_budget) {
    const auto settings = endpoints();
    const Ledger ledger(settings, 0, 1, {});
    EXPECT_TRUE(ledger.affords(1e9));
}

TEST(ledger, tells_the_first_failures_of_a_kind_and_then_every_tenfold) {
    std::vector<std::uint64_t> told;
    for (std::uint64_t times = 1; times <= 20'000; ++times)
        if (Ledger::worth_telling(times)) told.push_back(times);
    EXPECT_EQ(told, (std::vector<std::uint64_t>{1, 2, 3, 4, 5, 10, 100, 1000, 10'000}));
}

TEST(ledger, shows_what_was_published_beside_what_it_counts) {
    const auto settings = endpoints();
    Ledger ledger(settings, 0, 1, {});
    EndpointState state;
    state.in_flight = 3;
    ledger.publish(17, {{"priced", state}});
    EXPECT_EQ(ledger.figures().queued, 17u);
    EXPECT_EQ(ledger.figures().endpoints.at("priced").in_flight, 3);
}

TEST(charge, takes_cached_prompt_tokens_at_their_own_price_where_there_is_one) {
    EndpointSettings e;
    e.price_in = 10, e.price_out = 20;
    EXPECT_DOUBLE_EQ(charge_usd(e, {1000, 100}, 400).value(), (1000 * 10 + 100 * 20) * 1e-6) << "no price of its own";
    e.price_cached_in = 1;
    EXPECT_DOUBLE_EQ(charge_usd(e, {1000, 100}, 400).value(), (600 * 10 + 400 * 1 + 100 * 20) * 1e-6);
    EXPECT_DOUBLE_EQ(charge_usd(e, {1000, 0}, 5000).value(), 1000 * 1e-6) << "no more than there are";
    e.price_out = -1;
    EXPECT_FALSE(charge_usd(e, {1000, 100}, 0));
    EXPECT_TRUE(charge_usd(e, {1000, 0}, 0)) << "the unknown price does not matter";
}

}  // namespace tg::llm
