// The table that libtaskgalaxy_kernels_cuda.so gives to who opens it.
#include <cuda_runtime_api.h>

#include "cuda_kernels.hpp"

namespace tg::kernels {
namespace {

int devices(int* count) { return cudaGetDeviceCount(count); }
const char* error_text(int error) { return cudaGetErrorString(static_cast<cudaError_t>(error)); }

constexpr CudaKernels table{cuda_kernels_version, devices, cuda_rms_norm, error_text};

}  // namespace
}  // namespace tg::kernels

extern "C" __attribute__((visibility("default"))) const tg::kernels::CudaKernels* taskgalaxy_cuda_kernels(
    std::int32_t version) {
    return version == tg::kernels::cuda_kernels_version ? &tg::kernels::table : nullptr;
}
