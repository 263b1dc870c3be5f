#include "rounded_rows.hpp"

#include <cmath>

#include "taskgalaxy/core/clones.hpp"

namespace tg::matching {
namespace {

template <class Integer> TG_INLINE float round_all(const float* row, std::int64_t dim, float scale, Integer* out) {
    constexpr int lanes = 8;  // running sums side by side, which vectors hold
    double lost[lanes] = {};
    const auto unit = 1.0 / static_cast<double>(scale);
    const auto round_one = [&](std::int64_t d, double& sum) __attribute__((always_inline)) {
        const float rounded = std::nearbyint(row[d] * scale);
        out[d] = static_cast<Integer>(static_cast<std::int32_t>(rounded));
        const double difference = static_cast<double>(row[d]) - static_cast<double>(rounded) * unit;
        sum += difference * difference;
    };
    std::int64_t d = 0;
    for (; d + lanes <= dim; d += lanes)
        for (int lane = 0; lane < lanes; ++lane) round_one(d + lane, lost[lane]);
    for (; d < dim; ++d) round_one(d, lost[0]);
    double sum = 0;
    for (const auto lane : lost) sum += lane;
    return static_cast<float>(std::sqrt(sum));
}

}  // namespace

TG_CLONES float round_row(const float* row, std::int64_t dim, float scale, std::int8_t* out) {
    return round_all(row, dim, scale, out);
}
TG_CLONES float round_row(const float* row, std::int64_t dim, float scale, std::int16_t* out) {
    return round_all(row, dim, scale, out);
}

}  // namespace tg::matching
