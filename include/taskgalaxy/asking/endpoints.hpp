// The endpoints a stage asks, out of all that the job file and the endpoints file name.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "taskgalaxy/core/digest.hpp"
#include "taskgalaxy/llm/settings.hpp"

namespace tg::asking {

using Endpoints = std::map<std::string, llm::EndpointSettings>;

// `setting` names who asked for them ("screen.judges"). Throws UsageError when one is not defined, listing those that
// are.
void require_endpoint(const Endpoints& endpoints, const std::string& name, const std::string& setting);

// Only those named, with api.endpoints_file laid over them. Throws UsageError when one is not defined.
Endpoints chosen_endpoints(Endpoints endpoints, const llm::ApiSettings& api, const std::vector<std::string>& names);

// Before any work, on rank 0: each is defined and answers a cheap call. Where rank 0 is not among the ranks that ask it
// may have no way out, so only the settings are checked.
void check_reachable(const Endpoints& endpoints, const llm::ApiSettings& api, const std::vector<std::string>& names);

// What decides an endpoint's answers: model and sampling, not urls, limits or prices.
void add_endpoint(DigestBuilder& inputs, const Endpoints& endpoints, const std::string& name);

}  // namespace tg::asking
