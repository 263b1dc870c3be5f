// What the allocator does with the memory that large tensors leave.
#pragma once

namespace tg {

// From here on it stays with the process for the next tensors. By default each block above 32 MiB is mapped and zeroed anew, which takes a
// tenth of a training step on a CPU. For those who compute with models; call it as often as you like. glibc only.
void keep_freed_memory();
// Gives back what is free now: at the end of a stage.
void return_freed_memory();

}  // namespace tg
