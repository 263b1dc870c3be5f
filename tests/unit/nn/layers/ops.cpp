#include "taskgalaxy/nn/layers/ops.hpp"

#include <cmath>
#include <functional>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "backend.hpp"
#include "taskgalaxy/nn/layers/device.hpp"
#include "taskgalaxy/nn/layers/linear.hpp"

namespace tg::layers::ops {
namespace {

using Tensors = std::vector<Tensor>;
using Op = std::function<Tensors(const Tensors&)>;

// Runs operators on one backend and in one number format, and compares with plain torch in fp32 on the same numbers.
class Comparison {
public:
    Comparison(Backend backend, torch::Dtype dtype)
        : backend_(backend),
          dtype_(dtype),
          device_(backend == Backend::cuda ? torch::kCUDA : torch::kCPU),
          random_(at::make_generator<at::CPUGeneratorImpl>(5)) {}

    Tensor numbers(torch::IntArrayRef shape) const { return floats(shape).to(dtype_); }
    Tensor floats(torch::IntArrayRef shape) const { return torch::randn(shape, random_, torch::kFloat32); }

    // `op` changes none of its inputs. The difference may be `tolerance` of 1 + the expected number.
    void of(const Tensors& inputs, const Op& op) {
        Tensors wide, here;
        for (const auto& x : inputs) {
            wide.push_back(x.is_floating_point() ? x.to(torch::kFloat32) : x);
            here.push_back(x.to(device_));
        }
        Tensors results;
        try {
            const UseOnly only(backend_);
            results = op(here);
        } catch (const CannotRun& cannot) {
            why_not_ = cannot.what();
            return;
        }
        ++ran_;
        const UseOnly only(Backend::aten);
        const auto expected = op(wide);
        ASSERT_EQ(results.size(), expected.size());
        for (std::size_t i = 0; i < results.size(); ++i) {
            ASSERT_EQ(results[i].sizes(), expected[i].sizes()) << "result " << i;
            if (results[i].numel() == 0) continue;
            const auto e = expected[i].to(torch::kFloat64), r = results[i].to(torch::kCPU, torch::kFloat64);
            EXPECT_LE(((r - e).abs() / (1 + e.abs())).max().item<double>(), tolerance()) << "result " << i;
        }
    }
    int ran() const { return ran_; }
    const std::string& why_not() const { return why_not_; }

private:
    // bf16 has 8 bits; libtorch rounds to them after each of its steps, our kernels once or twice.
    double tolerance() const {
        if (dtype_ == torch::kFloat32) return 2e-5;
        return backend_ == Backend::aten || backend_ == Backend::flash ? 3e-2 : 2e-2;
    }
    Backend backend_;
    torch::Dtype dtype_;
    torch::Device device_;
    at::Generator random_;
    int ran_ = 0;
    std::string why_not_;
};

// Letters of shapes: M, N, K as in kernels/dense_product.hpp; T rows, H columns.
struct Product {
    std::int64_t M, N, K;
};
constexpr Product products[] = {{1, 1, 1},    {1, 48, 33},   {5, 7, 1},  {3, 130, 64},
                                {64, 48, 80}, {131, 97, 65}, {200, 3, 9}};

double scale_of(std::int64_t sum) { return 1 / std::sqrt(static_cast<double>(sum)); }

// Weights lie row by row and are multiplied transposed, as in forward; and as they lie, as backward.
void compare_multiply(Comparison& compare) {
    for (const auto& [M, N, K] : products) {
        const auto a = compare.numbers({M, K}), w = compare.numbers({N, K}) * scale_of(K), v = w.t().contiguous();
        compare.of({a, w}, [](const Tensors& x) { return Tensors{ops::multiply(x[0], x[1].t())}; });
        compare.of({a, v}, [](const Tensors& x) { return Tensors{ops::multiply(x[0], x[1])}; });
        compare.of({a, w}, [](const Tensors& x) { return Tensors{ops::multiply(x[0], x[1].t(), torch::kFloat32)}; });
    }
}
void compare_multiply_add(Comparison& compare) {
    for (const auto& [M, N, K] : products) {
        const auto a = compare.numbers({M, K}), w = compare.numbers({N, K}) * scale_of(K);
        for (const auto& c : {compare.numbers({N}), compare.numbers({M, N})})
            compare.of({c, a, w}, [](const Tensors& x) { return Tensors{ops::multiply_add(x[0], x[1], x[2].t())}; });
    }
}
void compare_add_product(Comparison& compare) {
    for (const auto& [M, N, K] : products) {
        const auto d = compare.numbers({K, M}) * scale_of(K), x = compare.numbers({K, N});
        compare.of({compare.floats({M, N}), d, x}, [](const Tensors& t) {
            const auto sum = t[0].clone();
            ops::add_product(sum, t[1].t(), t[2]);
            return Tensors{sum};
        });
    }
}
void compare_linear(Comparison& compare) {
    for (const auto& [M, N, K] : products) {
        const auto x = compare.numbers({2, M, K}), w = compare.numbers({N, K}) * scale_of(K),
                   bias = compare.numbers({N}), residual = compare.numbers({2, M, N});
        compare.of({x, w}, [](const Tensors& t) { return Tensors{layers::linear(t[0], t[1], {})}; });
        for (const auto activation : {kernels::Activation::none, kernels::Activation::silu, kernels::Activation::gelu,
                                      kernels::Activation::gelu_tanh})
            compare.of({x, w, bias, residual}, [activation](const Tensors& t) {
                return Tensors{layers::linear(t[0], t[1], t[2], activation, t[3])};
            });
    }
}

constexpr std::pair<std::int64_t, std::int64_t> matrices[] = {{0, 8}, {1, 1}, {1, 33}, {7, 16}, {70, 515}, {3, 4100}};

void compare_layer_norm(Comparison& compare) {
    for (const auto& [T, H] : matrices)
        for (const auto& x : {compare.numbers({T, H}), compare.numbers({2, T, H})})
            compare.of({x, compare.numbers({H}), compare.numbers({H})},
                       [](const Tensors& t) { return Tensors{ops::layer_norm(t[0], t[1], t[2], 1e-5)}; });
}
void compare_rms_norm(Comparison& compare) {
    for (const auto& [T, H] : matrices)
        compare.of({compare.numbers({T, H}), compare.numbers({H})}, [](const Tensors& t) {
            Tensor rstd;
            const auto y = ops::rms_norm(t[0], t[1], 1e-5, &rstd);
            return Tensors{y, rstd, ops::rms_norm(t[0], t[1], 1e-5)};
        });
}
void compare_rms_norm_backward(Comparison& compare) {
    for (const auto& [T, H] : matrices) {
        const auto x = compare.numbers({T, H});
        const auto rstd = torch::rsqrt(x.to(torch::kFloat32).square().mean(-1) + 1e-5);
        compare.of(
            {compare.numbers({T, H}), x, compare.numbers({H}), rstd, compare.numbers({T, H}), compare.floats({H})},
            [](const Tensors& t) {
                const auto d_weight = t[5].clone();
                const auto d_x = ops::rms_norm_backward(t[0], t[1], t[2], t[3], t[4], d_weight);
                return Tensors{d_x, d_weight, ops::rms_norm_backward(t[0], t[1], t[2], t[3], {}, {})};
            });
    }
}
void compare_rotate(Comparison& compare) {
    for (const std::int64_t T : {0, 1, 5, 130})
        for (const std::int64_t D : {2, 6, 64}) {
            const auto half = compare.floats({T, D / 2}), angle = torch::cat({half, half}, 1);
            const auto dtype = compare.numbers({1}).scalar_type();
            compare.of({compare.numbers({T, 5 * D}), angle.cos().to(dtype), angle.sin().to(dtype)},
                       [](const Tensors& t) {
                           auto forward = t[0].clone(), backward = t[0].clone();
                           ops::rotate(forward, t[1], t[2], 3);
                           ops::rotate(backward, t[1], t[2], 4, true);
                           return Tensors{forward, backward};
                       });
        }
}
void compare_swiglu(Comparison& compare) {
    for (const auto& [T, F] : matrices)
        compare.of({compare.numbers({T, 2 * F}) * 3}, [](const Tensors& t) { return Tensors{ops::swiglu(t[0])}; });
}
void compare_swiglu_backward(Comparison& compare) {
    for (const auto& [T, F] : matrices)
        compare.of({compare.numbers({T, F}), compare.numbers({T, 2 * F}) * 3},
                   [](const Tensors& t) { return Tensors{ops::swiglu_backward(t[0], t[1])}; });
}

constexpr Heads head_groups[] = {{1, 1, 1}, {2, 2, 16}, {6, 2, 33}, {4, 1, 80}};

void compare_attend(Comparison& compare) {
    const std::vector<std::int64_t> starts{0, 0, 1, 18, 171, 171};
    for (const auto& heads : head_groups) {
        const auto T = starts.back();
        compare.of({compare.numbers({T, (heads.query + 2 * heads.key_value) * heads.size}),
                    compare.numbers({T, heads.query * heads.size})},
                   [&](const Tensors& t) {
                       std::vector<Tensor> log_sum_exp;
                       const auto out = ops::attend(t[0], heads, starts, &log_sum_exp);
                       return Tensors{out, ops::attend(t[0], heads, starts),
                                      ops::attend_backward(t[1], t[0], out, heads, starts, log_sum_exp)};
                   });
    }
}
void compare_attend_batch(Comparison& compare) {
    for (const std::int64_t B : {1, 3})
        for (const std::int64_t T : {1, 7, 50})
            for (const bool causal : {false, true})
                for (const std::int64_t D : {8, 33})
                    compare.of({compare.numbers({B, T, 3 * 4 * D})},
                               [causal](const Tensors& t) { return Tensors{ops::attend_batch(t[0], 4, causal)}; });
}
void compare_attend_cached(Comparison& compare) {
    const std::vector<std::int64_t> slots{2, 0, 3}, lengths{1, 40, 17};
    for (const auto& heads : head_groups)
        compare.of(
            {compare.numbers({3, heads.query * heads.size}), compare.numbers({4, heads.key_value, 40, heads.size}),
             compare.numbers({4, heads.key_value, 40, heads.size})},
            [&](const Tensors& t) { return Tensors{ops::attend_cached(t[0], t[1], t[2], heads, slots, lengths)}; });
}
void compare_cross_entropy(Comparison& compare) {
    for (const auto& [N, V] : matrices) {
        const auto labels = torch::arange(N).remainder(V);
        for (const double scale : {0.0, 0.25})
            compare.of({compare.floats({N, V}) * 5, labels}, [scale](const Tensors& t) {
                auto logits = t[0].clone();
                const auto loss = torch::full({1}, ops::cross_entropy(logits, t[1], scale), torch::kFloat64);
                return scale == 0 ? Tensors{loss} : Tensors{loss, logits};
            });
    }
}
void compare_add_rows(Comparison& compare) {
    for (const auto& [T, H] : matrices)
        compare.of({compare.floats({5, H}), torch::arange(T).remainder(3), compare.numbers({T, H}) * 0.1},
                   [](const Tensors& t) {
                       const auto table = t[0].clone();
                       ops::add_rows(table, t[1], t[2]);
                       return Tensors{table};
                   });
}

struct Operator {
    const char* name;
    void (*compare)(Comparison&);
    std::vector<Backend> backends;
};
const std::vector<Operator>& operators() {
    using enum Backend;
    static const std::vector<Operator> all{
        {"multiply", compare_multiply, {narrow, wide, dense, aten}},
        {"multiply_add", compare_multiply_add, {narrow, wide, dense, aten}},
        {"add_product", compare_add_product, {wide, dense, aten}},
        {"linear", compare_linear, {dense, aten}},
        {"layer_norm", compare_layer_norm, {rows, aten}},
        {"rms_norm", compare_rms_norm, {cuda, rows, aten}},
        {"rms_norm_backward", compare_rms_norm_backward, {rows, aten}},
        {"rotate", compare_rotate, {rows, aten}},
        {"swiglu", compare_swiglu, {rows, aten}},
        {"swiglu_backward", compare_swiglu_backward, {rows, aten}},
        {"attend", compare_attend, {wide, dense, flash, aten}},
        {"attend_batch", compare_attend_batch, {dense, aten}},
        {"attend_cached", compare_attend_cached, {rows, aten}},
        {"cross_entropy", compare_cross_entropy, {rows, aten}},
        {"add_rows", compare_add_rows, {rows, aten}},
    };
    return all;
}

struct Case {
    Operator op;
    Backend backend;
    torch::Dtype dtype;
};
std::string name_of(const Case& c) {
    return fmt::format("{}_{}_{}", c.op.name, backend_name(c.backend), dtype_name(c.dtype));
}
std::ostream& operator<<(std::ostream& out, const Case& c) { return out << name_of(c); }

std::vector<Case> cases() {
    std::vector<Case> all;
    for (const auto& op : operators())
        for (const auto backend : op.backends)
            for (const auto dtype : {torch::kFloat32, torch::kBFloat16}) {
                if (backend == Backend::wide && dtype == torch::kFloat32) continue;  // it is for bf16 alone
                all.push_back({op, backend, dtype});
            }
    return all;
}

class EveryBackend : public testing::TestWithParam<Case> {};

TEST_P(EveryBackend, agrees_with_plain_torch) {
    const auto& [op, backend, dtype] = GetParam();
    if (backend == Backend::cuda && !has_cuda()) GTEST_SKIP() << "this process sees no CUDA device";
    const torch::NoGradGuard no_grad;
    Comparison comparison(backend, dtype);
    op.compare(comparison);
    if (comparison.ran() == 0) {
        // A processor may lack the instructions; plain loops run everywhere.
        ASSERT_THAT(backend, testing::AnyOf(Backend::dense, Backend::cuda)) << comparison.why_not();
        GTEST_SKIP() << comparison.why_not();
    }
}

INSTANTIATE_TEST_SUITE_P(ops, EveryBackend, testing::ValuesIn(cases()),
                         [](const auto& about) { return name_of(about.param); });

// What loops over rows would misread.
TEST(ops, leave_to_plain_torch_what_kernels_cannot_read) {
    const torch::NoGradGuard no_grad;
    const auto x = torch::randn({12, 8}).t(), weight = torch::randn({12}), gate_up = torch::randn({12, 8}).t();
    const auto norm = ops::rms_norm(x, weight, 1e-5), activated = ops::swiglu(gate_up);
    const UseOnly only(Backend::aten);
    EXPECT_TRUE(torch::equal(norm, ops::rms_norm(x, weight, 1e-5)));
    EXPECT_TRUE(torch::equal(activated, ops::swiglu(gate_up)));
}

TEST(ops, forced_to_a_backend_that_cannot_run_say_so) {
    const auto x = torch::randn({4, 8});
    {
        const UseOnly only(Backend::flash);
        EXPECT_THAT([&] { ops::swiglu(x); },
                    testing::ThrowsMessage<CannotRun>(testing::HasSubstr("swiglu: nothing of backend flash can run")));
    }
    EXPECT_EQ(ops::swiglu(x).size(1), 4) << "and are free again afterwards";
}

TEST(ops, of_a_row_do_not_depend_on_its_company) {
    const torch::NoGradGuard no_grad;
    for (const auto dtype : {torch::kFloat32, torch::kBFloat16}) {
        const auto x = torch::randn({9, 66}).to(dtype), weight = torch::randn({66}).to(dtype);
        const auto norms = ops::rms_norm(x, weight, 1e-5), activated = ops::swiglu(x);
        for (std::int64_t t = 0; t < 9; ++t) {
            EXPECT_TRUE(torch::equal(ops::rms_norm(x.narrow(0, t, 1), weight, 1e-5), norms.narrow(0, t, 1)));
            EXPECT_TRUE(torch::equal(ops::swiglu(x.narrow(0, t, 1)), activated.narrow(0, t, 1)));
        }
    }
}

}  // namespace
}  // namespace tg::layers::ops
