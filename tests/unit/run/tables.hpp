// What the tests of the run directory's tables share: a file made as the stages make it, in parts that are gathered,
// and what a broken one says.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <string>

#include "taskgalaxy/core/error.hpp"
#include "taskgalaxy/run/paths.hpp"
#include "taskgalaxy/storage/parts.hpp"
#include "taskgalaxy/storage/publish.hpp"
#include "temporary_folder.hpp"

namespace tg::test {

// Parts of four items, written apart and gathered into `file`.
inline void gather_in_parts(const std::filesystem::path& file, std::uint64_t items,
                            const std::function<void(parallel::Slice, storage::Hdf5File&)>& write_part,
                            const std::function<void(storage::Hdf5File&)>& finish) {
    const auto solo = parallel::make_solo();
    const storage::PartStore store(file.parent_path() / "parts", {items, 4}, "fingerprint", *solo);
    for (const auto part : store.mine())
        store.write(part, [&](storage::Hdf5File& out) { write_part(store.parts().part(part), out); });
    store.gather(file, finish);
}

inline std::string storage_error(const std::function<void()>& read) {
    try {
        read();
    } catch (const StorageError& error) {
        return error.what();
    }
    return "nothing was thrown";
}

MATCHER_P2(NamesFileAndDataset, file, dataset, "") {
    return arg.find(file.string()) != arg.npos && arg.find("/" + std::string(dataset)) != arg.npos &&
           arg.find('\n') == arg.npos;
}

}  // namespace tg::test
