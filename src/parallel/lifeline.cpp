#include "lifeline.hpp"

#include <memory>
#include <random>

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "taskgalaxy/core/log.hpp"

namespace tg::parallel {
namespace {

constexpr char hello = 'h', goodbye = 'b';
constexpr int patience_s = 10;  // for one connection, one message

void set_option(int socket, int level, int name, int value) { setsockopt(socket, level, name, &value, sizeof value); }

void set_patience(int socket, int seconds) {
    const timeval limit{seconds, 0};
    setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    setsockopt(socket, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
}

bool send_all(int socket, const void* bytes, std::size_t size) {
    return send(socket, bytes, size, MSG_NOSIGNAL) == static_cast<ssize_t>(size);
}

}  // namespace

Lifeline::Socket::~Socket() {
    if (descriptor_ >= 0) close(descriptor_);
}

Lifeline::Lifeline() {
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) return;
    wake_ = Socket(pair[0]), wakened_ = Socket(pair[1]);
    Socket listener(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in any{};
    any.sin_family = AF_INET;
    socklen_t length = sizeof any;
    auto* where = reinterpret_cast<sockaddr*>(&any);
    if (!listener || bind(listener.get(), where, length) != 0 || listen(listener.get(), 8) != 0 ||
        getsockname(listener.get(), where, &length) != 0)
        return;
    if (gethostname(address_.host.data(), address_.host.size() - 1) != 0) return;
    std::random_device random;
    for (auto& c : address_.token) c = static_cast<char>(random());
    address_.port = ntohs(any.sin_port);
    listener_ = std::move(listener);
}

Lifeline::~Lifeline() {
    wake_ = Socket();
    if (thread_.joinable()) thread_.join();
    if (watcher_) send_all(watcher_.get(), &goodbye, 1);
}

void Lifeline::watch(int rank, const Address& next, std::chrono::seconds grace,
                     std::function<void(const std::string&)> lost) {
    if (wake_)
        thread_ = std::thread([this, rank, next, grace, lost = std::move(lost)] { serve(rank, next, grace, lost); });
}

Lifeline::Socket Lifeline::connect_to(const Address& next) const {
    addrinfo hints{}, *found = nullptr;
    hints.ai_family = AF_INET;
    hints.ai_socktype = SOCK_STREAM;
    const auto* host = next.host == address_.host ? "localhost" : next.host.data();
    if (next.port == 0 || getaddrinfo(host, std::to_string(next.port).c_str(), &hints, &found) != 0) return Socket();
    const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> owned(found, freeaddrinfo);
    for (const auto* place = found; place; place = place->ai_next) {
        Socket there(socket(place->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
        if (!there) continue;
        set_patience(there.get(), patience_s);
        // A node without power sends nothing: asked after a minute of silence, given up after three.
        set_option(there.get(), SOL_SOCKET, SO_KEEPALIVE, 1);
        set_option(there.get(), IPPROTO_TCP, TCP_KEEPIDLE, 60);
        set_option(there.get(), IPPROTO_TCP, TCP_KEEPINTVL, 20);
        set_option(there.get(), IPPROTO_TCP, TCP_KEEPCNT, 6);
        if (connect(there.get(), place->ai_addr, place->ai_addrlen) == 0 &&
            send_all(there.get(), next.token.data(), next.token.size()))
            return there;
    }
    return Socket();
}

void Lifeline::let_in() {
    Socket guest(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (!guest) return;
    set_patience(guest.get(), 1);
    std::array<char, sizeof address_.token> token;
    if (recv(guest.get(), token.data(), token.size(), MSG_WAITALL) == static_cast<ssize_t>(token.size()) &&
        token == address_.token && send_all(guest.get(), &hello, 1))
        watcher_ = std::move(guest);
}

void Lifeline::serve(int rank, const Address& next, std::chrono::seconds grace,
                     const std::function<void(const std::string&)>& lost) {
    auto watched = connect_to(next);
    bool greeted = false;
    const auto not_watched = [&] {
        log::info(
            "rank {} on {} cannot be watched over TCP: if it is lost and the launcher does not say so, run.watchdog_s "
            "notices it",
            rank, next.host.data());
    };
    if (!watched) not_watched();
    for (;;) {
        pollfd places[] = {{wakened_.get(), POLLIN, 0},
                           {listener_.get(), POLLIN, 0},
                           {watched.get(), POLLIN, 0}};  // a negative descriptor is passed over
        if (poll(places, 3, -1) < 0) continue;           // a signal
        if (places[0].revents) return;
        if (places[1].revents) let_in();
        if (!places[2].revents) continue;
        char word = 0;
        const bool said = recv(watched.get(), &word, 1, 0) == 1;
        if (said && word == hello) {
            greeted = true;
            continue;
        }
        watched = Socket();
        if (said && word == goodbye) continue;
        if (!greeted) {
            not_watched();
            continue;
        }
        pollfd wakened{wakened_.get(), POLLIN, 0};
        if (poll(&wakened, 1, static_cast<int>(std::chrono::milliseconds(grace).count())) > 0) return;
        return lost(
            fmt::format("rank {} on {} is gone (its process or node died); the job is ended, the same command goes on",
                        rank, next.host.data()));
    }
}

}  // namespace tg::parallel
