// The stage `expand`: seeds and a hand-written taxonomy, if given, grown level by level by asking a model; writes
// taxonomy.h5 (taxonomy/taxonomy.hpp) and the same paths as taxonomy.txt, which can be edited and given back as
// expand.taxonomy_file. taxonomy.h5 holds besides: near_duplicates/{dropped,kept,cosine} (what was removed, for what),
// nearest_pairs/{a,b,cosine} (closest types that stayed), and the counts of dropped lines as attributes.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "taskgalaxy/curation/settings.hpp"
#include "taskgalaxy/llm/settings.hpp"
#include "taskgalaxy/run/stage.hpp"
#include "taskgalaxy/taxonomy/duplicates.hpp"

namespace tg::curation {

// What compares names with expand.embedder = clip: made on the asking rank, and only then (it loads a model), of the
// weights in `model`.
struct NameEmbedder {
    std::filesystem::path model;
    std::function<taxonomy::Embedder()> make;
};

// Asking begins early, while other stages run (Stage::start_early).
std::unique_ptr<run::Stage> make_expand_stage(const ExpandSettings& settings, const PromptSettings& prompts,
                                              const std::map<std::string, llm::EndpointSettings>& endpoints,
                                              const llm::ApiSettings& api, NameEmbedder clip = {});

}  // namespace tg::curation
