// A file under its final name is complete: written as NAME.tmp, flushed, fsynced, renamed, and the folder fsynced. kill
// -9 or a power cut at any instant leaves the old file or the new one.
#pragma once

#include <filesystem>
#include <functional>
#include <ostream>
#include <string_view>

#include "taskgalaxy/storage/hdf5.hpp"

namespace tg::storage {

std::filesystem::path temporary_name(const std::filesystem::path& final_name);
// `temporary_name(final_name)` is complete and closed: makes it durable and gives it its name. One rank calls it.
void publish(const std::filesystem::path& final_name);
// The bytes of a path's folder entry are on disk when this returns.
void sync_folder(const std::filesystem::path& folder);

// Whole small files (JSON, HTML, CSV); folders on the way are made.
void publish_text(const std::filesystem::path& final_name, std::string_view text);
// Files too long for memory: `fill` writes to the stream.
void publish_stream(const std::filesystem::path& final_name, const std::function<void(std::ostream&)>& fill);
// `fill` writes into a new file of this process, which is then closed and published.
void publish_hdf5(const std::filesystem::path& final_name, const std::function<void(Hdf5File&)>& fill);
// Collective: `fill` runs on every rank with the common file (its datasets are made collectively).
void publish_hdf5_together(const std::filesystem::path& final_name, const parallel::Communicator& ranks,
                           const std::function<void(Hdf5File&)>& fill);

}  // namespace tg::storage
