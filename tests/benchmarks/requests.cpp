// The request engine and its peers as small programs, for requests.py and the fault tests:
//   bench_requests ask KEY=VALUE...       asks `items` questions and prints one line of JSON (settings of [endpoint]
//   and [api] by name) bench_requests serve KEY=VALUE...     the stand-in server (settings of [simulate]) until
//   SIGTERM; the answer repeats the question bench_requests static port_file=PATH  a server that reads requests and
//   sends one fixed answer, as fast as one thread can
#include <arpa/inet.h>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fmt/format.h>
#include <fstream>
#include <iostream>
#include <map>
#include <netinet/tcp.h>
#include <nlohmann/json.hpp>
#include <string>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "taskgalaxy/core/error.hpp"
#include "taskgalaxy/core/log.hpp"
#include "taskgalaxy/core/stop.hpp"
#include "taskgalaxy/core/text.hpp"
#include "taskgalaxy/llm/engine.hpp"
#include "taskgalaxy/simulator/simulator.hpp"
#include "taskgalaxy/storage/publish.hpp"

namespace tg {
namespace {

using Words = std::map<std::string, std::string>;

struct Assign : SettingsVisitor {
    Words& words;
    explicit Assign(Words& w) : words(w) {}
    void visit(const Entry& entry) override {
        const auto it = words.find(std::string(entry.name));
        if (it == words.end()) return;
        if (const auto complaint = set_from_text(entry.value, it->second))
            throw UsageError(fmt::format("{}={}: {}", it->first, it->second, *complaint));
        words.erase(it);
    }
};

template <class T> T taken(Words& words, const std::string& name, T value) {
    const auto it = words.find(name);
    if (it == words.end()) return value;
    if constexpr (std::is_same_v<T, std::string>) value = it->second;
    else value = static_cast<T>(std::stod(it->second));
    words.erase(it);
    return value;
}

void nothing_left(const Words& words) {
    if (!words.empty()) throw UsageError("unknown: " + words.begin()->first);
}

double seconds_since(std::chrono::steady_clock::time_point start) {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

int ask(Words words) {
    llm::EndpointSettings endpoint;
    endpoint.model = "stand-in";
    llm::ApiSettings api;
    Assign assign(words);
    endpoint.describe(assign);
    api.describe(assign);
    const auto items = taken<std::uint64_t>(words, "items", 1000);
    const auto image_bytes = taken<std::size_t>(words, "image_bytes", 0);
    const auto seconds = taken<double>(words, "seconds", 0);  // stop asking then (0: never)
    const auto warm_up_s =
        taken<double>(words, "warm_up_s", 0);  // answers before that are not in "answered_after_warm_up"
    const auto rank = taken<int>(words, "sender", 0), ranks = taken<int>(words, "senders", 1);
    const std::filesystem::path journal = taken<std::string>(words, "journal", "journal");
    const auto results =
        taken<std::string>(words, "results", "");  // one line an item, "number TAB status TAB text", in number order
    nothing_left(words);

    install_stop_handlers();
    const auto image = std::make_shared<const llm::ChatImage>(
        llm::ChatImage{"image/jpeg", std::string((image_bytes + 2) / 3 * 4, 'A'), 1024, 768});
    llm::Engine engine({{"bench", endpoint}}, api, journal, rank, ranks);
    const auto start = std::chrono::steady_clock::now();
    std::uint64_t next = static_cast<std::uint64_t>(rank), answered = 0, late_answered = 0, failed = 0, stopped = 0,
                  from_journal = 0;
    std::map<std::uint64_t, std::string> lines;
    const auto end = engine.run([&] {
        if (next >= items || (seconds > 0 && seconds_since(start) > seconds)) return false;
        llm::Request r;
        r.endpoint = "bench", r.stage = "bench", r.item = std::to_string(next),
        r.user = fmt::format("question {}", next);
        if (image_bytes > 0) r.image = [&] { return image; };
        engine.submit(
            std::move(r), [](std::string_view text) { return text.starts_with("answer") ? "" : "no answer"; },
            [&, number = next](llm::Reply reply) {
                if (reply.status == llm::Reply::Status::answered)
                    ++answered, late_answered +=
                                seconds_since(start) > warm_up_s && (seconds <= 0 || seconds_since(start) <= seconds);
                else ++(reply.status == llm::Reply::Status::failed ? failed : stopped);
                from_journal += reply.from_journal;
                if (!results.empty() && reply.status != llm::Reply::Status::stopped)
                    lines[number] =
                        fmt::format("{}\t{}\t{}\n", number,
                                    reply.status == llm::Reply::Status::answered ? "answered" : "failed", reply.text);
            });
        next += static_cast<std::uint64_t>(ranks);
        return true;
    });
    const double wall = seconds_since(start);
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    const auto figures = engine.figures();
    const auto f = figures.by_endpoint_and_stage.begin()->second;
    if (!results.empty()) {
        std::string text;
        for (const auto& [number, line] : lines) text += line;
        storage::publish_text(results, text);
    }
    const auto cpu = static_cast<double>(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                     1e-6 * static_cast<double>(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
    std::cout << nlohmann::json{{"wall_s", wall},
                                {"answered", answered},
                                {"answered_after_warm_up", late_answered},
                                {"failed", failed},
                                {"stopped", stopped},
                                {"from_journal", from_journal},
                                {"sent", f.sent},
                                {"rate_limited", f.rate_limited},
                                {"retries", f.retries},
                                {"asked_again", f.asked_again},
                                {"usd", figures.usd},
                                {"requests_per_s", static_cast<double>(answered) / wall},
                                {"cpu_s", cpu},
                                {"peak_mib", static_cast<double>(usage.ru_maxrss) / 1024},
                                {"end", end == llm::RunEnd::finished ? "finished"
                                        : end == llm::RunEnd::budget ? "budget"
                                                                     : "stopped"}}
                     .dump()
              << std::endl;
    return end == llm::RunEnd::stop_requested ? static_cast<int>(ExitCode::requeue) : 0;
}

int serve(Words words) {
    simulator::SimulatorSettings settings;
    Assign assign(words);
    settings.describe(assign);
    nothing_left(words);
    install_stop_handlers();
    simulator::run_simulator(settings, [](const simulator::SimulatedCall& call) { return "answer to " + call.user; });
    return 0;
}

// One connection of the static server: bytes are counted, not kept.
struct Peer {
    std::string head;
    std::size_t body_left = 0;
};

// Eats `bytes`; returns how many requests ended in them.
int requests_ended(Peer& peer, std::string_view bytes) {
    int ended = 0;
    while (!bytes.empty()) {
        if (peer.body_left > 0) {
            const auto eaten = std::min(peer.body_left, bytes.size());
            peer.body_left -= eaten;
            bytes.remove_prefix(eaten);
            ended += peer.body_left == 0;
            continue;
        }
        const auto before = peer.head.size();
        peer.head.append(bytes);
        const auto end = peer.head.find("\r\n\r\n");
        if (end == std::string::npos) return ended;
        bytes.remove_prefix(end + 4 - before);
        const auto head = lower_ascii(std::string_view(peer.head).substr(0, end));
        const auto at = head.find("content-length:");
        peer.body_left = at == std::string::npos ? 0 : std::strtoull(head.c_str() + at + 15, nullptr, 10);
        peer.head.clear();
        ended += peer.body_left == 0;
    }
    return ended;
}

int serve_static(Words words) {
    const auto port_file = taken<std::string>(words, "port_file", "");
    nothing_left(words);
    install_stop_handlers();
    const std::string body = R"({"id":"x","object":"chat.completion","created":0,"model":"m","choices":[{"index":0,)"
                             R"("message":{"role":"assistant","content":"answer"},"finish_reason":"stop"}],)"
                             R"("usage":{"prompt_tokens":800,"completion_tokens":2,"total_tokens":802}})";
    const std::string response = fmt::format(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{}", body.size(), body);
    const int listener = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), epoll = ::epoll_create1(0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    if (::bind(listener, reinterpret_cast<sockaddr*>(&address), size) != 0 || ::listen(listener, 1024) != 0 ||
        ::getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size) != 0)
        throw EndpointError("the static server cannot listen");
    storage::publish_text(port_file, fmt::format("{}\n", ntohs(address.sin_port)));
    std::map<int, Peer> peers;
    epoll_event event{};
    event.events = EPOLLIN, event.data.fd = listener;
    ::epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event);
    std::array<epoll_event, 128> events;
    std::vector<char> buffer(1 << 18);
    while (!stop_requested()) {
        const int count = ::epoll_wait(epoll, events.data(), static_cast<int>(events.size()), 100);
        for (int i = 0; i < count; ++i) {
            const int fd = events[static_cast<std::size_t>(i)].data.fd;
            if (fd == listener) {
                const int peer = ::accept4(listener, nullptr, nullptr, SOCK_NONBLOCK);
                const int yes = 1;
                ::setsockopt(peer, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
                event.data.fd = peer;
                ::epoll_ctl(epoll, EPOLL_CTL_ADD, peer, &event);
                peers[peer];
                continue;
            }
            const auto got = ::recv(fd, buffer.data(), buffer.size(), 0);
            if (got <= 0) {
                ::close(fd);
                peers.erase(fd);
                continue;
            }
            for (int left = requests_ended(peers[fd], {buffer.data(), static_cast<std::size_t>(got)}); left > 0; --left)
                if (::send(fd, response.data(), response.size(), MSG_NOSIGNAL) < 0) break;
        }
    }
    return 0;
}

int run(int argc, char** argv) {
    const std::string what = argc > 1 ? argv[1] : "";
    Words words;
    for (int i = 2; i < argc; ++i) {
        const std::string word = argv[i];
        const auto equals = word.find('=');
        if (equals == std::string::npos) throw UsageError("write KEY=VALUE, not " + word);
        words[word.substr(0, equals)] = word.substr(equals + 1);
    }
    if (what == "ask") return ask(std::move(words));
    if (what == "serve") return serve(std::move(words));
    if (what == "static") return serve_static(std::move(words));
    throw UsageError("bench_requests ask | serve | static KEY=VALUE...");
}

}  // namespace
}  // namespace tg

int main(int argc, char** argv) {
    try {
        return tg::run(argc, argv);
    } catch (const tg::Error& e) {
        tg::log::error("{}", e.what());
        return static_cast<int>(e.code());
    } catch (const std::exception& e) {
        tg::log::error("{}", e.what());
        return 1;
    }
}
