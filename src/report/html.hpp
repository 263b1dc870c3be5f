// Words and numbers as HTML: escaping, number formats, the frame of a figure. Everything that enters the page passes
// through here.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace tg::report {

// Text for element content and for quoted attributes; bytes that are no UTF-8 or no legal XML character become U+FFFD.
std::string escaped(std::string_view text);
std::string whole(std::uint64_t number);              // "413,648"
std::string percent(double share, int decimals = 1);  // of 0..1: "12.5 %"
std::string decimal(double number, int decimals);
std::string dollars(double usd);

// A chart or table with its heading, and a caption that ends with the files the numbers come from.
std::string figure(std::string_view heading, std::string_view body, std::string_view caption, std::string_view source);
// Where a stage has not been run.
std::string not_run(std::string_view what, std::string_view file);

// A plain table; cells are HTML already. A column whose heading ends in '#' holds numbers (and the '#' is not shown).
std::string table(const std::vector<std::string>& headings, const std::vector<std::vector<std::string>>& rows);

}  // namespace tg::report
