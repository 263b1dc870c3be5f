#include "taskgalaxy/core/heap.hpp"

#include <cstdlib>  // says whether this is glibc
#if defined(__GLIBC__)
#include <malloc.h>
#endif

namespace tg {

#if defined(__GLIBC__)
void keep_freed_memory() {
    static const bool once = [] {
        constexpr int mapped_from = 32 << 20, given_back_from = 2047 << 20;
        return ::mallopt(M_MMAP_THRESHOLD, mapped_from) != 0 && ::mallopt(M_TRIM_THRESHOLD, given_back_from) != 0;
    }();
    static_cast<void>(once);
}
void return_freed_memory() { ::malloc_trim(0); }
#else
void keep_freed_memory() {}
void return_freed_memory() {}
#endif

}  // namespace tg
