// An inquiry on every number of ranks: those that api.ranks names ask, each its numbered share, and the bill is the
// same however many they are; a failure of one that asks ends the asking of all.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <optional>

#include "mpi_world.hpp"
#include "taskgalaxy/asking/inquiry.hpp"
#include "taskgalaxy/core/error.hpp"
#include "taskgalaxy/simulator/simulator.hpp"
#include "taskgalaxy/storage/journal.hpp"

namespace tg::asking {
namespace {

using test::world;

constexpr int questions = 11;

// The stand-in server in rank 0's process, and a folder that all ranks see.
struct House {
    test::SharedFolder folder;
    std::optional<simulator::Simulator> server;
    InquiryPlan plan{.stage = "quiz", .steps = {"test"}, .endpoint_names = {"a"}};

    House() {
        if (world().is_root())
            server.emplace(simulator::SimulatorSettings{},
                           [](const simulator::SimulatedCall& call) { return "answer to " + call.user; });
        auto& endpoint = plan.endpoints["a"];
        endpoint.urls = {world().broadcast<std::string>(server ? server->url() : "")};
        endpoint.model = "stand-in";
        endpoint.concurrency = 8;
        endpoint.price_in = 1, endpoint.price_out = 2;
        plan.api.backoff_first_s = 0.01, plan.api.backoff_longest_s = 0.05;
    }
    run::StageContext context(const std::string& run) const {
        return {world(), run::Paths(folder / run), "fingerprint"};
    }
};

llm::Request question(int number) {
    llm::Request request;
    request.endpoint = "a", request.stage = "test", request.item = fmt::format("item {}", number);
    request.user = fmt::format("question {}", number);
    return request;
}

// Puts this rank's share of the questions; how many of them were answered here.
int ask_share(Inquiry& inquiry) {
    int answered = 0;
    Errand errand;
    errand.work = [&] {
        inquiry.ask([&](Asker& asker) {
            for (int i = inquiry.number(); i < questions; i += inquiry.askers())
                asker.submit(question(i), {},
                             [&](llm::Reply reply) { answered += reply.status == llm::Reply::Status::answered; });
            llm::throw_if_ended_early(asker.run({}), "quiz");
        });
    };
    inquiry.run(std::move(errand));
    return answered;
}

TEST(Inquiry, asks_on_the_ranks_that_api_ranks_names_and_bills_the_same_for_all_of_them) {
    const House house;
    const auto last = world().size() - 1;
    const std::vector<std::pair<std::string, int>> wishes{{"1", 1},
                                                          {"3", std::min(3, world().size())},
                                                          {"99", world().size()},
                                                          {"node", 1},
                                                          {fmt::format("+{}", last), 1}};
    std::optional<Expense> before;
    for (const auto& [wish, askers] : wishes) {
        auto plan = house.plan;
        plan.api.ranks = wish;
        const auto context = house.context("run_" + wish);
        Inquiry inquiry(context, plan);
        EXPECT_EQ(inquiry.askers(), askers) << wish;
        const auto here = wish.starts_with('+') ? world().rank() == last : world().rank() < askers;
        EXPECT_EQ(inquiry.asks(), here) << wish;
        const auto answered = ask_share(inquiry);
        EXPECT_EQ(answered > 0, here) << wish;
        EXPECT_EQ(world().sum(std::int64_t{answered}), questions) << wish;

        run::Figures figures;
        inquiry.bill(figures, inquiry.first_rank());
        world().barrier();
        EXPECT_THAT(figures, testing::Contains(testing::Pair("test.requests", questions))) << "on every rank";
        EXPECT_TRUE(storage::journal_files(context.paths.journal()).empty()) << "folded";
        const auto expense = read_expenses(expenses_file(context.paths, "quiz")).at({"test", "a"});
        if (!before) before = expense;
        EXPECT_EQ(expense.sent, questions) << wish;
        EXPECT_EQ(expense.tokens_in, before->tokens_in) << wish;
        EXPECT_EQ(expense.tokens_out, before->tokens_out) << wish;
        EXPECT_NEAR(expense.usd, before->usd, 1e-12) << wish;
    }
    world().barrier();
}

TEST(Inquiry, asks_on_the_first_rank_alone_where_questions_hang_on_each_other) {
    const House house;
    auto plan = house.plan;
    plan.api.ranks = "99";
    plan.askers = Askers::one;
    const Inquiry inquiry(house.context("one"), plan);
    EXPECT_EQ(inquiry.askers(), 1);
    EXPECT_EQ(inquiry.asks(), world().is_root());
    world().barrier();
}

TEST(Inquiry, ends_on_every_rank_when_one_of_those_that_ask_fails) {
    const House house;
    auto plan = house.plan;
    plan.api.ranks = "99";
    Inquiry inquiry(house.context("failed"), plan);
    const bool fails = world().rank() == world().size() - 1;
    Errand errand;
    errand.work = [&] {
        inquiry.ask([&](Asker& asker) {
            int next = 0;
            asker.run([&] {  // the others would ask for ever
                if (fails && next == 3) throw InputError("the last rank has had enough");
                asker.submit(question(100 * world().rank() + next++ % 50), {}, [](llm::Reply) {});
                return true;
            });
        });
    };
    try {
        inquiry.run(std::move(errand));
        ADD_FAILURE() << "nothing was thrown";
    } catch (const parallel::AgreedFailure& failure) {
        EXPECT_EQ(failure.code(), ExitCode::input);
        EXPECT_EQ(failure.failed_rank(), world().size() - 1) << "those that were abandoned say nothing";
        EXPECT_THAT(failure.what(), testing::HasSubstr("had enough"));
    }
    world().barrier();
}

TEST(Inquiry, refuses_ranks_that_are_not_there_on_every_rank) {
    const House house;
    auto plan = house.plan;
    plan.api.ranks = "+99";
    try {
        const Inquiry inquiry(house.context("refused"), plan);
        ADD_FAILURE() << "nothing was thrown";
    } catch (const parallel::AgreedFailure& failure) {
        EXPECT_EQ(failure.code(), ExitCode::usage);
        EXPECT_THAT(failure.what(), testing::HasSubstr("rank 99"));
    }
    world().barrier();
}

}  // namespace
}  // namespace tg::asking
