// Functions compiled once for each generation of x86 processors; the dynamic linker picks one. GCC only, and not under
// sanitizers, which are not ready when it does: there the plain code.
#pragma once

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(__SANITIZE_ADDRESS__) && \
    !defined(__SANITIZE_THREAD__)
#define TG_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define TG_CLONES
#endif
// What a clone calls must be compiled with it.
#define TG_INLINE [[gnu::always_inline]] inline
