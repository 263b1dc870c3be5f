#include "taskgalaxy/llm/settings.hpp"

#include <fstream>

#include "loopback.hpp"

namespace tg::llm {

TEST(api_ranks, are_a_count_or_one_a_node_or_a_list) {
    const std::vector<int> nodes{0, 0, 1, 1, 1};
    EXPECT_EQ(api_ranks_of("1", nodes), (std::vector{0}));
    EXPECT_EQ(api_ranks_of("3", nodes), (std::vector{0, 1, 2}));
    EXPECT_EQ(api_ranks_of("9", nodes), (std::vector{0, 1, 2, 3, 4})) << "more than there are: all";
    EXPECT_EQ(api_ranks_of("node", nodes), (std::vector{0, 2}));
    EXPECT_EQ(api_ranks_of("+4 1", nodes), (std::vector{1, 4}));
    EXPECT_THROW(api_ranks_of("0", nodes), UsageError);
    EXPECT_THROW(api_ranks_of("+5", nodes), UsageError);
    EXPECT_THROW(api_ranks_of("some", nodes), UsageError);
}

TEST(endpoints_file, lays_its_sections_over_those_of_the_job) {
    test::TemporaryFolder folder;
    std::ofstream(folder / "endpoints.cfg")
        << "# written by the serving job\n[endpoint.judge]\nurls = http://n1:8000/v1, "
           "http://n2:8000/v1\n\n[endpoint.new]\nmodel=qwen\nconcurrency = 32\n";
    std::map<std::string, EndpointSettings> endpoints;
    endpoints["judge"].model = "internvl";
    read_endpoints_file(folder / "endpoints.cfg", endpoints);
    EXPECT_EQ(endpoints["judge"].model, "internvl");
    EXPECT_EQ(endpoints["judge"].urls, (std::vector<std::string>{"http://n1:8000/v1", "http://n2:8000/v1"}));
    EXPECT_EQ(endpoints["new"].concurrency, 32);
}

TEST(endpoints_file, names_the_line_that_is_wrong) {
    test::TemporaryFolder folder;
    const auto complaint = [&](const std::string& text) -> std::string {
        std::ofstream(folder / "e.cfg") << text;
        std::map<std::string, EndpointSettings> endpoints;
        try {
            read_endpoints_file(folder / "e.cfg", endpoints);
        } catch (const UsageError& e) {
            return e.what();
        }
        return {};
    };
    EXPECT_THAT(complaint("[endpoint.a]\nmodle = x\n"), testing::HasSubstr("line 2: unknown key 'modle'"));
    EXPECT_THAT(complaint("[endpoint.a]\ntemperature = hot\n"),
                testing::HasSubstr("line 2: temperature = 'hot': a number is expected"));
    EXPECT_THAT(complaint("[endpoint.a]\ntemperature = 7\n"), testing::HasSubstr("0 to 2"));
    EXPECT_THAT(complaint("[api]\n"), testing::HasSubstr("line 1"));
    EXPECT_THAT(complaint("model = x\n"), testing::HasSubstr("line 1"));
}

TEST(endpoint_settings, refuse_what_cannot_work) {
    auto e = test::endpoint_at("ftp://x");
    EXPECT_THROW(e.check("a"), UsageError);
    e.urls = {"https://me:secret@host/v1"};
    try {
        e.check("a");
        FAIL();
    } catch (const UsageError& error) {
        EXPECT_THAT(error.what(), testing::Not(testing::HasSubstr("secret")));
    }
    e.urls = {"https://host/v1"};
    EXPECT_NO_THROW(e.check("a"));
    e.model.clear();
    EXPECT_THROW(e.check("a"), UsageError);
}

}  // namespace tg::llm
