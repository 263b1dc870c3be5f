#include "taskgalaxy/simulator/limits.hpp"

#include <algorithm>
#include <cmath>

namespace tg::simulator {

bool SecondLimit::open(double now) {
    if (!limited()) return true;
    const auto second = static_cast<std::int64_t>(std::floor(now));
    if (second != second_) {
        // Debts are paid by each second that passed. Credit is lost, but for one request where the grant has a
        // fraction.
        const double passed =
            second_ < 0 ? 1 : static_cast<double>(std::min<std::int64_t>(second - second_, 1'000'000));
        const double most_carried = grant_ == std::floor(grant_) ? 0 : 1;
        left_ = std::min(std::min(left_, most_carried) + passed * grant_, std::max(grant_, 1.0) + most_carried);
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

}  // namespace tg::simulator
