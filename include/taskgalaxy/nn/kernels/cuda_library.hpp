// The binary interface of libtaskgalaxy_kernels_cuda.so, which holds the kernels in *.cu. It is built where there is
// nvcc, installed in lib/ beside the program's bin/, and opened at run time by who has a GPU: the program neither links
// it nor needs CUDA. It carries its own CUDA runtime, which shares the process's context with torch's.
//
// All pointers are to memory of the current device. Work is put on the stream and not waited for; the memory must live
// until then. Results: 0, or an error for error_text(). Any thread.
#pragma once

#include <cstdint>
#include <string>

#include "taskgalaxy/nn/kernels/number.hpp"

namespace tg::kernels {

// Raised with every change below; a library of another version is not used.
inline constexpr std::int32_t cuda_kernels_version = 1;

// y = round(x / rms(x)) * weight, row by row; y may be x. Both formats with sums in fp32; no alignment past that of a
// number.
struct CudaRmsNorm {
    const void* x;       // [rows, columns], row behind row
    const void* weight;  // [columns]
    void* y;             // [rows, columns]
    float* rstd;         // [rows]
    std::int64_t rows, columns;
    float eps;
    Number number;  // of x, weight and y
};

struct CudaKernels {
    std::int32_t version;
    int (*devices)(int* count);  // fails where there is no driver
    int (*rms_norm)(const CudaRmsNorm* work, void* stream);
    const char* (*error_text)(int error);
};

// The library's one exported name; null for a version that is not its own.
inline constexpr const char* cuda_kernels_entry = "taskgalaxy_cuda_kernels";
using CudaKernelsEntry = const CudaKernels*(std::int32_t version);

struct CudaKernelsOpened {
    const CudaKernels* kernels;  // lives as long as the process; null: could not be had
    std::string why_not;
};
CudaKernelsOpened open_cuda_kernels(std::int32_t version = cuda_kernels_version);

}  // namespace tg::kernels
