// Python list literals as benchmark cells hold them: ["a", 'it\'s', 3, 2.5]. JSON arrays of texts and numbers are among
// them.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tg::evaluation {

// The items as texts (a number or a bare word as it is written), or nothing where `text` is no such list. Tuples and
// nested lists are not: no benchmark cell that the suite reads holds one.
std::optional<std::vector<std::string>> parse_list_literal(std::string_view text);

}  // namespace tg::evaluation
