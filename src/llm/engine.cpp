#include "taskgalaxy/llm/engine.hpp"

#include <fmt/format.h>

#include "engine_loop.hpp"
#include "http_transport.hpp"
#include "taskgalaxy/core/error.hpp"

namespace tg::llm {
namespace {

void check(const std::map<std::string, EndpointSettings>& endpoints, const ApiSettings& api) {
    api.check();
    for (const auto& [name, settings] : endpoints) {
        settings.check(name);
        image_tokens(settings.image_tokens, settings.image_detail, 1, 1);  // an unknown rule is told now
        if (api.budget_usd > 0 && (settings.price_in < 0 || settings.price_out < 0))
            throw UsageError(
                fmt::format("[endpoint.{}]: api.budget_usd is set, but not what this endpoint costs", name),
                "give price_in and price_out (0 where it is free)");
    }
}

}  // namespace

Engine::Engine(const std::map<std::string, EndpointSettings>& endpoints, const ApiSettings& api,
               const std::filesystem::path& journal_folder, int api_rank, int api_ranks)
    : Engine(endpoints, api, journal_folder, api_rank, api_ranks,
             [&]() -> std::unique_ptr<Transport> { return std::make_unique<HttpTransport>(endpoints, api); }) {}

Engine::Engine(const std::map<std::string, EndpointSettings>& endpoints, const ApiSettings& api,
               const std::filesystem::path& journal_folder, int api_rank, int api_ranks,
               const std::function<std::unique_ptr<Transport>()>& transport) {
    check(endpoints, api);
    loop_ = std::make_unique<EngineLoop>(endpoints, api, journal_folder, api_rank, api_ranks, transport());
}

Engine::~Engine() = default;

void Engine::submit(Request request, AnswerCheck check, std::function<void(Reply)> done) {
    loop_->submit(std::move(request), std::move(check), std::move(done));
}

RunEnd Engine::run(const std::function<bool()>& feed) { return loop_->run(feed); }

EngineFigures Engine::figures() const { return loop_->figures(); }

Digest Engine::key(const Request& request) const { return loop_->key(request); }

void throw_if_ended_early(RunEnd end, const std::string& stage) {
    if (end == RunEnd::stop_requested) throw Stopped(stage);
    if (end == RunEnd::budget)
        throw Error(ExitCode::done, fmt::format("{}: api.budget_usd is spent; every answer paid for is kept", stage),
                    "raise the budget and the same command goes on from here");
}

}  // namespace tg::llm
