// The stage `export`: kept samples as the files that trainers read: export/train.json (LLaVA),
// export/train.internvl.jsonl with its data list, and README.md, the dataset card. Samples of held-out pictures go to
// export/held_out.json and into no other file. Layout of the LLaVA file as the TaskGalaxy release has it: id, image,
// task_type, conversations. Rank 0 writes, the others wait.
#pragma once

#include <memory>

#include "taskgalaxy/dataset/settings.hpp"
#include "taskgalaxy/pool/settings.hpp"
#include "taskgalaxy/run/stage.hpp"

namespace tg::dataset {

std::unique_ptr<run::Stage> make_export_stage(const ExportSettings& settings, const pool::PoolSettings& pool);

}  // namespace tg::dataset
