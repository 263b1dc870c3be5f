#include "transfers.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <curl/curl.h>
#include <fmt/format.h>
#include <mutex>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <unordered_set>

#include "taskgalaxy/core/error.hpp"
#include "taskgalaxy/core/text.hpp"

namespace tg::llm {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t longest_answer = 32u << 20;  // bytes; a server that sends more is not answering the question
constexpr long most_kept_connections = 2048;

// The headers that pacing, verdicts and failure lines read; everything else is dropped as it comes.
bool of_interest(std::string_view name) {
    return name.starts_with("x-ratelimit-") || name == "retry-after" || name == "retry-after-ms" ||
           name == "content-type" || name == "x-request-id" || name == "request-id";
}

struct Transfer {
    CURL* easy = nullptr;
    std::shared_ptr<const Route> route;
    std::shared_ptr<const std::string> body;
    void* tag = nullptr;
    HttpAnswer answer;
    Clock::time_point start;
    std::array<char, CURL_ERROR_SIZE> error{};
};

std::size_t on_body(char* data, std::size_t, std::size_t size, void* user) {
    auto& body = static_cast<Transfer*>(user)->answer.body;
    if (body.size() + size > longest_answer) return 0;
    body.append(data, size);
    return size;
}

std::size_t on_header(char* data, std::size_t, std::size_t size, void* user) {
    const std::string_view line(data, size);
    auto& headers = static_cast<Transfer*>(user)->answer.headers;
    if (line.starts_with("HTTP/")) headers.clear();  // a proxy's answer to CONNECT, or 100 Continue, came before
    const auto colon = line.find(':');
    if (colon == std::string_view::npos) return size;
    auto name = lower_ascii(line.substr(0, colon));
    if (of_interest(name)) headers.emplace_back(std::move(name), trimmed(line.substr(colon + 1)));
    return size;
}

long milliseconds(double seconds) { return std::max(1L, static_cast<long>(std::ceil(seconds * 1000))); }

}  // namespace

Route::Route(std::string url, std::string_view key, Timeouts timeouts)
    : url_(std::move(url)), key_(key), timeouts_(timeouts) {
    auto* list = curl_slist_append(nullptr, "Content-Type: application/json");
    list = curl_slist_append(list, "Accept: application/json");
    list = curl_slist_append(list, "Expect:");  // no pause of a second before a body
    if (!key.empty()) list = curl_slist_append(list, fmt::format("Authorization: Bearer {}", key).c_str());
    headers_ = list;
}

Route::~Route() { curl_slist_free_all(static_cast<curl_slist*>(headers_)); }

struct Transfers::Impl {
    Options options;
    std::string ca_bundle;
    CURLM* multi = nullptr;
    int epoll = -1, wake_fd = -1;
    Clock::time_point timer = Clock::time_point::max();
    std::vector<std::unique_ptr<Transfer>> idle;
    std::unordered_set<Transfer*> active;

    static int on_socket(CURL*, curl_socket_t fd, int what, void* user, void* known) {
        auto& self = *static_cast<Impl*>(user);
        if (what == CURL_POLL_REMOVE) {
            epoll_ctl(self.epoll, EPOLL_CTL_DEL, fd, nullptr);
            return 0;
        }
        epoll_event event{};
        event.data.fd = fd;
        if (what & CURL_POLL_IN) event.events |= EPOLLIN;
        if (what & CURL_POLL_OUT) event.events |= EPOLLOUT;
        if (epoll_ctl(self.epoll, known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &event) != 0)
            epoll_ctl(self.epoll, known ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, fd, &event);
        curl_multi_assign(self.multi, fd, &self);  // "known" from now on
        return 0;
    }

    static int on_timer(CURLM*, long timeout_ms, void* user) {
        static_cast<Impl*>(user)->timer =
            timeout_ms < 0 ? Clock::time_point::max() : Clock::now() + std::chrono::milliseconds(timeout_ms);
        return 0;
    }

