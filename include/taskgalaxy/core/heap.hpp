// What the allocator does with the memory that large tensors leave.
#pragma once

namespace tg {

// From here on it stays with the process for the next tensors, but for blocks above 32 MiB: by default the heap's free
// end goes back to the system time and again, to be mapped and zeroed anew. Keeping the large blocks too would bring
// another tenth of a training step on a CPU, and lets peak memory grow by a sixth over the plan. For those who compute
// with models; call it as often as you like. glibc only.
void keep_freed_memory();
// Gives back what is free now: at the end of a stage.
void return_freed_memory();

}  // namespace tg
