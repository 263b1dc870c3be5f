// The stage `train`: fine-tunes a vision-language model on the run's exported samples, all ranks together. Writes
// checkpoints/ on the way, then training_log.h5 (one row a step: step, epoch, loss, lr, grad_norm, tokens, supervised,
// seconds, tokens_per_s, data_wait_s, communication_s (all waits for other ranks), gather_wait_s, reduce_wait_s,
// compute_s (neither), sent_mib (by this rank 0), memory_mib, padded_tokens_per_s, tflops, mfu, skipped; validation/
// and roll_backs/: their steps; attributes: counts), export/model/, a folder that transformers loads, and with adapters
// export/adapter/, which peft loads.
#pragma once

#include <memory>

#include "taskgalaxy/pool/settings.hpp"
#include "taskgalaxy/run/stage.hpp"
#include "taskgalaxy/training/settings.hpp"

namespace tg::training {

std::unique_ptr<run::Stage> make_train_stage(const TrainSettings& settings, const pool::PoolSettings& pool);

}  // namespace tg::training
