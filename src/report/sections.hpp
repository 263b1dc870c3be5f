// The sections of the page, in reading order; each says "not run" where its stage has not been.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "findings.hpp"
#include "taskgalaxy/pool/pool.hpp"
#include "taskgalaxy/report/settings.hpp"

namespace tg::report {

struct Page {
    const RunData& run;
    const Findings& found;
    const ReportSettings& settings;
    const pool::Pool* pool;               // null: pictures cannot be shown
    const simulator::GroundTruth* truth;  // null: nothing is known about the pictures
};

struct Section {
    std::string_view id, title;
    std::string (*body)(const Page&);
};
const std::vector<Section>& sections();

std::string key_figures(const Page& page);  // the tiles on top

// sections_data.cpp
std::string flow_section(const Page&);
std::string types_section(const Page&);
std::string matching_section(const Page&);
std::string refining_section(const Page&);
std::string screening_section(const Page&);
std::string bands_section(const Page&);
std::string gallery_section(const Page&);
std::string pictures_section(const Page&);
// sections_model.cpp
std::string training_section(const Page&);
std::string scores_section(const Page&);
std::string costs_section(const Page&);
std::string time_section(const Page&);
std::string provenance_section(const Page&);

}  // namespace tg::report
