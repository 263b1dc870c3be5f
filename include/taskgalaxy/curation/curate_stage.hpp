// The stage `curate`: refine, generate and screen as one stream (the wall time is that of the slowest endpoint at its
// own limit, not the sum), so it is one stage with three sections of settings and three groups of figures: refine.*,
// generate.*, screen.*. Reads pool.h5, taxonomy.h5, matches.h5; writes samples.h5:
//   one row a sample (image, type) that refinement kept, ordered by (image, candidate rank): i64 image, i64 type, texts
//   question and answer, u8 votes [S,J] (0, 1, 255 missing), u8 kept, u8 state (0 fine, 1 generation failed, 2 judging
//   failed, 3 left out by the generator); refine/state u8 [N] (0 kept some, 1 None, 2 failed, 3 unusable image, 4 not
//   asked: a pilot), refine/kept u8 [N,k]; figures/: image_states [5], sample_states [4], votes_for [J+1], judge_votes
//   [J,3] (0, 1, missing), agreement f64 [J,J], level1/{name,counts [L,4]: images, None, candidates offered, kept},
//   notes/{name,counts [3,notes]}; attributes judges, keep_votes, none_rate, kept_rate, fleiss_kappa, kept. What it
//   cost goes to costs/curate.json, because it depends on how often the run was broken off.
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
