// cpp-httplib's server with connections of our own, so that a handler can decide how its answer leaves: whole, cut,
// dripped, or not at all with a reset. A thread a connection, started as they come.
#pragma once

#include <atomic>
#include <condition_variable>
#include <httplib.h>
#include <mutex>
#include <string>

namespace tg::simulator {

// What happens to the response of the request in hand; set by the handler on its own thread.
struct Delivery {
    enum class Way { whole, cut, drip, reset } way = Way::whole;
    double drip_s = 0;
};

class SimulatorServer : public httplib::Server {
public:
    explicit SimulatorServer(int most_connections);

    // Of the connection that the calling handler serves.
    static Delivery& delivery();
    // Sleeps, but no longer than the server lives. False: it is stopping.
    bool sleep_s(double seconds);
    void begin_stop();  // before stop(): wakes all sleepers

private:
    bool process_and_close_socket(socket_t socket) override;

    std::atomic<bool> stopping_{false};
    std::atomic<int> waiting_{0};  // connections for which there is no thread yet
    std::mutex mutex_;
    std::condition_variable wake_;
};

}  // namespace tg::simulator
