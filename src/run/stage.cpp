#include "taskgalaxy/run/stage.hpp"

#include <algorithm>
#include <fmt/format.h>

#include "taskgalaxy/core/error.hpp"

namespace tg::run {
namespace {

void add_one(DigestBuilder& inputs, const std::filesystem::path& file, const std::filesystem::path& shown) {
    inputs.add(shown.string());
    inputs.add(static_cast<std::uint64_t>(std::filesystem::file_size(file)));
    inputs.add(static_cast<std::uint64_t>(std::filesystem::last_write_time(file).time_since_epoch().count()));
}

}  // namespace

void add_file_identity(DigestBuilder& inputs, const std::filesystem::path& path) {
    std::error_code error;
    const auto status = std::filesystem::status(path, error);
    if (!std::filesystem::exists(status)) throw InputError(fmt::format("{}: no such file or folder", path.string()));
    if (!std::filesystem::is_directory(status)) return add_one(inputs, path, path.filename());
    std::vector<std::filesystem::path> files;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(path))
        if (entry.is_regular_file()) files.push_back(entry.path());
    std::sort(files.begin(), files.end());
    for (const auto& file : files) add_one(inputs, file, std::filesystem::relative(file, path));
}

}  // namespace tg::run