    std::unique_ptr<Transfer> fresh() {
        auto transfer = std::make_unique<Transfer>();
        CURL* easy = transfer->easy = curl_easy_init();
        if (!easy) throw Error(ExitCode::internal, "libcurl gives no further handle");
        curl_easy_setopt(easy, CURLOPT_PRIVATE, transfer.get());
        curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, transfer->error.data());
        curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
        curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
        curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L);
        curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L);
        if (!ca_bundle.empty()) {
            curl_easy_setopt(easy, CURLOPT_CAINFO, ca_bundle.c_str());
            curl_easy_setopt(easy, CURLOPT_PROXY_CAINFO, ca_bundle.c_str());
        }
        curl_easy_setopt(
            easy, CURLOPT_HTTP_VERSION,
            options.http2 ? static_cast<long>(CURL_HTTP_VERSION_2TLS) : static_cast<long>(CURL_HTTP_VERSION_1_1));
        curl_easy_setopt(easy, CURLOPT_TCP_NODELAY, 1L);
        curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
        curl_easy_setopt(easy, CURLOPT_USERAGENT, "taskgalaxy");
        curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
        curl_easy_setopt(easy, CURLOPT_WRITEDATA, transfer.get());
        curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
        curl_easy_setopt(easy, CURLOPT_HEADERDATA, transfer.get());
        return transfer;
    }

    static void hide(const std::string& key, HttpAnswer& answer) {
        if (key.empty()) return;
        const auto without = [&](std::string& text) {
            if (text.find(key) != text.npos) text = replace_all(std::move(text), key, "(key)");
        };
        without(answer.body);
        without(answer.problem_text);
        for (auto& [name, value] : answer.headers) without(value);
    }

    void collect(std::vector<Finished>& finished) {
        int left = 0;
        while (CURLMsg* message = curl_multi_info_read(multi, &left)) {
            if (message->msg != CURLMSG_DONE) continue;
            CURL* easy = message->easy_handle;
            const auto code = message->data.result;
            Transfer* transfer = nullptr;
            curl_easy_getinfo(easy, CURLINFO_PRIVATE, &transfer);
            auto& answer = transfer->answer;
            answer.problem = static_cast<int>(code);
            if (code != CURLE_OK)
                answer.problem_text = transfer->error[0] ? transfer->error.data() : curl_easy_strerror(code);
            curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &answer.status);
            hide(transfer->route->key_, answer);
            answer.seconds = std::chrono::duration<double>(Clock::now() - transfer->start).count();
            curl_multi_remove_handle(multi, easy);
            finished.push_back({transfer->tag, std::move(answer)});
            retire(transfer);
        }
    }

    void retire(Transfer* transfer) {
        active.erase(transfer);
        transfer->route.reset();
        transfer->body.reset();
        transfer->answer = {};
        transfer->error[0] = 0;
        idle.emplace_back(transfer);
    }
};

Transfers::Transfers(const Options& options) : impl_(std::make_unique<Impl>()) {
    static std::once_flag initialised;
    std::call_once(initialised, [] { curl_global_init(CURL_GLOBAL_DEFAULT); });
    impl_->options = options;
    impl_->ca_bundle = options.ca_bundle.string();
    for (const char* name : {"CURL_CA_BUNDLE", "SSL_CERT_FILE"})
        if (const char* file = std::getenv(name); impl_->ca_bundle.empty() && file) impl_->ca_bundle = file;
    impl_->multi = curl_multi_init();
    impl_->epoll = epoll_create1(EPOLL_CLOEXEC);
    impl_->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (!impl_->multi || impl_->epoll < 0 || impl_->wake_fd < 0)
        throw Error(ExitCode::internal, "the request engine cannot open its event loop",
                    "raise the limit of open files (ulimit -n)");
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.fd = impl_->wake_fd;
    epoll_ctl(impl_->epoll, EPOLL_CTL_ADD, impl_->wake_fd, &event);
    curl_multi_setopt(impl_->multi, CURLMOPT_SOCKETFUNCTION, &Impl::on_socket);
    curl_multi_setopt(impl_->multi, CURLMOPT_SOCKETDATA, impl_.get());
    curl_multi_setopt(impl_->multi, CURLMOPT_TIMERFUNCTION, &Impl::on_timer);
    curl_multi_setopt(impl_->multi, CURLMOPT_TIMERDATA, impl_.get());
    curl_multi_setopt(impl_->multi, CURLMOPT_MAXCONNECTS, most_kept_connections);
}

