// Settings of the image pool, section [pool]: where the pictures are, what is accepted of them, how they are read.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "taskgalaxy/core/settings.hpp"
#include "taskgalaxy/pictures/image.hpp"

namespace tg::pool {

// How far ingest reads a picture: every pixel, or the header alone, which tells its size.
enum class Verify { decode, header };

struct PoolSettings {
    // Each [NAME=]folder:PATH, [NAME=]tar:GLOB or [NAME=]manifest:FILE; a bare path is a folder. NAME, where given,
    // goes before the pictures' uris as `NAME/`, so that two sources may hold equal paths.
    std::vector<std::string> sources;
    std::filesystem::path image_root;      // paths in manifests are relative to it
    std::string strip_prefix;              // taken off the front of paths in manifests
    std::string manifest_field = "image";  // JSON key or CSV column that holds the path
    std::vector<std::string> suffixes{"jpg", "jpeg", "png", "webp",
                                      "gif", "bmp"};  // of folders and shards; other files are counted as ignored
    Verify verify = Verify::decode;
    bool exif_rotate = false;  // Pillow's convert("RGB") and CLIP's processors do not
    bool decode_fast = false;  // JPEG at 1/2, 1/4, 1/8 size where that is enough
    bool drop_duplicates = false;
    bool watch_sources = true;
    std::int64_t max_pixels = pictures::default_max_pixels;
    std::int64_t max_bytes = std::int64_t{1} << 29;
    int threads = 0;  // 0: the cores this rank may use
    int items_per_part = 1024;

    void describe(SettingsVisitor& v);
    std::size_t worker_threads() const;
    pictures::DecodeOptions decode_options() const { return {max_pixels, exif_rotate}; }
};

}  // namespace tg::pool
