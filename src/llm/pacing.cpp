#include "pacing.hpp"

#include <algorithm>
#include <cmath>

namespace tg::llm {
namespace {

// Share of a limit left unused so that an answer or a clock that is some milliseconds off does not carry one request
// too many into a server's second: one second's requests are sent in 1.008 s.
constexpr double margin = 0.008;
constexpr double second = 1.0 + margin;

constexpr double first_rate = 8;      // per second, where nothing is stated
constexpr double slow_climb = 0.003;  // of the rate, per second
constexpr double fast_climb = 0.05;
constexpr double bold_climb = 0.2;  // where no limit has been met a second time
constexpr double climb_doubles_s = 5;
constexpr double least_rate = 1.0 / 60;
constexpr double tolerated_share = 0.01;  // of what is sent may be refused
constexpr double burst = 3.5;             // refusals lately, and this share of what was sent: far too fast
constexpr double burst_share = 0.4;
constexpr int lowerings_tried = 6;
constexpr double lately_s = 1.5;

}  // namespace

Allowance::Allowance(int index, int senders, double credit_s)
    : index_(index), senders_(std::max(senders, 1)), credit_s_(senders > 1 ? 0 : credit_s) {}

// Senders of one limit take turns: sender i of n has the times (m + i/n) / rate.
double Allowance::on_grid(double time) const {
    if (senders_ == 1) return time;
    const double step = interval() * (1 + margin), offset = step * index_ / senders_;
    return std::ceil((time - offset) / step) * step + offset;
}

void Allowance::set_rate(double rate, double now) {
    if (rate == rate_) return;
    const bool first = rate_ <= 0;
    rate_ = rate;
    // Begins without credit: a restarted job may follow on its own last requests.
    if (rate_ > 0 && first) next_ = on_grid(now) + credit_s_;
}

void Allowance::forget(double now) {
    while (!recent_.empty() && recent_.front().time <= now - second) {
        recent_sum_ -= recent_.front().amount;
        recent_.pop_front();
    }
    if (recent_.empty()) recent_sum_ = 0;  // no drift
}

double Allowance::ready_at(double now) {
    if (rate_ <= 0) return std::max(now, held_);
    // Among several senders a place that was missed is lost, not caught up: another sender's comes right after it.
    if (senders_ > 1 && next_ + margin < now) next_ = on_grid(now);
    forget(now);
    double ready = std::max(held_, next_ - credit_s_);
    // A second's share was spent within the last second: wait for the oldest of it to pass.
    double sum = recent_sum_;
    for (const auto& spent : recent_) {
        if (sum < std::max(std::ceil(rate_ - 1e-9), 1.0)) break;
        ready = std::max(ready, spent.time + second);
        sum -= spent.amount;
    }
    return ready;
}

void Allowance::spend(double now, double amount) {
    if (rate_ <= 0) return;
    next_ = (senders_ == 1 ? std::max(next_, now) : next_) + interval() * (1 + margin) * amount;
    forget(now);
    recent_.push_back({now, amount});
    recent_sum_ += amount;
}

void Allowance::correct(double more) {
    if (rate_ > 0) next_ += more * interval() * (1 + margin);
}

void Allowance::hold_until(double time) { held_ = std::max(held_, time); }

LearnedRate::LearnedRate(double stated, bool ramp) : stated_(stated), ramping_(ramp && stated <= 0) {
    if (ramping_) rate_ = first_rate;
}

double LearnedRate::cap() const {
    if (stated_ > 0 && server_ > 0) return std::min(stated_, server_);
    return std::max(stated_, server_);
}

double LearnedRate::rate() const {
    const double most = cap();
    if (rate_ <= 0) return most;
    return most > 0 ? std::min(most, rate_) : rate_;
}

void LearnedRate::server_states(double rate) {
    if (rate <= 0) return;
    // With the server's word there is nothing left to find out.
    if (ramping_) ramping_ = false, rate_ = 0;
    if (stated_ <= 0 || rate < stated_ * 0.999) learned_ = true;
    server_ = rate;
}

void LearnedRate::sent(double now) {
    const double faded = std::exp((last_sent_ - now) / lately_s);
    sent_lately_ = sent_lately_ * faded + 1;
    refused_lately_ *= faded;
    last_sent_ = now;
    ++sent_since_;
}

void LearnedRate::lower(double factor, double now) {
    rate_ = std::max(rate() * factor, least_rate);
    epoch_ = now;
    sent_lately_ = refused_lately_ = 0;
    guessed_ = false;
}

double LearnedRate::refused(double sent_at, double now, double sending) {
    ++refused_since_;
    if (sent_at < epoch_) return 0;
    learned_ = true;
    if (rate() <= 0 || ramping_) {
        // First news of a limit: what went out in the last second or so was already too much.
        ramping_ = false;
        rate_ = rate() > 0 ? std::min(rate(), std::max(sending, least_rate)) : sending;
        lower(0.7, now);
        guessed_ = true;
        return 0.3;
    }
    ++refused_lately_;
    const double share = refused_lately_ / std::max(sent_lately_, refused_lately_);
    if (refused_lately_ >= burst && share > burst_share) {
        lowerings_ = 0;
        lower(0.75, now);
        return 0.7;
    }
    const bool too_soon = now - epoch_ < 1 || sent_lately_ < 10;
    if ((epoch_ > 0 && too_soon) || share <= tolerated_share || now < in_vain_until_) return 0;
    if (lowerings_ == lowerings_tried) {
        lowerings_ = 0;
        if (cap() > 0 && refused_since_ > 0.6 * share_before_ * sent_since_) {
            // A fifth below what was stated and refused as often: others use up the limit, or the server refuses at
            // random.
            rate_ = rate_before_;
            in_vain_until_ = now + 60;
            lower(1, now);
            return 0;
        }
    }
    if (lowerings_++ == 0) share_before_ = share, rate_before_ = rate(), sent_since_ = refused_since_ = 0;
    lower(0.96, now);
    return 0;
}

void LearnedRate::binding(double now) {
    if (rate_ <= 0) return;
    const double dt = last_climb_ < 0 ? 0 : std::min(now - last_climb_, 1.0);
    last_climb_ = now;
    if (ramping_) {
        rate_ *= std::exp2(dt);
        return;
    }
    const bool boldly = guessed_ || now < in_vain_until_;
    const double speed =
        boldly ? bold_climb : std::min(fast_climb, slow_climb * std::exp2((now - epoch_) / climb_doubles_s));
    rate_ *= 1 + speed * dt;
    if (const double most = cap(); most > 0 && rate_ >= most) rate_ = 0;  // back at what was stated
}

Concurrency::Concurrency(int stated, int most) : adaptive_(stated <= 0), limit_(stated > 0 ? stated : 8), most_(most) {}

void Concurrency::answered(double now, double seconds, bool waited) {
    if (!adaptive_) return;
    if (epoch_ < 0) epoch_ = now;
    ++answers_;
    waited_ += waited;
    slowest_ = std::max(slowest_, seconds);
    const double length = now - epoch_;
    if (answers_ < 2 * limit_ || length < std::max(0.5, std::min(2 * slowest_, 10.0))) return;
    const double rate = answers_ / length;
    const bool full = waited_ * 2 > answers_;
    epoch_ = now, answers_ = 0, waited_ = 0, slowest_ = 0;
    if (!full) {
        raised_ = false;
        return;
    }
    if (raised_ && rate < rate_before_ * 1.05) {  // more in flight brought nothing
        limit_ = before_;
        doubling_ = raised_ = false;
        hold_until_ = now + 20;
        return;
    }
    if (now < hold_until_ || limit_ >= most_) return;
    before_ = limit_;
    rate_before_ = rate;
    limit_ = std::min(most_, doubling_ ? limit_ * 2 : limit_ + std::max(1, limit_ / 4));
    raised_ = true;
}

void Concurrency::trouble(double now) {
    if (!adaptive_ || now - last_trouble_ < 5) return;
    last_trouble_ = now;
    limit_ = std::max(4, limit_ * 3 / 4);
    doubling_ = raised_ = false;
    hold_until_ = now + 5;
}

double backoff_s(double first_s, double longest_s, int failures, double unit) {
    return unit * std::min(longest_s, first_s * std::exp2(std::min(failures - 1, 30)));
}

void RecentRate::add(double now, double amount) {
    const auto whole = static_cast<std::int64_t>(std::floor(now));
    const auto slot = static_cast<std::size_t>(((whole % (span + 1)) + span + 1) % (span + 1));
    if (second_[slot] != whole) second_[slot] = whole, amount_[slot] = 0;
    amount_[slot] += amount;
    if (first_ < 0) first_ = now;
}

double RecentRate::per_second(double now, int seconds) const {
    if (first_ < 0) return 0;
    const auto whole = static_cast<std::int64_t>(std::floor(now));
    double sum = 0;
    for (int i = 0; i <= span; ++i)
        if (second_[i] >= whole - seconds && second_[i] <= whole) sum += amount_[i];
    return sum / std::clamp(now - first_, 1.0, seconds + (now - static_cast<double>(whole)));
}

}  // namespace tg::llm
