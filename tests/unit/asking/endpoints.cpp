#include "taskgalaxy/asking/endpoints.hpp"

#include <fstream>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "taskgalaxy/core/error.hpp"
#include "temporary_folder.hpp"

namespace tg::asking {
namespace {

Endpoints two() {
    Endpoints endpoints;
    for (const auto* name : {"judge", "generator"}) {
        endpoints[name].urls = {"http://127.0.0.1:9/v1"};
        endpoints[name].model = std::string("model of ") + name;
    }
    return endpoints;
}

Digest digest_with(const Endpoints& endpoints) {
    DigestBuilder inputs;
    add_endpoint(inputs, endpoints, "judge");
    return inputs.finish();
}

}  // namespace

TEST(endpoints, that_are_not_defined_are_named_beside_those_that_are) {
    try {
        require_endpoint(two(), "jugde", "screen.judges");
        ADD_FAILURE() << "nothing was thrown";
    } catch (const UsageError& error) {
        EXPECT_THAT(error.what(), testing::HasSubstr("screen.judges names the endpoint 'jugde'"));
        EXPECT_THAT(error.what(), testing::HasSubstr("defined are: generator, judge"));
    }
}

TEST(endpoints, are_chosen_by_name_with_the_file_of_a_serving_job_laid_over_them) {
    const test::TemporaryFolder folder;
    llm::ApiSettings api;
    api.endpoints_file = folder / "endpoints";
    std::ofstream(api.endpoints_file) << "[endpoint.judge]\nurls = http://node7:8000/v1\n";
    const auto chosen = chosen_endpoints(two(), api, {"judge"});
    ASSERT_EQ(chosen.size(), 1u);
    EXPECT_EQ(chosen.at("judge").urls, std::vector<std::string>{"http://node7:8000/v1"});
    EXPECT_EQ(chosen.at("judge").model, "model of judge");
    EXPECT_THROW(chosen_endpoints(two(), api, {"nobody"}), UsageError);
}

TEST(the_fingerprint_of_an_endpoint, changes_with_model_and_sampling_and_not_with_urls_limits_and_prices) {
    const auto before = digest_with(two());
    const auto with = [](const auto& change) {
        auto endpoints = two();
        change(endpoints.at("judge"));
        return digest_with(endpoints);
    };
    EXPECT_NE(with([](auto& e) { e.model = "another"; }), before);
    EXPECT_NE(with([](auto& e) { e.temperature = 0.7; }), before);
    EXPECT_NE(with([](auto& e) { e.seed = 5; }), before);
    EXPECT_EQ(with([](auto& e) { e.urls = {"http://elsewhere/v1"}; }), before);
    EXPECT_EQ(with([](auto& e) { e.requests_per_minute = 3; }), before);
    EXPECT_EQ(with([](auto& e) { e.price_in = 3; }), before);
}

}  // namespace tg::asking
