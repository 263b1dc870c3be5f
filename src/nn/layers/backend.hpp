// How an operator of ops.hpp chooses among its implementations. Each has a table, the fastest first, with plain torch
// last, which can always run:
//
//     constexpr Implementation<decltype(aten::swiglu)> swiglus[] = {
//         {Backend::rows, rows::can_swiglu, rows::swiglu},
//         {Backend::aten, always, aten::swiglu},
//     };
//     Tensor swiglu(const Tensor& gate_up) { return run("swiglu", swiglus, gate_up); }
//
// A new device or kernel is a file ops_NAME.cpp, its declarations in ops_backends.hpp, and its rows in these tables.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string_view>

namespace tg::layers::ops {

enum class Backend : std::uint8_t {
    cuda,    // our own kernels on GPUs (ops_cuda.cpp)
    narrow,  // few rows times a weight matrix (ops_narrow.cpp)
    wide,    // bf16 on a CPU without instructions for it: once more in fp32 (ops_wide.cpp)
    dense,   // large products and attention with AVX-512 (ops_dense.cpp)
    rows,    // one pass over memory, row by row, on CPUs (ops_rows.cpp)
    flash,   // libtorch's own attention for CPUs (ops_flash.cpp)
    aten,    // plain torch, on every device: what the others are measured against (ops_aten.cpp)
};
std::string_view backend_name(Backend backend);

template <class... A> bool always(A...) { return true; }

template <class Signature> struct Implementation;
template <class R, class... A> struct Implementation<R(A...)> {
    Backend backend;
    bool (*can)(A...);  // gives the right result for these tensors on this machine
    R (*run)(A...);
    bool (*pays)(A...) = always<A...>;  // and sooner than those behind it
};

// While it lives, operators that this thread calls run on this backend, whether it pays or not, or throw CannotRun.
// For tests.
class UseOnly {
public:
    explicit UseOnly(std::optional<Backend> backend);
    ~UseOnly();
    UseOnly(const UseOnly&) = delete;
    UseOnly& operator=(const UseOnly&) = delete;
    static std::optional<Backend> current();

private:
    std::optional<Backend> before_;
};

struct CannotRun : std::logic_error {
    CannotRun(std::string_view op, Backend backend);
};

template <class R, class... A, std::size_t n, class... Given>
R run(std::string_view op, const Implementation<R(A...)> (&table)[n], Given&&... given) {
    const auto only = UseOnly::current();
    for (const auto& candidate : table) {
        if (only ? candidate.backend != *only || !candidate.can(given...)
                 : !candidate.can(given...) || !candidate.pays(given...))
            continue;
        const UseOnly free(std::nullopt);  // an implementation may be made of other operators
        return candidate.run(given...);
    }
    throw CannotRun(op, only.value_or(Backend::aten));
}

}  // namespace tg::layers::ops
