// RMS norm forward: a block of threads a row. A row is read twice, the second time from the cache: a row of 8192 floats
// is 32 KiB.
#include <algorithm>

#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include "cuda_kernels.hpp"

namespace tg::kernels {
namespace {

constexpr int warp = 32, most_threads = 256;

__device__ float get(float x) { return x; }
__device__ float get(__nv_bfloat16 x) { return __bfloat162float(x); }
__device__ void put(float& to, float x) { to = x; }
__device__ void put(__nv_bfloat16& to, float x) { to = __float2bfloat16_rn(x); }
template <class E> __device__ float rounded(float x) {
    E e;
    put(e, x);
    return get(e);
}

// The same sum in every thread; blockDim.x is a multiple of the warp.
__device__ float sum_over_block(float x) {
    __shared__ float of_warps[most_threads / warp];
    for (int step = warp / 2; step > 0; step /= 2) x += __shfl_xor_sync(0xFFFFFFFFu, x, step);
    if (threadIdx.x % warp == 0) of_warps[threadIdx.x / warp] = x;
    __syncthreads();
    float sum = 0;
    for (unsigned w = 0; w < blockDim.x / warp; ++w) sum += of_warps[w];
    return sum;
}

// One block a row. x and y may be the same: an element is read before it is written, by the same thread.
template <class E>
__global__ void rms_norm_rows(const E* x, const E* weight, E* y, float* rstd, std::int64_t columns, float eps) {
    x += blockIdx.x * columns, y += blockIdx.x * columns;
    float squares = 0;
    for (std::int64_t i = threadIdx.x; i < columns; i += blockDim.x) squares += get(x[i]) * get(x[i]);
    const float scale = rsqrtf(sum_over_block(squares) / static_cast<float>(columns) + eps);
    for (std::int64_t i = threadIdx.x; i < columns; i += blockDim.x)
        put(y[i], rounded<E>(get(x[i]) * scale) * get(weight[i]));
    if (threadIdx.x == 0) rstd[blockIdx.x] = scale;
}

template <class E> void launch(const CudaRmsNorm& work, cudaStream_t stream) {
    const auto threads = std::clamp<std::int64_t>((work.columns + warp - 1) / warp * warp, warp, most_threads);
    rms_norm_rows<<<static_cast<unsigned>(work.rows), static_cast<unsigned>(threads), 0, stream>>>(
        static_cast<const E*>(work.x), static_cast<const E*>(work.weight), static_cast<E*>(work.y), work.rstd,
        work.columns, work.eps);
}

}  // namespace

int cuda_rms_norm(const CudaRmsNorm* work, void* stream) {
    if (work->rows == 0) return cudaSuccess;
    if (work->number == Number::f32) launch<float>(*work, static_cast<cudaStream_t>(stream));
    else launch<__nv_bfloat16>(*work, static_cast<cudaStream_t>(stream));
    return cudaGetLastError();
}

}  // namespace tg::kernels