Transfers::~Transfers() {
    cancel_all();
    for (auto& transfer : impl_->idle) curl_easy_cleanup(transfer->easy);
    curl_multi_cleanup(impl_->multi);
    ::close(impl_->wake_fd);
    ::close(impl_->epoll);
}

void Transfers::start(std::shared_ptr<const Route> route, std::shared_ptr<const std::string> body, void* tag) {
    std::unique_ptr<Transfer> transfer;
    if (impl_->idle.empty()) transfer = impl_->fresh();
    else transfer = std::move(impl_->idle.back()), impl_->idle.pop_back();
    CURL* easy = transfer->easy;
    transfer->route = std::move(route);
    transfer->body = std::move(body);
    transfer->tag = tag;
    transfer->start = Clock::now();
    const auto& to = *transfer->route;
    curl_easy_setopt(easy, CURLOPT_URL, to.url().c_str());
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, static_cast<curl_slist*>(to.headers_));
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, milliseconds(to.timeouts().connect_s));
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, milliseconds(to.timeouts().total_s));
    curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME, std::max(1L, static_cast<long>(std::ceil(to.timeouts().silence_s))));
    // Wait for a handshake under way if it may bring HTTP/2, rather than open a connection a request.
    curl_easy_setopt(easy, CURLOPT_PIPEWAIT, impl_->options.http2 && to.url().starts_with("https:") ? 1L : 0L);
    if (!transfer->body) {
        curl_easy_setopt(easy, CURLOPT_HTTPGET, 1L);
    } else {
        curl_easy_setopt(easy, CURLOPT_POST, 1L);
        curl_easy_setopt(easy, CURLOPT_POSTFIELDS, transfer->body->data());
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(transfer->body->size()));
    }
    curl_multi_add_handle(impl_->multi, easy);
    impl_->active.insert(transfer.release());
}

std::vector<Transfers::Finished> Transfers::wait(double seconds) {
    std::vector<Finished> finished;
    impl_->collect(finished);
    const auto until = Clock::now() + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(
                                          finished.empty() ? std::max(seconds, 0.0) : 0.0));
    std::array<epoll_event, 256> events;
    int running = 0;
    for (bool woken = false;;) {
        const auto now = Clock::now();
        const auto next = std::min(until, impl_->timer);
        // Rounded up: a timeout of 0 ms would spin through the last fraction of a millisecond before each timer.
        const auto left = next <= now ? 0 : std::chrono::ceil<std::chrono::milliseconds>(next - now).count();
        const int count = epoll_wait(impl_->epoll, events.data(), static_cast<int>(events.size()),
                                     static_cast<int>(std::min<std::int64_t>(left, 60'000)));
        for (int i = 0; i < count; ++i) {
            const auto& event = events[static_cast<std::size_t>(i)];
            if (event.data.fd == impl_->wake_fd) {
                std::uint64_t ignored;
                woken |= ::read(impl_->wake_fd, &ignored, sizeof ignored) > 0;
                continue;
            }
            int flags = 0;
            if (event.events & EPOLLIN) flags |= CURL_CSELECT_IN;
            if (event.events & EPOLLOUT) flags |= CURL_CSELECT_OUT;
            if (event.events & (EPOLLERR | EPOLLHUP)) flags |= CURL_CSELECT_ERR;
            curl_multi_socket_action(impl_->multi, event.data.fd, flags, &running);
        }
        if (impl_->timer <= Clock::now()) {
            impl_->timer = Clock::time_point::max();
            curl_multi_socket_action(impl_->multi, CURL_SOCKET_TIMEOUT, 0, &running);
        }
        impl_->collect(finished);
        if (!finished.empty() || woken || Clock::now() >= until) return finished;
    }
}

void Transfers::wake() {
    const std::uint64_t one = 1;
    [[maybe_unused]] const auto written =
        ::write(impl_->wake_fd, &one, sizeof one);  // can only fail when already signalled 2^64 times
}

std::size_t Transfers::in_flight() const { return impl_->active.size(); }

std::vector<void*> Transfers::cancel_all() {
    std::vector<void*> tags;
    while (!impl_->active.empty()) {
        Transfer* transfer = *impl_->active.begin();
        curl_multi_remove_handle(impl_->multi, transfer->easy);
        tags.push_back(transfer->tag);
        impl_->retire(transfer);
    }
    return tags;
}

}  // namespace tg::llm
