#include "taskgalaxy/pool/settings.hpp"

#include "taskgalaxy/core/threads.hpp"

namespace tg::pool {

void PoolSettings::describe(SettingsVisitor& v) {
    v.option("sources", &sources,
             "where the pictures are: folder:PATH, tar:GLOB (uncompressed shards) or manifest:FILE (.json, .jsonl, "
             ".csv, .tsv), each optionally NAME=...; a bare path is a folder");
    v.option("image_root", &image_root,
             "folder that paths in manifests are relative to (default: the manifest's own folder)");
    v.option("strip_prefix", &strip_prefix, "taken off the front of paths in manifests before image_root is put there");
    v.option("manifest_field", &manifest_field,
             "JSON key or CSV column that holds the picture's path (a text or a list of texts)");
    v.option("suffixes", &suffixes,
             "file names of folders and shards that count as pictures; the format itself is told by content");
    v.option("verify", choice(&verify, {{"decode", Verify::decode}, {"header", Verify::header}}),
             "how far ingest reads: every pixel, or the header only");
    v.option("exif_rotate", &exif_rotate,
             "turn JPEG pictures upright by their EXIF orientation; CLIP's and LLaVA's own processors do not");
    v.option("decode_fast", &decode_fast,
             "decode JPEGs at 1/2, 1/4 or 1/8 size where the model needs no more; embeddings change slightly");
    v.option("drop_duplicates", &drop_duplicates, "leave out pictures whose bytes equal an earlier picture's");
    v.option("watch_sources", &watch_sources,
             "notice added and removed files by listing the sources at each start; false: a pool once ingested stays "
             "as it is");
    v.option("max_pixels", &max_pixels, "larger pictures are recorded as too large, before memory is taken for them",
             at_least(1));
    v.option("max_bytes", &max_bytes, "larger files are recorded as too large, unread", at_least(1));
    v.tuning("threads", &threads, "threads a rank that read and decode (0: the cores it may use)", at_least(0));
    v.tuning("items_per_part", &items_per_part, "pictures a part: what is done again after a kill", at_least(1));
}

std::size_t PoolSettings::worker_threads() const {
    return threads > 0 ? static_cast<std::size_t>(threads) : usable_cores();
}

}  // namespace tg::pool
