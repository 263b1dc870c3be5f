// The fine-tuned model as a folder that transformers loads: the layout, names and number formats of the base model's
// files, trained tensors replaced, everything else (vision tower, configuration, tokenizer) copied.
#pragma once

#include <filesystem>

#include "taskgalaxy/nn/models/vlm_parts.hpp"
#include "trainer.hpp"

namespace tg::training {

// Unit by unit; rank 0 writes; adapters are added into what they stand beside. Collective.
void export_model(const models::VlmParts& parts, Trainer& trainer, const parallel::Communicator& ranks,
                  const std::filesystem::path& folder);

// The adapters alone, and the projector where it learnt, as peft's PeftModel.from_pretrained(base, folder) takes them:
// modules are named as the base model's class names them (of llava-hf and transformers' InternVL: from
// transformers 4.52 on). Collective.
void export_adapters(const models::VlmParts& parts, Trainer& trainer, const layers::LoraOptions& options,
                     const parallel::Communicator& ranks, const std::filesystem::path& folder);

}  // namespace tg::training
