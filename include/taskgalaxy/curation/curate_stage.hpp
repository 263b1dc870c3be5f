// The stage `curate`: refine, generate and screen as one stream (the wall time is that of the slowest endpoint at its
// own limit, not the sum), so it is one stage with three sections of settings and three groups of figures: refine.*,
// generate.*, screen.*. Reads pool.h5, taxonomy.h5, matches.h5; writes samples.h5 (run/sample_table.hpp). What it cost
// goes to costs/curate.json, because it depends on how often the run was broken off.
// The same bytes for any number of ranks and after any restart: answers already paid for come from the journal.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "taskgalaxy/curation/settings.hpp"
#include "taskgalaxy/llm/settings.hpp"
#include "taskgalaxy/pool/settings.hpp"
#include "taskgalaxy/run/stage.hpp"

namespace tg::curation {

std::unique_ptr<run::Stage> make_curate_stage(const CurateSettings& settings, const PromptSettings& prompts,
                                              const pool::PoolSettings& pool,
                                              const std::map<std::string, llm::EndpointSettings>& endpoints,
                                              const llm::ApiSettings& api);

}  // namespace tg::curation
