// What each .cu file offers to the table in cuda_library.cu.
#pragma once

#include "taskgalaxy/nn/kernels/cuda_library.hpp"

namespace tg::kernels {

int cuda_rms_norm(const CudaRmsNorm* work, void* stream);

}  // namespace tg::kernels
