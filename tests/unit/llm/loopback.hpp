// A stand-in server on the loopback, an engine that asks it, and a folder that goes away: what the engine's tests
// share.
#pragma once

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fmt/format.h>
#include <fstream>
#include <functional>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "taskgalaxy/core/error.hpp"
#include "taskgalaxy/core/stop.hpp"
#include "taskgalaxy/llm/engine.hpp"
#include "taskgalaxy/simulator/simulator.hpp"
#include "temporary_folder.hpp"

namespace tg::test {

inline std::string echo(const simulator::SimulatedCall& call) { return "answer to " + call.user; }

inline llm::EndpointSettings endpoint_at(const std::string& url) {
    llm::EndpointSettings e;
    e.urls = {url};
    e.model = "stand-in";
    e.concurrency = 16;
    e.price_in = 1;
    e.price_out = 2;
    return e;
}

inline llm::ApiSettings quick_api() {
    llm::ApiSettings api;
    api.backoff_first_s = 0.02;
    api.backoff_longest_s = 0.1;
    api.journal_group_ms = 5;
    api.drain_s = 3;
    return api;
}

inline llm::Request question(int number, const std::string& endpoint = "a") {
    llm::Request r;
    r.endpoint = endpoint;
    r.stage = "test";
    r.item = fmt::format("item {}", number);
    r.user = fmt::format("question {}", number);
    return r;
}

// What came of `count` questions, by number.
struct Asked {
    std::map<int, llm::Reply> replies;
    llm::RunEnd end = llm::RunEnd::finished;
    std::size_t count(llm::Reply::Status status) const {
        std::size_t n = 0;
        for (const auto& [number, reply] : replies) n += reply.status == status;
        return n;
    }
};

inline void ask_into(llm::Engine& engine, Asked& outcome, int count, const llm::AnswerCheck& check = {},
                     const std::string& endpoint = "a") {
    int next = 0;
    outcome.end = engine.run([&] {
        if (next == count) return false;
        const int number = next++;
        engine.submit(question(number, endpoint), check, [&outcome, number](llm::Reply reply) {
            EXPECT_FALSE(outcome.replies.contains(number)) << "`done` of " << number << " ran twice";
            outcome.replies[number] = std::move(reply);
        });
        return true;
    });
}

inline Asked ask(llm::Engine& engine, int count, const llm::AnswerCheck& check = {},
                 const std::string& endpoint = "a") {
    Asked outcome;
    ask_into(engine, outcome, count, check, endpoint);
    return outcome;
}

inline std::vector<nlohmann::json> log_lines(const std::filesystem::path& path) {
    std::vector<nlohmann::json> lines;
    std::ifstream in(path);
    for (std::string line; std::getline(in, line);) lines.push_back(nlohmann::json::parse(line));
    return lines;
}

}  // namespace tg::test
