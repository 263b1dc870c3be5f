#include "server.hpp"

#include <algorithm>
#include <arpa/inet.h>
#include <array>
#include <chrono>
#include <cstring>
#include <deque>
#include <list>
#include <poll.h>
#include <sys/socket.h>
#include <thread>
#include <unistd.h>

namespace tg::simulator {
namespace {

constexpr int poll_ms = 100;  // how late a stop is seen by an idle connection
constexpr std::chrono::seconds idle_limit{120};
constexpr std::chrono::seconds read_limit{30};

thread_local Delivery delivery_of_thread;

// Reads through a large buffer; keeps what is written until the whole response is there.
class Connection : public httplib::Stream {
public:
    Connection(socket_t fd, const std::atomic<bool>& stopping, const std::atomic<int>& waiting)
        : fd_(fd), stopping_(stopping), waiting_(waiting) {}

    bool is_readable() const override { return at_ < filled_ || wait_for(POLLIN, read_limit); }
    bool is_writable() const override { return true; }

    ssize_t read(char* to, std::size_t size) override {
        if (at_ == filled_) {
            if (!wait_for(POLLIN, read_limit)) return -1;
            // A long body goes straight to where it is wanted.
            if (size >= buffer_.size()) return ::recv(fd_, to, size, 0);
            const auto count = ::recv(fd_, buffer_.data(), buffer_.size(), 0);
            if (count <= 0) return count;
            at_ = 0;
            filled_ = static_cast<std::size_t>(count);
        }
        const auto count = std::min(size, filled_ - at_);
        std::memcpy(to, buffer_.data() + at_, count);
        at_ += count;
        return static_cast<ssize_t>(count);
    }

    ssize_t write(const char* from, std::size_t size) override {
        response_.append(from, size);
        return static_cast<ssize_t>(size);
    }

    void get_remote_ip_and_port(std::string& ip, int& port) const override { address(::getpeername, ip, port); }
    void get_local_ip_and_port(std::string& ip, int& port) const override { address(::getsockname, ip, port); }
    socket_t socket() const override { return fd_; }

    // Another request, or its beginning, is there. An idle connection gives way when others wait for its thread.
    bool next_request() const { return at_ < filled_ || wait_for(POLLIN, idle_limit, true); }

    // False: the connection is not to be used again.
    bool deliver(SimulatorServer& server) {
        const auto response = std::move(response_);
        response_.clear();
        switch (delivery_of_thread.way) {
            case Delivery::Way::whole: return send_all(response);
            case Delivery::Way::cut:
                send_all(std::string_view(response).substr(
                    0, response.size() - std::min<std::size_t>(response.size() / 3 + 1, response.size())));
                return false;
            case Delivery::Way::drip: {
                constexpr std::size_t pieces = 20;
                const auto step = response.size() / pieces + 1;
                for (std::size_t at = 0; at < response.size(); at += step) {
                    if (!send_all(std::string_view(response).substr(at, step)) ||
                        !server.sleep_s(delivery_of_thread.drip_s / pieces))
                        return false;
                }
                return true;
            }
            case Delivery::Way::reset: {
                const linger at_once{1, 0};  // close() then sends RST
                ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
                reset_ = true;
                return false;
            }
        }
        return false;
    }
    bool was_reset() const { return reset_; }

private:
    bool wait_for(short what, std::chrono::seconds limit, bool give_way = false) const {
        const auto until = std::chrono::steady_clock::now() + limit;
        while (!stopping_ && std::chrono::steady_clock::now() < until) {
            pollfd poll_fd{fd_, what, 0};
            const int ready = ::poll(&poll_fd, 1, poll_ms);
            if (ready > 0) return true;
            if (ready < 0 && errno != EINTR) return false;
            if (give_way && waiting_ > 0) return false;
        }
        return false;
    }

    bool send_all(std::string_view bytes) const {
        while (!bytes.empty()) {
            const auto count = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
            if (count < 0 && errno == EINTR) continue;
            if (count <= 0) return false;
            bytes.remove_prefix(static_cast<std::size_t>(count));
        }
        return true;
    }

    template <class Query> void address(Query query, std::string& ip, int& port) const {
        sockaddr_in in{};
        socklen_t size = sizeof in;
        if (query(fd_, reinterpret_cast<sockaddr*>(&in), &size) != 0 || in.sin_family != AF_INET) return;
        std::array<char, INET_ADDRSTRLEN> text{};
        ip = ::inet_ntop(AF_INET, &in.sin_addr, text.data(), text.size());
        port = ntohs(in.sin_port);
    }

    socket_t fd_;
    const std::atomic<bool>& stopping_;
    const std::atomic<int>& waiting_;
    std::array<char, 16384> buffer_;
    std::size_t at_ = 0, filled_ = 0;
    std::string response_;
    bool reset_ = false;
};

// Threads are started while all are busy, up to `most`; after that connections wait for one that ends.
class GrowingPool : public httplib::TaskQueue {
public:
    GrowingPool(std::size_t most, std::atomic<int>& waiting) : most_(most), waiting_(waiting) {}

    void enqueue(std::function<void()> work) override {
        const std::lock_guard lock(mutex_);
        work_.push_back(std::move(work));
        ++waiting_;
        if (work_.size() > idle_ && threads_.size() < most_) threads_.emplace_back([this] { serve(); });
        wake_.notify_one();
    }

    void shutdown() override {
        {
            const std::lock_guard lock(mutex_);
            closing_ = true;
        }
        wake_.notify_all();
        for (auto& thread : threads_) thread.join();
    }

private:
    void serve() {
        for (;;) {
            std::function<void()> work;
            {
                std::unique_lock lock(mutex_);
                ++idle_;
                wake_.wait(lock, [&] { return closing_ || !work_.empty(); });
                --idle_;
                if (work_.empty()) return;
                work = std::move(work_.front());
                work_.pop_front();
                --waiting_;
            }
            work();
        }
    }

    std::size_t most_, idle_ = 0;
    std::atomic<int>& waiting_;
    bool closing_ = false;
    std::deque<std::function<void()>> work_;
    std::mutex mutex_;
    std::condition_variable wake_;
    std::list<std::thread> threads_;
};

}  // namespace

SimulatorServer::SimulatorServer(int most_connections) {
    new_task_queue = [this, most_connections] {
        return new GrowingPool(static_cast<std::size_t>(most_connections), waiting_);
    };
    set_tcp_nodelay(true);
    set_payload_max_length(256u << 20);
}

Delivery& SimulatorServer::delivery() { return delivery_of_thread; }

bool SimulatorServer::sleep_s(double seconds) {
    std::unique_lock lock(mutex_);
    wake_.wait_for(lock, std::chrono::duration<double>(seconds), [&] { return stopping_.load(); });
    return !stopping_;
}

void SimulatorServer::begin_stop() {
    {
        const std::lock_guard lock(mutex_);
        stopping_ = true;
    }
    wake_.notify_all();
}

bool SimulatorServer::process_and_close_socket(socket_t socket) {
    const int yes = 1;
    ::setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    Connection connection(socket, stopping_, waiting_);
    bool served = true;
    while (served && connection.next_request()) {
        delivery_of_thread = {};
        bool closed = false;
        served = process_request(connection, false, closed, nullptr) && !closed;
        served = connection.deliver(*this) && served;
    }
    if (!connection.was_reset()) ::shutdown(socket, SHUT_RDWR);
    ::close(socket);
    return served;
}

}  // namespace tg::simulator
