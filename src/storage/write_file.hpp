// Bytes into a file, every error an exception with the system's words for it.
#pragma once

#include <filesystem>
#include <string_view>

namespace tg::storage {

// Replaces `path`. Not yet durable: publish() syncs. Throws StorageError.
void write_whole_file(const std::filesystem::path& path, std::string_view bytes);

}  // namespace tg::storage
