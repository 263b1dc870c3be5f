// An append-only log of records that must not be lost: framed, checksummed, committed in groups (one fsync for many
// records). Frame: u32 magic, u32 length of key, u32 length of value, u32 checksum, key bytes, value bytes
// (little-endian). A torn last frame (crash while writing) is recognised and dropped; a broken frame in the middle is
// reported, never taken for data.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tg::storage {

// One writer a file. Thread-safe. append() returns at once; the record is durable after at most `group_time`, or when
// commit() returns.
class JournalWriter {
public:
    // Opens for append (an own file: another writer's file is never continued). Throws StorageError.
    explicit JournalWriter(const std::filesystem::path& path,
                           std::chrono::milliseconds group_time = std::chrono::milliseconds(50));
    ~JournalWriter();
    JournalWriter(const JournalWriter&) = delete;
    JournalWriter& operator=(const JournalWriter&) = delete;

    // Throws StorageError if an earlier group could not be written (disk full): what was appended since the last
    // commit() is then not durable. `on_durable` is called from the writer's thread once the record is on disk.
    void append(std::string_view key, std::string_view value, std::function<void()> on_durable = {});
    // Everything appended before is on disk when this returns.
    void commit();

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

struct JournalDamage {
    std::filesystem::path file;
    std::uint64_t offset;
    std::string what;
    bool torn_tail;  // expected after a crash
};

// Reads every whole record of a file in order, those behind a broken frame too. Returns the damage found, if any.
std::vector<JournalDamage> read_journal(
    const std::filesystem::path& path,
    const std::function<void(std::string_view key, std::string_view value, std::uint64_t value_offset)>& each);

// All journal files (*.journal) of a folder, in name order.
std::vector<std::filesystem::path> journal_files(const std::filesystem::path& folder);
// What they are folded into (*.h5), likewise.
std::vector<std::filesystem::path> folded_files(const std::filesystem::path& folder);
// File `number` (0, 1, ...) of those that a journal is folded into: NAME.NNNNNN.h5 beside it.
std::filesystem::path folded_name(const std::filesystem::path& journal, int number);
// A name no earlier writer used, for this rank, and that is not folded: journal files belong to one process and are
// never continued.
std::filesystem::path new_journal_name(const std::filesystem::path& folder, int rank);

}  // namespace tg::storage
