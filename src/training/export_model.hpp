// The fine-tuned model as a folder that transformers loads: the layout, names and number formats of the base model's files, trained
// tensors replaced, everything else (vision tower, configuration, tokenizer) copied.
#pragma once

#include <filesystem>

#include "taskgalaxy/nn/vlm_parts.hpp"
#include "trainer.hpp"

namespace tg {

// Unit by unit; rank 0 writes. Collective.
void export_model(const VlmParts& parts, Trainer& trainer, const Communicator& ranks, const std::filesystem::path& folder);

}  // namespace tg
