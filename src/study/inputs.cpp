#include "inputs.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "taskgalaxy/core/error.hpp"
#include "taskgalaxy/storage/publish.hpp"

namespace tg::study {

namespace fs = std::filesystem;

namespace {

std::vector<fs::path> pictures_in(const fs::path& folder) {
    std::vector<fs::path> found;
    if (fs::is_directory(folder))
        for (const auto& entry : fs::recursive_directory_iterator(folder))
            if (const auto suffix = entry.path().extension(); suffix == ".png" || suffix == ".jpg" || suffix == ".jpeg")
                found.push_back(entry.path());
    if (found.empty())
        throw InputError(fmt::format("{}: no PNG or JPEG file below it", folder.string()),
                         "give --pictures another folder");
    std::sort(found.begin(), found.end());
    return found;
}

}  // namespace

fs::path make_pool(const fs::path& study, const fs::path& pictures, std::int64_t count) {
    const auto pool = study / "inputs" / fmt::format("pool-{}", count);
    const auto done = fs::path(pool.string() + ".complete");
    if (fs::exists(done)) return pool;
    const auto files = pictures_in(pictures);
    fs::create_directories(pool);
    for (std::int64_t i = 0; i < count; ++i) {
        const auto& from = files[static_cast<std::size_t>(i) % files.size()];
        fs::copy_file(from, pool / fmt::format("{:08}{}", i, from.extension().string()),
                      fs::copy_options::overwrite_existing);
    }
    storage::publish_text(done, "");
    return pool;
}

fs::path make_types(const fs::path& study, std::int64_t count) {
    std::string text;
    for (std::int64_t i = 0; i < count; ++i)
        text += fmt::format("field {}~subject {}~task {} of subject {}\n", i % 16, i % 128, i, i % 128);
    const auto file = study / "inputs" / fmt::format("types-{}.txt", count);
    storage::publish_text(file, text);
    return file;
}

fs::path make_samples(const fs::path& study, const fs::path& pool, int count) {
    auto samples = nlohmann::json::array();
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(pool)) names.push_back(entry.path().filename().string());
    std::sort(names.begin(), names.end());
    for (int i = 0; i < count; ++i)
        samples.push_back({{"id", std::to_string(i)},
                           {"image", names[static_cast<std::size_t>(i) % names.size()]},
                           {"conversations",
                            {{{"from", "human"}, {"value", "<image>\nWhat is shown?"}},
                             {{"from", "gpt"}, {"value", fmt::format("Picture number {} of this study.", i)}}}}});
    const auto file = study / "inputs" / fmt::format("samples-{}-{}.json", pool.filename().string(), count);
    storage::publish_text(file, samples.dump());
    return file;
}

}  // namespace tg::study
