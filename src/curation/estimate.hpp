// What curation would ask and cost, before anything is spent; from assumptions, or from a pilot's own figures where
// there is one.
#pragma once

#include <optional>
#include <vector>

#include "taskgalaxy/asking/endpoints.hpp"
#include "taskgalaxy/asking/expenses.hpp"
#include "taskgalaxy/curation/prompts.hpp"
#include "taskgalaxy/curation/settings.hpp"
#include "taskgalaxy/run/stage.hpp"

namespace tg::curation {

struct CurationLoad {
    double images = 0;       // to be refined
    double candidates = 10;  // each
    // Assumptions until a pilot says better; the paper's own full run lies near them.
    double none_rate = 0.25;
    double types_per_image = 2;               // kept by refinement, of the images that keep any
    std::optional<asking::Expenses> pilot{};  // tokens and requests as they were
    double pilot_images = 0;
};

std::vector<run::PlanLine> estimate_curation(const CurationLoad& load, const CurateSettings& settings,
                                             const Prompts& prompts, const asking::Endpoints& endpoints,
                                             const llm::ApiSettings& api);

}  // namespace tg::curation
