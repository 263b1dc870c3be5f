#include "simulator_limits.hpp"

#include <algorithm>
#include <cmath>

namespace tg {

bool SecondLimit::open(double now) {
    if (!limited()) return true;
    const auto second = static_cast<std::int64_t>(std::floor(now));
    if (second != second_) {
        // Debts are paid by each second that passed; credit does not grow beyond one grant and the fraction of a request.
        const double passed = second_ < 0 ? 1 : static_cast<double>(std::min<std::int64_t>(second - second_, 1'000'000));
        const double carried = left_ > 0 ? left_ - std::floor(left_) : left_;
        left_ = std::min(carried + passed * grant_, grant_ < 1 ? 1.0 : std::max(carried, 0.0) + grant_);
        second_ = second;
    }
    return left_ >= 1 - 1e-9;
}

double SecondLimit::wait_s(double now) const {
    const double seconds = std::max(1.0, std::ceil((1 - left_) / grant_ - 1e-9));
    return std::floor(now) + seconds - now;
}

double SecondLimit::remaining() const { return std::clamp(std::floor(limit() - (grant_ - left_)), 0.0, limit()); }

double SecondLimit::reset_s() const { return std::max(0.0, (limit() - remaining()) / grant_); }

}  // namespace tg
