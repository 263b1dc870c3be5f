// Independent pieces of work on the cores of this rank, each piece by one thread alone. Torch operators inside a piece
// run sequentially, so that its numbers do not depend on how many threads there are (a matrix product split over
// threads may add up in another order), and no time goes into meeting after every operator.
#pragma once

#include <cstdint>
#include <functional>

namespace tg::kernels {

// Calls work(0) ... work(count - 1), in any order, on up to `threads` threads (0: OMP_NUM_THREADS, or the cores of this
// process's affinity); returns when all are done. The first exception is rethrown after the running pieces have ended.
// Thread-local torch modes (InferenceMode) must be set inside `work`.
void for_each_slice(std::int64_t count, const std::function<void(std::int64_t)>& work, int threads = 0);

// How many threads it takes where `threads` is 0.
int slice_threads();

}  // namespace tg::kernels
