#include "taskgalaxy/nn/kernels/slices.hpp"

#include <atomic>
#include <exception>
#include <mutex>
#include <omp.h>

namespace tg::kernels {

int slice_threads() { return omp_get_level() > 0 ? 1 : omp_get_max_threads(); }

void for_each_slice(std::int64_t count, const std::function<void(std::int64_t)>& work, int threads) {
    if (omp_get_level() > 0) {  // a piece of a piece: by this thread, without a team of its own
        for (std::int64_t i = 0; i < count; ++i) work(i);
        return;
    }
    const int wanted = threads > 0 ? threads : slice_threads();
    std::atomic<bool> failed = false;
    std::exception_ptr failure;
    std::mutex mutex;
    // An OpenMP region, because torch, MKL and oneDNN all recognise one and then keep to a single thread.
#pragma omp parallel for schedule(dynamic, 1) num_threads(wanted)
    for (std::int64_t i = 0; i < count; ++i) {
        if (failed) continue;
        try {
            work(i);
        } catch (...) {  // an exception may not leave the region; rethrown below
            const std::lock_guard lock(mutex);
            if (!failed.exchange(true)) failure = std::current_exception();
        }
    }
    if (failure) std::rethrow_exception(failure);
}

}  // namespace tg::kernels
