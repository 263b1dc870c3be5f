// WebDataset shards: uncompressed tar files whose members are found once and then read where they lie, without passing
// over the shard again. libarchive reads the headers (ustar, GNU, pax names and sizes); where a member's data begin is
// walked from its header.
#include <algorithm>
#include <array>
#include <fmt/format.h>
#include <glob.h>
#include <memory>

#include <archive.h>
#include <archive_entry.h>

#include "listing.hpp"
#include "taskgalaxy/core/threads.hpp"
#include "taskgalaxy/pool/file_reader.hpp"
#include "taskgalaxy/run/stage.hpp"

namespace tg::ingest {
namespace {

constexpr std::uint64_t block = 512;

// `{00000..00099}` becomes its numbers, as WebDataset writes shard lists; glob() itself knows {a,b}.
std::vector<std::string> ranges_expanded(const std::string& pattern) {
    const auto dots = pattern.find("..");
    const auto open = dots == pattern.npos ? dots : pattern.rfind('{', dots),
               close = dots == pattern.npos ? dots : pattern.find('}', dots);
    if (open == pattern.npos || close == pattern.npos) return {pattern};
    const auto first = pattern.substr(open + 1, dots - open - 1), last = pattern.substr(dots + 2, close - dots - 2);
    const auto is_number = [](const std::string& s) {
        return !s.empty() && s.size() <= 9 &&
               std::all_of(s.begin(), s.end(), [](char c) { return c >= '0' && c <= '9'; });
    };
    if (!is_number(first) || !is_number(last)) return {pattern};
    std::vector<std::string> out;
    for (auto n = std::stoul(first); n <= std::stoul(last); ++n)
        for (auto& expanded : ranges_expanded(pattern.substr(0, open) + fmt::format("{:0{}}", n, first.size()) +
                                              pattern.substr(close + 1)))
            out.push_back(std::move(expanded));
    return out;
}

std::vector<std::filesystem::path> shards_of(const SourceSpec& source) {
    std::vector<std::filesystem::path> shards;
    for (const auto& pattern : ranges_expanded(source.where)) {
        glob_t found{};
        const int result = ::glob(pattern.c_str(), GLOB_BRACE, nullptr, &found);
        const std::unique_ptr<glob_t, void (*)(glob_t*)> owned(&found, ::globfree);
        if (result == GLOB_NOMATCH) throw InputError(fmt::format("{}: no such shard", pattern), "check [pool] sources");
        if (result != 0) throw InputError(fmt::format("{}: the folder cannot be searched", pattern));
        for (std::size_t i = 0; i < found.gl_pathc; ++i)
            shards.push_back(std::filesystem::absolute(found.gl_pathv[i]).lexically_normal());
    }
    std::sort(shards.begin(), shards.end());
    shards.erase(std::unique(shards.begin(), shards.end()), shards.end());
    return shards;
}

// The folder that all shards of a pattern lie in: shards are named relative to it.
std::filesystem::path base_of(const SourceSpec& source) {
    const auto wild = source.where.find_first_of("*?[{");
    const auto plain = std::filesystem::absolute(source.where.substr(0, wild));
    return plain.lexically_normal().parent_path();
}

// Where the data begin of the member whose first header block is at `header`: behind its pax and GNU long-name records.
std::uint64_t data_begin(const pool::OpenFile& shard, std::uint64_t header) {
    for (;;) {
        std::array<std::byte, block> bytes;
        if (!shard.read(header, bytes))
            throw InputError(fmt::format("{}: cut off in a header at byte {}", shard.path().string(), header));
        const auto type = std::to_integer<char>(bytes[156]);
        header += block;
        if (type != 'x' && type != 'X' && type != 'g' && type != 'L' && type != 'K') return header;
        std::uint64_t size = 0;
        for (std::size_t i = 124; i < 136; ++i)
            if (const auto digit = std::to_integer<unsigned>(bytes[i]) - '0'; digit < 8) size = size * 8 + digit;
        header += (size + block - 1) / block * block;
    }
}

struct Member {
    std::string name;
    std::uint64_t offset, bytes;
};
struct ShardContent {
    std::vector<Member> members;
    std::uint64_t ignored = 0;
};

ShardContent list_shard(const std::filesystem::path& path, const pool::PoolSettings& settings) {
    const pool::OpenFile shard(path);
    const std::unique_ptr<archive, int (*)(archive*)> reader(archive_read_new(), archive_read_free);
    archive_read_support_format_tar(reader.get());
    archive_read_support_format_gnutar(reader.get());
    const auto fail = [&](const std::string& what) {
        return InputError(fmt::format("{}: {}", path.string(), what),
                          "shards are uncompressed tar files; a cut-off one has to be copied again");
    };
    if (archive_read_open_filename(reader.get(), path.c_str(), 1 << 16) != ARCHIVE_OK)
        throw fail(archive_error_string(reader.get()));
    ShardContent content;
    archive_entry* entry = nullptr;
    for (;;) {
        const int result = archive_read_next_header(reader.get(), &entry);
        if (result == ARCHIVE_EOF) break;
        if (result != ARCHIVE_OK && result != ARCHIVE_WARN) throw fail(archive_error_string(reader.get()));
        if (archive_entry_filetype(entry) != AE_IFREG) continue;
        // pax names are UTF-8 by their standard, whatever this process's locale; other formats' are bytes.
        const char* name = archive_entry_pathname_utf8(entry);
        if (!name) name = archive_entry_pathname(entry);
        if (!name || archive_entry_sparse_count(entry) > 0 || !has_picture_suffix(name, settings)) {
            ++content.ignored;
            continue;
        }
        std::string_view path_in_shard = name;
        while (path_in_shard.starts_with("./")) path_in_shard.remove_prefix(2);
        const auto offset = data_begin(shard, static_cast<std::uint64_t>(archive_read_header_position(reader.get())));
        const auto bytes = static_cast<std::uint64_t>(archive_entry_size(entry));
        if (offset + bytes > shard.size()) throw fail(fmt::format("cut off inside '{}'", path_in_shard));
        content.members.push_back({std::string(path_in_shard), offset, bytes});
    }
    return content;
}

}  // namespace

void list_shards(const SourceSpec& source, const pool::PoolSettings& settings, Listing& listing) {
    const auto base = base_of(source);
    // Headers lie far apart: listing waits on the disk, so several shards at once.
    ThreadPool threads(settings.worker_threads());
    std::vector<std::pair<std::filesystem::path, std::future<ShardContent>>> contents;
    for (auto& shard : shards_of(source))
        contents.emplace_back(shard, threads.submit([shard, &settings] { return list_shard(shard, settings); }));
    for (auto& [shard, future] : contents) {
        auto content = future.get();
        const auto prefix = source.prefix() + shard.lexically_relative(base).string() + "/";
        const auto container = listing.add_container({pool::Container::Kind::shard, shard, prefix});
        for (auto& member : content.members) listing.add(prefix + member.name, container, member.offset, member.bytes);
        listing.counts().ignored += content.ignored;
    }
}

void identify_shards(const SourceSpec& source, const pool::PoolSettings&, DigestBuilder& inputs) {
    for (const auto& shard : shards_of(source)) {
        inputs.add(shard.string());
        run::add_file_identity(inputs, shard);
    }
}

}  // namespace tg::ingest
