// Small text: what several rooms need and the standard library lacks. Byte-wise; ASCII only where letters are
// concerned.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace tg {

std::string_view trimmed(std::string_view text);
std::string lower_ascii(std::string_view text);
std::vector<std::string> split(std::string_view text, char separator);
std::string join(const std::vector<std::string>& parts, std::string_view separator);
std::string replace_all(std::string text, std::string_view from, std::string_view to);

// "3.2 s", "4 min 10 s", "5 h 03 min".
std::string duration_text(double seconds);
// "812 B", "3.4 MiB".
std::string bytes_text(std::uint64_t bytes);
// "2026-01-31T08:15:00Z".
std::string utc_now();

// At most `limit` bytes of `text`, cut at a UTF-8 boundary and marked with "..." when cut; control characters become
// spaces.
std::string excerpt(std::string_view text, std::size_t limit);

// Fills `{name}` placeholders of `text`; `{{` and `}}` are literal braces. Throws UsageError that names an unknown or
// unclosed placeholder and `where` (the file it came from).
std::string fill_template(std::string_view text,
                          const std::vector<std::pair<std::string_view, std::string_view>>& values,
                          const std::string& where);

// Whole file as bytes; throws InputError naming it.
std::string read_text_file(const std::filesystem::path& path);

}  // namespace tg
