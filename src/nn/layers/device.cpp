#include "taskgalaxy/nn/layers/device.hpp"

#include <ATen/Context.h>
#include <dlfcn.h>
#if TASKGALAXY_WITH_CUDA
#include <cuda_runtime_api.h>
#endif

#include <cstdlib>
#include <fmt/format.h>
#include <optional>

#include "taskgalaxy/core/error.hpp"
#include "taskgalaxy/core/log.hpp"

namespace tg::layers {

const Words<DeviceChoice>& device_words() {
    static const Words<DeviceChoice> words{
        {"auto", DeviceChoice::automatic}, {"cpu", DeviceChoice::cpu}, {"cuda", DeviceChoice::cuda}};
    return words;
}
const Words<DtypeChoice>& dtype_words() {
    static const Words<DtypeChoice> words{
        {"auto", DtypeChoice::automatic}, {"fp32", DtypeChoice::fp32}, {"bf16", DtypeChoice::bf16}};
    return words;
}

int rank_on_node() {
    for (const char* name : {"SLURM_LOCALID", "OMPI_COMM_WORLD_LOCAL_RANK", "MPI_LOCALRANKID", "PMIX_LOCAL_RANK"})
        if (const char* value = std::getenv(name)) return std::atoi(value);
    return 0;
}

namespace {

// Why this process cannot use CUDA; empty where it can. libtorch's CUDA half costs every process 350 MiB and a quarter
// of a second though most ranks never see a GPU, so it is not linked but loaded here, once, where there is a driver.
// Its kernels register themselves as it is loaded.
const std::string& why_no_cuda() {
    static const std::string why = []() -> std::string {
#if TASKGALAXY_WITH_CUDA
        if (!::dlopen("libcuda.so.1", RTLD_NOW | RTLD_GLOBAL)) return ::dlerror();
        if (!::dlopen("libtorch_cuda.so", RTLD_NOW | RTLD_GLOBAL)) {
            const std::string why_not = ::dlerror();
            log::warn(
                "this machine has a GPU driver, but libtorch's CUDA half cannot be loaded: {}; device = auto computes "
                "on the CPU",
                why_not);
            return why_not;
        }
        return torch::cuda::is_available() ? "" : "the driver shows this process no device";
#else
        return "this libtorch was built without CUDA";
#endif
    }();
    return why;
}

}  // namespace

bool has_cuda() { return why_no_cuda().empty(); }

torch::Device choose_device(DeviceChoice choice) {
    if (choice == DeviceChoice::cpu || (choice == DeviceChoice::automatic && !has_cuda())) return torch::kCPU;
    if (!has_cuda())
        throw UsageError(fmt::format("device = cuda, but this process has none: {}", why_no_cuda()),
                         "ask the scheduler for a GPU, or set device = auto");
    return {torch::kCUDA,
            static_cast<c10::DeviceIndex>(rank_on_node() % static_cast<int>(torch::cuda::device_count()))};
}

bool has_fast_bf16(const torch::Device& device) {
    if (device.is_cuda()) return true;
    return __builtin_cpu_supports("avx512bf16") != 0;  // AMX machines have it too
}

std::string card_name([[maybe_unused]] const torch::Device& device) {
#if TASKGALAXY_WITH_CUDA
    if (cudaDeviceProp about{}; device.is_cuda() && cudaGetDeviceProperties(&about, device.index()) == cudaSuccess)
        return about.name;
#endif
    return {};
}

namespace {

std::optional<c10::Stream> stream_of_this_thread(const torch::Device& device) {
    if (device.is_cpu()) return {};
    // The same for all of the thread's batches: torch keeps freed memory for the stream that used it.
    static thread_local const c10::Stream stream =
        c10::impl::VirtualGuardImpl(device.type()).getStreamFromGlobalPool(device);
    return stream;
}

}  // namespace

OwnStream::OwnStream(const torch::Device& device) : guard_(stream_of_this_thread(device)) {}

torch::Tensor staging_memory(std::size_t bytes, const torch::Device& device) {
    return torch::empty({static_cast<std::int64_t>(bytes)},
                        torch::TensorOptions().dtype(torch::kUInt8).pinned_memory(device.is_cuda()));
}

torch::Dtype choose_dtype(DtypeChoice choice, const torch::Device& device) {
    switch (choice) {
        case DtypeChoice::fp32: return torch::kFloat32;
        case DtypeChoice::bf16: return torch::kBFloat16;
        case DtypeChoice::automatic: break;
    }
    return has_fast_bf16(device) ? torch::kBFloat16 : torch::kFloat32;
}

std::string_view dtype_name(torch::Dtype dtype) { return dtype == torch::kBFloat16 ? "bf16" : "fp32"; }

}  // namespace tg::layers
