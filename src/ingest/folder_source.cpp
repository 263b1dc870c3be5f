// A folder tree. Links are followed, to folders too (pools are often put together from links); a loop of them is an
// error.
#include <fmt/format.h>
#include <sys/stat.h>

#include "listing.hpp"

namespace tg::ingest {
namespace {

struct Identity {
    dev_t device;
    ino_t inode;
    bool operator==(const Identity&) const = default;
};

// Calls `file` with the path, relative to the root, of everything that is no folder, in whatever order the file system
// has.
class Walk {
public:
    Walk(const std::filesystem::path& root, const std::function<void(std::string)>& file) : file_(file) {
        enter(root, "");
    }

private:
    void enter(const std::filesystem::path& folder, const std::string& relative) {
        struct stat info {};
        if (::stat(folder.c_str(), &info) != 0) fail(folder, std::error_code(errno, std::generic_category()));
        const Identity here{info.st_dev, info.st_ino};
        for (const auto& above : above_)
            if (above == here)
                throw InputError(fmt::format("{}: a link leads back to a folder that it lies in", folder.string()),
                                 "remove the link");
        above_.push_back(here);
        std::error_code error;
        std::filesystem::directory_iterator entries(folder, error);
        if (error) fail(folder, error);
        for (; entries != std::filesystem::directory_iterator(); entries.increment(error)) {
            auto name = relative + entries->path().filename().string();
            // The entry's kind comes with the listing; only links cost a look at their target. A link to nowhere counts
            // as a file.
            std::error_code broken_link;
            if (entries->is_directory(broken_link)) enter(entries->path(), name + "/");
            else file_(std::move(name));
        }
        if (error) fail(folder, error);
        above_.pop_back();
    }
    [[noreturn]] static void fail(const std::filesystem::path& folder, const std::error_code& error) {
        throw InputError(fmt::format("{}: the folder cannot be listed ({})", folder.string(), error.message()),
                         "a pool is listed whole or not at all: fix the path or the permissions");
    }

    const std::function<void(std::string)>& file_;
    std::vector<Identity> above_;
};

std::filesystem::path root_of(const SourceSpec& source) {
    return std::filesystem::absolute(source.where).lexically_normal();
}

}  // namespace

void list_folder(const SourceSpec& source, const pool::PoolSettings& settings, Listing& listing) {
    const auto root = root_of(source);
    const auto prefix = source.prefix();
    const auto container = listing.add_container({pool::Container::Kind::folder, root, prefix});
    Walk(root, [&](std::string path) {
        if (has_picture_suffix(path, settings)) listing.add(prefix + path, container);
        else ++listing.counts().ignored;
    });
}

void identify_folder(const SourceSpec& source, const pool::PoolSettings& settings, DigestBuilder& inputs) {
    const auto root = root_of(source);
    inputs.add(root.string());
    if (!std::filesystem::is_directory(root))
        throw InputError(fmt::format("{}: no such folder", root.string()), "check [pool] sources");
    if (!settings.watch_sources) return;
    // Order must not matter: a sum of digests. What the files hold is guarded by the digests of pool.h5, when they are
    // read.
    std::uint64_t sum = 0, count = 0;
    Walk(root, [&](const std::string& path) {
        if (!has_picture_suffix(path, settings)) return;
        sum += DigestHash{}(digest_of(path));
        ++count;
    });
    inputs.add(sum).add(count);
}

}  // namespace tg::ingest
