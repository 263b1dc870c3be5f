// Fuzz target for the safetensors reader: any bytes as a weights file. Only InputError may come out; a file that is
// accepted must give every byte of every tensor it lists. clang: libFuzzer; otherwise replay.hpp's main replays and
// mutates the files it is given.
#include <cstdint>
#include <vector>

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "replay.hpp"
#include "taskgalaxy/core/error.hpp"
#include "taskgalaxy/storage/safetensors.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    // A file in memory, read through its /proc name: the reader knows only paths.
    static const int fd = ::memfd_create("fuzz.safetensors", 0);
    if (::ftruncate(fd, 0) != 0 || ::pwrite(fd, data, size, 0) != static_cast<ssize_t>(size)) __builtin_trap();
    const auto path = "/proc/self/fd/" + std::to_string(fd);
    try {
        const tg::storage::SafetensorsFolder weights(path);
        std::uint64_t total = 0;
        for (const auto& [name, info] : weights.tensors()) {
            std::vector<std::byte> bytes(info.bytes());
            weights.read(name, bytes);
            total += info.bytes();
            if (!info.shape.empty() && info.shape[0] > 0) {
                bytes.resize(info.row_bytes());
                weights.read_rows(name, static_cast<std::uint64_t>(info.shape[0]) - 1, 1, bytes);
            }
        }
        if (total > size) __builtin_trap();
    } catch (const tg::InputError&) {  // the one answer besides tensors
    }
    return 0;
}
