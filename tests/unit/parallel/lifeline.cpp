#include "lifeline.hpp"

#include <csignal>
#include <future>
#include <gtest/gtest.h>

#include <arpa/inet.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

namespace tg::parallel {
namespace {

using std::chrono::seconds;

// Another process that listens and is watched, until it is told how to end.
class Neighbour {
public:
    Neighbour() {
        int out[2], in[2];
        if (pipe(out) != 0 || pipe(in) != 0) throw std::runtime_error("no pipe");
        pid_ = fork();
        if (pid_ == 0) {
            std::array<char, 1> order{};
            {
                Lifeline own;
                own.watch(0, {}, seconds(0), [](const std::string&) {});
                if (write(out[1], &own.address(), sizeof own.address()) < 0) std::_Exit(1);
                if (read(in[0], order.data(), 1) != 1) std::_Exit(1);
            }
            std::_Exit(0);
        }
        order_ = in[1];
        if (read(out[0], &address_, sizeof address_) != sizeof address_)
            throw std::runtime_error("the neighbour did not start");
    }
    ~Neighbour() {
        kill(pid_, SIGKILL);
        waitpid(pid_, nullptr, 0);
    }
    const Lifeline::Address& address() const { return address_; }
    void die() { kill(pid_, SIGKILL); }
    void end_in_order() {
        ASSERT_EQ(write(order_, "x", 1), 1);
        int status = 0;
        waitpid(pid_, &status, 0);
        EXPECT_EQ(status, 0);
    }

private:
    pid_t pid_ = 0;
    int order_ = -1;
    Lifeline::Address address_;
};

struct Watcher {
    explicit Watcher(const Lifeline::Address& next, seconds grace = seconds(0)) {
        lifeline.watch(3, next, grace, [this](const std::string& line) { lost.set_value(line); });
        std::this_thread::sleep_for(std::chrono::milliseconds(300));  // until they have met
    }
    std::promise<std::string> lost;
    std::future<std::string> said = lost.get_future();
    Lifeline lifeline;
};

TEST(lifeline, says_which_rank_died) {
    Neighbour neighbour;
    Watcher watcher(neighbour.address());
    EXPECT_EQ(watcher.said.wait_for(seconds(0)), std::future_status::timeout) << "lost while it lived";
    neighbour.die();
    ASSERT_EQ(watcher.said.wait_for(seconds(30)), std::future_status::ready);
    const auto line = watcher.said.get();
    EXPECT_TRUE(line.starts_with("rank 3 on ")) << line;
    EXPECT_NE(line.find("is gone"), std::string::npos) << line;
}

TEST(lifeline, is_silent_when_the_other_ends_in_order) {
    Neighbour neighbour;
    Watcher watcher(neighbour.address());
    neighbour.end_in_order();
    EXPECT_EQ(watcher.said.wait_for(std::chrono::milliseconds(300)), std::future_status::timeout);
}

TEST(lifeline, leaves_the_launcher_its_time_and_ends_before_it_is_over) {
    Neighbour neighbour;
    {
        Watcher watcher(neighbour.address(), seconds(3600));
        neighbour.die();
        EXPECT_EQ(watcher.said.wait_for(std::chrono::milliseconds(300)), std::future_status::timeout);
    }  // does not wait an hour
}

TEST(lifeline, turns_away_those_without_the_token) {
    Neighbour neighbour;
    sockaddr_in place{};
    place.sin_family = AF_INET, place.sin_port = htons(neighbour.address().port),
    place.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const int stranger = socket(AF_INET, SOCK_STREAM, 0);
    ASSERT_EQ(connect(stranger, reinterpret_cast<const sockaddr*>(&place), sizeof place), 0);
    const std::array<char, 16> guess{};
    ASSERT_EQ(send(stranger, guess.data(), guess.size(), MSG_NOSIGNAL), 16);
    char word;
    EXPECT_LE(recv(stranger, &word, 1, 0), 0) << "it was let in";
    close(stranger);
    Watcher watcher(neighbour.address());  // and the true one still is let in
    neighbour.die();
    EXPECT_EQ(watcher.said.wait_for(seconds(30)), std::future_status::ready);
}

TEST(lifeline, of_one_that_was_never_there_is_no_loss) {
    Lifeline::Address nobody;
    {
        Lifeline gone;
        nobody = gone.address();
    }
    Watcher watcher(nobody);
    EXPECT_EQ(watcher.said.wait_for(std::chrono::milliseconds(300)), std::future_status::timeout);
}

}  // namespace
}  // namespace tg::parallel
