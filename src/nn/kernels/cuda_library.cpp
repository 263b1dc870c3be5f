#include "taskgalaxy/nn/kernels/cuda_library.hpp"

#include <dlfcn.h>
#include <fmt/format.h>

namespace tg::kernels {

CudaKernelsOpened open_cuda_kernels(std::int32_t version) {
    // Looked for where the program's other libraries are (its run path).
    void* const library = ::dlopen("libtaskgalaxy_kernels_cuda.so", RTLD_NOW | RTLD_LOCAL);
    if (!library) return {nullptr, ::dlerror()};
    const auto entry = reinterpret_cast<CudaKernelsEntry*>(::dlsym(library, cuda_kernels_entry));
    if (!entry) return {nullptr, ::dlerror()};
    const auto* kernels = entry(version);
    if (!kernels) return {nullptr, fmt::format("libtaskgalaxy_kernels_cuda.so is not of version {}", version)};
    return {kernels, {}};
}

}  // namespace tg::kernels
