#include "product.hpp"

#include <array>
#include <cmath>
#include <fmt/format.h>

#include "taskgalaxy/core/clones.hpp"
#include "taskgalaxy/core/error.hpp"
#include "taskgalaxy/core/text.hpp"
#include "taskgalaxy/nn/layers/device.hpp"

namespace tg::matching {
namespace {

struct Kind {
    std::string_view name;
    bool (*can_run)(std::int64_t dim);
    std::unique_ptr<Product> (*make)(std::span<const float>, std::int64_t);
};

// The fastest first: "auto" takes the first that can run. bf16 is that with AMX only.
constexpr std::array kinds{
    Kind{"bf16", [](std::int64_t) { return __builtin_cpu_supports("amx-bf16") != 0; },
         [](std::span<const float> types, std::int64_t dim) { return make_torch_product(types, dim, true); }},
    Kind{"int8", can_use_int8_product, make_int8_product},
    Kind{"int16", can_use_int16_product, make_int16_product},
    Kind{"fp32", [](std::int64_t) { return true; },
         [](std::span<const float> types, std::int64_t dim) { return make_torch_product(types, dim, false); }},
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
        // bf16 in software is slow but right; integers would stop at an illegal instruction.
        if (candidate.can_run(dim) || kind == "bf16") return candidate.make(types, dim);
        if (kind != "auto")
            throw UsageError(fmt::format("match.arithmetic = {}: this processor has no instructions for it", kind),
                             "choose auto");
    }
    throw UsageError(fmt::format("match.arithmetic = {} is not known", kind),
                     "choose one of " + join(product_kinds(), ", "));
}

TG_CLONES double exact_dot(const float* a, const float* b, std::int64_t dim) {
    using Doubles = double __attribute__((vector_size(64)));
    using Floats = float __attribute__((vector_size(32), aligned(4)));
    Doubles sums{};
    std::int64_t d = 0;
    for (; d + 8 <= dim; d += 8)
        sums += __builtin_convertvector(*reinterpret_cast<const Floats*>(a + d), Doubles) *
                __builtin_convertvector(*reinterpret_cast<const Floats*>(b + d), Doubles);
    for (; d < dim; ++d) sums[d % 8] += static_cast<double>(a[d]) * static_cast<double>(b[d]);
    return ((sums[0] + sums[4]) + (sums[2] + sums[6])) + ((sums[1] + sums[5]) + (sums[3] + sums[7]));
}

float length_of(const float* row, std::int64_t dim) { return static_cast<float>(std::sqrt(exact_dot(row, row, dim))); }

}  // namespace tg::matching
