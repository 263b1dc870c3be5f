#include "taskgalaxy/core/text.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <cstring>
#include <ctime>
#include <fmt/chrono.h>
#include <fmt/format.h>
#include <fstream>
#include <sstream>

#include "taskgalaxy/core/error.hpp"

namespace tg {

std::string_view trimmed(std::string_view text) {
    constexpr std::string_view blank = " \t\r\n\v\f";
    const auto first = text.find_first_not_of(blank);
    if (first == text.npos) return {};
    return text.substr(first, text.find_last_not_of(blank) - first + 1);
}

std::string lower_ascii(std::string_view text) {
    std::string out(text);
    for (char& c : out)
        if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    return out;
}

std::vector<std::string> split(std::string_view text, char separator) {
    std::vector<std::string> parts;
    for (;;) {
        const auto end = text.find(separator);
        parts.emplace_back(text.substr(0, end));
        if (end == text.npos) return parts;
        text.remove_prefix(end + 1);
    }
}

std::string join(const std::vector<std::string>& parts, std::string_view separator) {
    return fmt::format("{}", fmt::join(parts, separator));
}

std::string replace_all(std::string text, std::string_view from, std::string_view to) {
    for (auto at = text.find(from); at != text.npos; at = text.find(from, at + to.size()))
        text.replace(at, from.size(), to);
    return text;
}

std::string duration_text(double seconds) {
    if (!std::isfinite(seconds)) return "unknown";
    if (seconds < 60) return fmt::format("{:.1f} s", seconds);
    const auto whole = static_cast<std::int64_t>(std::llround(seconds));
    if (whole < 3600) return fmt::format("{} min {:02d} s", whole / 60, whole % 60);
    return fmt::format("{} h {:02d} min", whole / 3600, whole % 3600 / 60);
}

std::string bytes_text(std::uint64_t bytes) {
    constexpr std::array units{"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
    auto value = static_cast<double>(bytes);
    std::size_t unit = 0;
    for (; value >= 1024 && unit + 1 < units.size(); ++unit) value /= 1024;
    return unit == 0 ? fmt::format("{} B", bytes) : fmt::format("{:.1f} {}", value, units[unit]);
}

std::string utc_now() { return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(std::time(nullptr))); }

std::string excerpt(std::string_view text, std::size_t limit) {
    auto end = std::min(limit, text.size());
    while (end > 0 && end < text.size() && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
    std::string out(text.substr(0, end));
    for (char& c : out)
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) c = ' ';
    return end < text.size() ? out + "..." : out;
}

std::string fill_template(std::string_view text,
                          const std::vector<std::pair<std::string_view, std::string_view>>& values,
                          const std::string& where) {
    std::string out;
    for (std::size_t i = 0; i < text.size();) {
        const char c = text[i];
        if ((c == '{' || c == '}') && i + 1 < text.size() && text[i + 1] == c) {
            out += c;
            i += 2;
        } else if (c == '{') {
            const auto end = text.find('}', i);
            if (end == text.npos) throw UsageError(where + ": a '{' is never closed", "write '{{' for a literal brace");
            const auto name = text.substr(i + 1, end - i - 1);
            const auto value =
                std::find_if(values.begin(), values.end(), [&](const auto& v) { return v.first == name; });
            if (value == values.end())
                throw UsageError(fmt::format("{}: placeholder '{{{}}}' is not known", where, name),
                                 fmt::format("known here: {}", fmt::join(
                                                                   [&] {
                                                                       std::vector<std::string_view> names;
                                                                       for (const auto& v : values)
                                                                           names.push_back(v.first);
                                                                       return names;
                                                                   }(),
                                                                   ", ")));
            out += value->second;
            i = end + 1;
        } else {
            out += c;
            ++i;
        }
    }
    return out;
}

std::string read_text_file(const std::filesystem::path& path) {
    std::ifstream in(path, std::ios::binary);
    if (!in || std::filesystem::is_directory(path))
        throw InputError(fmt::format("{}: cannot be read ({})", path.string(),
                                     std::filesystem::is_directory(path) ? "it is a folder" : std::strerror(errno)));
    std::ostringstream text;
    text << in.rdbuf();
    return std::move(text).str();
}

}  // namespace tg
