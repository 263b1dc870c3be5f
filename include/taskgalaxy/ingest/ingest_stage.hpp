// The stage `ingest`: lists the sources once (rank 0), then all ranks read, digest and decode every picture and write
// pool.h5:
//   uri (texts), bytes u64, digest u8 [n,16], width, height i32 (0 unknown), status u8 (PictureStatus), reason (texts),
//   duplicate_of i64 (-1 or a row), container i32 (-1 or a row of `containers`), offset u64 (in the container);
//   containers (texts: shard files, and folders that uris are relative to); attributes: counts by status, ignored,
//   repeated.
#pragma once

#include <memory>

#include "taskgalaxy/pool/settings.hpp"
#include "taskgalaxy/run/stage.hpp"

namespace tg::ingest {

std::unique_ptr<run::Stage> make_ingest_stage(const pool::PoolSettings& settings);

}  // namespace tg::ingest
