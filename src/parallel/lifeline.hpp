// Notices that a rank is gone where nobody else does: a node that is cut off, or is back before the batch system missed
// it, leaves the other ranks in a collective for ever. Each rank holds one TCP connection to the next one in a ring;
// the kernel closes it when that process dies (keep-alive, when its node does), and a process that ends in order says
// goodbye first.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <thread>
#include <utility>

namespace tg::parallel {

class Lifeline {
public:
    // Where this process can be watched. Plain bytes, sent over MPI.
    struct Address {
        std::array<char, 256> host{};
        std::uint16_t port = 0;
        std::array<char, 16> token{};  // what a watcher says first: others that knock are turned away
    };

    Lifeline();   // listens; where it cannot, nobody watches this process
    ~Lifeline();  // says goodbye
    Lifeline(const Lifeline&) = delete;
    Lifeline& operator=(const Lifeline&) = delete;

    const Address& address() const { return address_; }
    // From now on: when rank `rank` at `next` is gone without goodbye, and this process still is here `grace` later
    // (the launcher's own end of the job comes first), `lost` is called with a line that says so, in a thread of its
    // own. Call once.
    void watch(int rank, const Address& next, std::chrono::seconds grace, std::function<void(const std::string&)> lost);

private:
    class Socket {
    public:
        explicit Socket(int descriptor = -1) : descriptor_(descriptor) {}
        ~Socket();
        Socket(Socket&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}
        Socket& operator=(Socket&& other) noexcept {
            std::swap(descriptor_, other.descriptor_);
            return *this;
        }
        int get() const { return descriptor_; }
        explicit operator bool() const { return descriptor_ >= 0; }

    private:
        int descriptor_;
    };

    Socket connect_to(const Address& next) const;
    void serve(int rank, const Address& next, std::chrono::seconds grace,
               const std::function<void(const std::string&)>& lost);
    void let_in();

    Address address_;
    Socket listener_, watcher_;  // watcher_: the rank that watches this one
    Socket wake_, wakened_;      // a pair: closing the first ends the thread
    std::thread thread_;
};

}  // namespace tg::parallel
