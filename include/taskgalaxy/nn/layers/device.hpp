// Where a rank computes and in which number format: the words of job files turned into torch's terms, once, for every
// room that holds tensors.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <c10/core/StreamGuard.h>

#include "taskgalaxy/nn/layers/device_words.hpp"
#include "taskgalaxy/nn/layers/torch.hpp"

namespace tg::layers {

// automatic: CUDA where there is a device, else CPU. CUDA ranks of one node share its devices by their number on the
// node. Throws UsageError when CUDA is asked for and cannot be had, naming the reason.
torch::Device choose_device(DeviceChoice choice);
// automatic: bf16 where the device computes it in hardware, else fp32.
torch::Dtype choose_dtype(DtypeChoice choice, const torch::Device& device);
// Does this process see a CUDA device? Ask here, not torch::cuda: libtorch's CUDA half is loaded at the first question,
// where there is a driver, and torch keeps what it answered before.
bool has_cuda();
std::string_view dtype_name(torch::Dtype dtype);  // "fp32", "bf16"

// Does this device multiply bf16 matrices faster than fp32 ones (CUDA from Ampere on, CPUs with AMX or AVX-512 BF16)?
bool has_fast_bf16(const torch::Device& device);
// "NVIDIA H100 80GB HBM3"; empty for a CPU, or without CUDA.
std::string card_name(const torch::Device& device);
// While it lives, what this thread asks of a GPU goes to the thread's own stream: its copies run beside other threads'
// kernels, and it waits for its own work alone. On a CPU nothing changes. One device a process.
class OwnStream {
public:
    explicit OwnStream(const torch::Device& device);

private:
    c10::OptionalStreamGuard guard_;
};
// Memory that a GPU copies from while it computes; plain memory for a CPU. [bytes] of uint8.
torch::Tensor staging_memory(std::size_t bytes, const torch::Device& device);

// This process's number among those of its node, as the launcher says (Slurm, Open MPI, MPICH, PMIx); 0 without a
// launcher.
int rank_on_node();

}  // namespace tg::layers
