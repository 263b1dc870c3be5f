// Our own kernels on GPUs (kernels/cuda_library.hpp), on torch's current stream of the tensors' device.
#include <fmt/format.h>

#include <stdexcept>

#include <c10/core/DeviceGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include "ops_backends.hpp"
#include "taskgalaxy/core/log.hpp"
#include "taskgalaxy/nn/kernels/cuda_library.hpp"

namespace tg::layers::ops::cuda {
namespace {

// Null: then plain torch does it.
const kernels::CudaKernels* library() {
    static const kernels::CudaKernels* const table = [] {
        const auto opened = kernels::open_cuda_kernels();
        if (!opened.kernels) log::info("our own GPU kernels are not used: {}", opened.why_not);
        return opened.kernels;
    }();
    return table;
}

bool lies_on_gpu(const Tensor& x) {
    return x.is_cuda() && x.is_contiguous() &&
           (x.scalar_type() == torch::kFloat32 || x.scalar_type() == torch::kBFloat16);
}

}  // namespace

bool can_rms_norm(const Tensor& x, const Tensor& weight, double, Tensor*) {
    return lies_on_gpu(x) && x.dim() == 2 && lies_on_gpu(weight) && weight.scalar_type() == x.scalar_type() &&
           library() != nullptr;
}
Tensor rms_norm(const Tensor& x, const Tensor& weight, double eps, Tensor* rstd) {
    const c10::DeviceGuard on_device(x.device());
    const auto stream = c10::impl::VirtualGuardImpl(x.device().type()).getStream(x.device());
    auto y = torch::empty_like(x);
    const auto scale = torch::empty({x.size(0)}, x.options().dtype(torch::kFloat32));
    const kernels::CudaRmsNorm work{x.data_ptr(),
                                    weight.data_ptr(),
                                    y.data_ptr(),
                                    scale.data_ptr<float>(),
                                    x.size(0),
                                    x.size(1),
                                    static_cast<float>(eps),
                                    x.scalar_type() == torch::kBFloat16 ? kernels::Number::bf16 : kernels::Number::f32};
    if (const int error = library()->rms_norm(&work, stream.native_handle()))
        throw std::runtime_error(fmt::format("rms_norm on {}: {}", x.device().str(), library()->error_text(error)));
    if (rstd) *rstd = scale;
    return y;
}

}  // namespace tg::layers::ops::cuda
