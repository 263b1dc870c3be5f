#include "taskgalaxy/llm/tokens.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <fmt/format.h>

#include "taskgalaxy/core/error.hpp"

namespace tg::llm {
namespace {

// The tile rule: shrink into 2048 x 2048, then the shorter side to 768, never enlarge; count 512-pixel tiles begun.
std::int64_t tiles_512(int width, int height) {
    double w = std::max(width, 1), h = std::max(height, 1);
    const double into_square = std::min(1.0, 2048.0 / std::max(w, h));
    w *= into_square, h *= into_square;
    const double short_side = std::min(1.0, 768.0 / std::min(w, h));
    w *= short_side, h *= short_side;
    // A side that is whole in exact arithmetic must not begin another tile by rounding.
    const auto tiles = [](double side) { return static_cast<std::int64_t>(std::ceil(side / 512.0 - 1e-9)); };
    return tiles(w) * tiles(h);
}

}  // namespace

std::int64_t text_tokens(std::string_view text) { return static_cast<std::int64_t>((text.size() + 3) / 4); }

std::int64_t image_tokens(std::string_view rule, ImageDetail detail, int width, int height) {
    if (rule == "gpt-4o") return detail == ImageDetail::low ? 85 : 85 + 170 * tiles_512(width, height);
    if (rule == "gpt-4o-mini") return detail == ImageDetail::low ? 2833 : 2833 + 5667 * tiles_512(width, height);
    if (rule == "patches-28") return static_cast<std::int64_t>((width + 27) / 28) * ((height + 27) / 28) + 2;
    std::int64_t each = 0;
    const auto [end, error] = std::from_chars(rule.data(), rule.data() + rule.size(), each);
    if (error != std::errc{} || end != rule.data() + rule.size() || each < 0)
        throw UsageError(fmt::format("image_tokens = {} is not known", rule),
                         "choose gpt-4o, gpt-4o-mini, patches-28, or give a number of tokens");
    return each;
}

double dollars(const EndpointSettings& endpoint, TokenEstimate tokens) {
    if ((endpoint.price_in < 0 && tokens.in > 0) || (endpoint.price_out < 0 && tokens.out > 0)) return -1;
    return (static_cast<double>(tokens.in) * std::max(endpoint.price_in, 0.0) +
            static_cast<double>(tokens.out) * std::max(endpoint.price_out, 0.0)) *
           1e-6;
}

}  // namespace tg::llm
