// Growing the taxonomy by asking: rounds over the parents of one level after the other, until the target is met or no
// parent has anything new. The result depends on the answers alone: each round's answers are merged in the order of the
// parents.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "taskgalaxy/asking/asker.hpp"
#include "taskgalaxy/curation/answers.hpp"
#include "taskgalaxy/curation/prompts.hpp"
#include "taskgalaxy/curation/settings.hpp"
#include "taskgalaxy/taxonomy/duplicates.hpp"
#include "taskgalaxy/taxonomy/growth.hpp"
#include "taskgalaxy/taxonomy/taxonomy.hpp"

namespace tg::curation {

struct ExpansionReport : taxonomy::Growth {
    Notes notes;
};

struct Expanded {
    taxonomy::Taxonomy taxonomy;
    ExpansionReport report;
};

// `given`: normalised paths of seeds and files, kept as they are. Throws Stopped, EndpointError, or Error with
// ExitCode::done when the budget is spent. `progress` is told the new types of each round.
Expanded expand_taxonomy(const std::vector<std::string>& given, const ExpandSettings& settings, const Prompts& prompts,
                         const taxonomy::Embedder& embedder, asking::Asker& asker,
                         const std::function<void(std::int64_t)>& progress = {});
// Without asking: the given paths alone, with their near-duplicates reported.
Expanded given_taxonomy(const std::vector<std::string>& given, const ExpandSettings& settings,
                        const taxonomy::Embedder& embedder);

}  // namespace tg::curation
