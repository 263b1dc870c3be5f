#include "product.hpp"

#include <array>
#include <fmt/format.h>

#include "taskgalaxy/core/error.hpp"
#include "taskgalaxy/core/text.hpp"
#include "taskgalaxy/nn/device.hpp"

namespace tg {
namespace {

struct Kind {
    std::string_view name;
    bool (*can_run)();
    std::unique_ptr<Product> (*make)(std::span<const float>, std::int64_t);
};

// The fastest first: "auto" takes the first that can run.
constexpr std::array kinds{
    Kind{"bf16", [] { return has_fast_bf16(torch::kCPU); }, [](std::span<const float> types, std::int64_t dim) { return make_torch_product(types, dim, true); }},
    Kind{"int16", can_use_int16_product, make_int16_product},
    Kind{"fp32", [] { return true; }, [](std::span<const float> types, std::int64_t dim) { return make_torch_product(types, dim, false); }},
};

}  // namespace

std::vector<std::string> product_kinds() {
    std::vector<std::string> names{"auto"};
    for (const auto& kind : kinds) names.emplace_back(kind.name);
    return names;
}

std::unique_ptr<Product> make_product(std::string_view kind, std::span<const float> types, std::int64_t dim) {
    for (const auto& candidate : kinds) {
        if (kind != "auto" && kind != candidate.name) continue;
        // bf16 in software is slow but right; int16 would stop at an illegal instruction.
        if (candidate.can_run() || kind == "bf16") return candidate.make(types, dim);
        if (kind != "auto") throw UsageError(fmt::format("match.arithmetic = {}: this processor has no AVX2", kind), "choose auto");
    }
    throw UsageError(fmt::format("match.arithmetic = {} is not known", kind), "choose one of " + join(product_kinds(), ", "));
}

double exact_dot(const float* a, const float* b, std::int64_t dim) {
    double sums[8] = {};
    std::int64_t d = 0;
    for (; d + 8 <= dim; d += 8)
        for (int lane = 0; lane < 8; ++lane) sums[lane] += static_cast<double>(a[d + lane]) * static_cast<double>(b[d + lane]);
    for (; d < dim; ++d) sums[d % 8] += static_cast<double>(a[d]) * static_cast<double>(b[d]);
    return ((sums[0] + sums[4]) + (sums[2] + sums[6])) + ((sums[1] + sums[5]) + (sums[3] + sums[7]));
}

}  // namespace tg
