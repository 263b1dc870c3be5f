#include "taskgalaxy/simulator/simulator.hpp"

#include <httplib.h>
#include <thread>

#include "unit/llm/loopback.hpp"

namespace tg::simulator {
namespace {

std::string body_of(const std::string& user, const std::string& model = "m") {
    return nlohmann::json{{"model", model}, {"messages", {{{"role", "user"}, {"content", user}}}}}.dump();
}

int status_of(httplib::Client& client, const std::string& user) {
    const auto result = client.Post("/v1/chat/completions", body_of(user), "application/json");
    return result ? result->status : -1;
}

}  // namespace

TEST(simulator, is_a_chat_completions_server_to_another_client) {
    Simulator server({}, [](const SimulatedCall& call) {
        return call.system + "|" + call.user + "|" + std::to_string(call.image.size());
    });
    httplib::Client client("127.0.0.1", server.port());
    const nlohmann::json body{{"model", "m"},
                              {"messages",
                               {{{"role", "system"}, {"content", "S"}},
                                {{"role", "user"},
                                 {"content",
                                  {{{"type", "image_url"}, {"image_url", {{"url", "data:image/png;base64,AAECAw=="}}}},
                                   {{"type", "text"}, {"text", "U"}}}}}}}};
    const auto result = client.Post("/v1/chat/completions", body.dump(), "application/json");
    ASSERT_TRUE(result);
    const auto answer = nlohmann::json::parse(result->body);
    EXPECT_EQ(answer["choices"][0]["message"]["content"], "S|U|4");
    EXPECT_GT(answer["usage"]["prompt_tokens"], 700);
    EXPECT_EQ(client.Post("/v1/chat/completions", "{", "application/json")->status, 400);
    EXPECT_EQ(client.Get("/v1/models")->status, 200);
}

TEST(simulator, does_the_same_to_the_same_requests_in_any_order) {
    const auto outcomes = [](bool backwards) {
        SimulatorSettings settings;
        settings.error_500 = 0.3;
        settings.rate_limited = 0.2;
        Simulator server(settings, test::echo);
        httplib::Client client("127.0.0.1", server.port());
        client.set_keep_alive(true);
        client.set_tcp_nodelay(true);
        std::map<std::string, std::vector<int>> by_content;
        for (int i = 0; i < 100; ++i) {
            const auto user = "question " + std::to_string(backwards ? 99 - i : i);
            for (int attempt = 0; attempt < 3; ++attempt) by_content[user].push_back(status_of(client, user));
        }
        return by_content;
    };
    const auto forwards = outcomes(false);
    EXPECT_EQ(forwards, outcomes(true));
    int faults = 0;
    for (const auto& [user, statuses] : forwards) faults += statuses[0] != 200;
    EXPECT_NEAR(faults, 50, 20);
}

TEST(simulator, keeps_its_limit_by_the_second_and_says_so) {
    SimulatorSettings settings;
    settings.requests_per_minute = 600;
    Simulator server(settings, test::echo);
    httplib::Client client("127.0.0.1", server.port());
    client.set_keep_alive(true);
    int refused = 0;
    for (int i = 0; i < 60; ++i) {
        const auto result = client.Post("/v1/chat/completions", body_of(std::to_string(i)), "application/json");
        ASSERT_TRUE(result);
        EXPECT_EQ(result->get_header_value("x-ratelimit-limit-requests"), "600");
        if (result->status == 429) {
            ++refused;
            EXPECT_LE(std::stoi(result->get_header_value("retry-after-ms")), 1000);
        }
    }
    EXPECT_GE(refused, 20) << "60 at once are several seconds' worth";
}

TEST(simulator, logs_each_request_before_it_answers) {
    test::TemporaryFolder folder;
    SimulatorSettings settings;
    settings.request_log = folder / "log.jsonl";
    settings.reset = 1;
    settings.port_file = folder / "port";
    Simulator server(settings, test::echo);
    EXPECT_EQ(std::stoi(test::log_lines(folder / "port").at(0).dump()), server.port());
    httplib::Client client("127.0.0.1", server.port());
    EXPECT_EQ(status_of(client, "x"), -1) << "the connection is reset";
    const auto lines = test::log_lines(folder / "log.jsonl");
    ASSERT_EQ(lines.size(), 1u);
    EXPECT_EQ(lines[0]["outcome"], "reset");
    EXPECT_EQ(lines[0]["paid"], true);
    EXPECT_EQ(lines[0]["user"], "x");
}

TEST(simulator, serves_more_connections_than_it_has_threads) {
    SimulatorSettings settings;
    settings.threads = 2;
    Simulator server(settings, test::echo);
    test::TemporaryFolder folder;
    std::map<std::string, llm::EndpointSettings> endpoints;
    for (const auto* name : {"a", "b", "c"}) endpoints[name] = test::endpoint_at(server.url());
    llm::Engine engine(endpoints, test::quick_api(), folder / "journal", 0, 1);
    std::size_t answered = 0;
    for (const auto* name : {"a", "b", "c"})
        for (int i = 0; i < 30; ++i) {
            llm::Request request;
            request.endpoint = name, request.stage = "test", request.item = std::to_string(i),
            request.user = fmt::format("question {}", i);
            engine.submit(std::move(request), {},
                          [&](llm::Reply reply) { answered += reply.status == llm::Reply::Status::answered; });
        }
    engine.run({});
    EXPECT_EQ(answered, 90u);
}

TEST(simulator, refuses_settings_that_cannot_be) {
    SimulatorSettings settings;
    settings.reset = 0.6;
    settings.stall = 0.6;
    EXPECT_THROW(Simulator(settings, test::echo), UsageError);
}

}  // namespace tg::simulator
