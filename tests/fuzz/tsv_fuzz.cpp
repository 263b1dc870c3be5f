// Fuzz target for benchmark files: any bytes are read whole or refused with InputError, and cells never outgrow their
// bytes.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "replay.hpp"
#include "taskgalaxy/core/error.hpp"
#include "taskgalaxy/evaluation/list_literal.hpp"
#include "taskgalaxy/evaluation/tsv_file.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view bytes(reinterpret_cast<const char*>(data), size);
    try {
        const auto table = tg::evaluation::TsvFile::parse(bytes, "fuzz.tsv");
        std::size_t total = 0;
        for (std::size_t row = 0; row < table.rows(); ++row)
            for (std::size_t column = 0; column < table.columns().size(); ++column) {
                const auto raw = table.raw(row, column);
                if (raw.size() > table.cell_bytes(row, column)) std::abort();
                if (const auto cell = table.cell(row, column); cell && *cell != raw) std::abort();
                if (const auto items = tg::evaluation::parse_list_literal(raw))
                    for (const auto& item : *items) total += item.size();
                total += raw.size();
            }
        if (total > 2 * size) std::abort();  // texts cannot outgrow the file (a list's items at most once more)
    } catch (const tg::InputError&) {        // refused with a reason: fine
    }
    return 0;
}
