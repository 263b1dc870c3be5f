#include "taskgalaxy/asking/inquiry.hpp"

#include <atomic>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "taskgalaxy/core/error.hpp"
#include "taskgalaxy/storage/journal.hpp"
#include "unit/llm/loopback.hpp"

namespace tg::asking {
namespace {

// One process that asks a stand-in server.
struct Desk {
    test::TemporaryFolder folder;
    simulator::Simulator server{{}, test::echo};
    std::unique_ptr<parallel::Communicator> solo = parallel::make_solo();
    run::Paths paths{folder.path()};
    InquiryPlan plan{.stage = "quiz",
                     .steps = {"test"},
                     .endpoints = {{"a", test::endpoint_at(server.url())}},
                     .endpoint_names = {"a"},
                     .api = test::quick_api()};

    run::StageContext context() const { return {*solo, paths, "fingerprint"}; }
};

void put(Asker& asker, int count, int& answered) {
    for (int i = 0; i < count; ++i)
        asker.submit(test::question(i), {},
                     [&](llm::Reply reply) { answered += reply.status == llm::Reply::Status::answered; });
    llm::throw_if_ended_early(asker.run({}), "quiz");
}

run::Figures ask_all(Inquiry& inquiry, int count, int& answered) {
    Errand errand;
    errand.work = [&] { inquiry.ask([&](Asker& asker) { put(asker, count, answered); }); };
    inquiry.run(std::move(errand));
    run::Figures figures;
    inquiry.bill(figures);
    return figures;
}

}  // namespace

TEST(an_inquiry, asks_folds_its_journals_and_leaves_the_bill) {
    const Desk desk;
    int answered = 0;
    Inquiry inquiry(desk.context(), desk.plan);
    EXPECT_TRUE(inquiry.asks());
    EXPECT_EQ(inquiry.number(), 0);
    EXPECT_EQ(inquiry.askers(), 1);
    const auto figures = ask_all(inquiry, 5, answered);
    EXPECT_EQ(answered, 5);
    EXPECT_EQ(inquiry.live_text(), "") << "no engine is open any more";
    EXPECT_TRUE(storage::journal_files(desk.paths.journal()).empty());
    EXPECT_FALSE(storage::folded_files(desk.paths.journal()).empty());
    EXPECT_THAT(figures, testing::Contains(testing::Pair("test.requests", 5)));
    const auto expenses = read_expenses(desk.folder / "costs/quiz.json");
    EXPECT_EQ(expenses.at({"test", "a"}).sent, 5);
    EXPECT_GT(expenses.at({"test", "a"}).usd, 0);
}

TEST(an_inquiry, folds_what_an_earlier_life_left_before_it_asks_and_buys_nothing_twice) {
    const Desk desk;
    {
        llm::Engine killed(desk.plan.endpoints, desk.plan.api, desk.paths.journal(), 0, 1);
        killed.submit(test::question(0), {}, [](llm::Reply) {});
        killed.run({});
    }
    EXPECT_FALSE(storage::journal_files(desk.paths.journal()).empty());
    Inquiry inquiry(desk.context(), desk.plan);
    EXPECT_TRUE(storage::journal_files(desk.paths.journal()).empty());
    int answered = 0;
    ask_all(inquiry, 3, answered);
    EXPECT_EQ(answered, 3);
    EXPECT_EQ(desk.server.counts().requests, 3u);
    const auto expense = read_expenses(desk.folder / "costs/quiz.json").at({"test", "a"});
    EXPECT_EQ(expense.from_journal, 1);
    EXPECT_EQ(expense.sent, 2);
}

TEST(an_inquiry, ends_with_its_own_exit_code_when_the_budget_is_spent) {
    Desk desk;
    desk.plan.api.budget_usd = 1e-9;
    Inquiry inquiry(desk.context(), desk.plan);
    int answered = 0;
    try {
        ask_all(inquiry, 5, answered);
        ADD_FAILURE() << "nothing was thrown";
    } catch (const parallel::AgreedFailure& failure) {
        EXPECT_EQ(failure.code(), ExitCode::done);
        EXPECT_THAT(failure.what(), testing::HasSubstr("budget"));
    }
    EXPECT_EQ(answered, 0);
    EXPECT_FALSE(std::filesystem::exists(desk.folder / "costs/quiz.json"));
}

TEST(an_inquiry, leaves_its_questions_when_an_alarm_is_raised) {
    const Desk desk;
    Inquiry inquiry(desk.context(), desk.plan);
    std::atomic<std::int64_t> answered{0};
    Errand errand;
    errand.work = [&] {
        inquiry.ask([&](Asker& asker) {
            int next = 0;
            asker.run([&] {  // would ask for ever
                asker.submit(test::question(next++), {}, [&](llm::Reply) { ++answered; });
                return true;
            });
        });
    };
    errand.counts = [&] { return std::vector<std::int64_t>{answered}; };
    errand.look = [](std::span<const std::int64_t> sums) {
        if (sums[0] > 3) throw InputError("enough");
    };
    try {
        inquiry.run(std::move(errand));
        ADD_FAILURE() << "nothing was thrown";
    } catch (const parallel::AgreedFailure& failure) {
        EXPECT_EQ(failure.code(), ExitCode::input);
        EXPECT_THAT(failure.what(), testing::HasSubstr("enough"));
    }
}

}  // namespace tg::asking
