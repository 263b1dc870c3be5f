// The page as one self-contained text: style, sections, navigation. No script, nothing fetched from elsewhere.
#pragma once

#include <string>

#include "sections.hpp"

namespace tg::report {

std::string html_page(const Page& page);

}  // namespace tg::report
