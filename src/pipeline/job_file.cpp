#include "taskgalaxy/pipeline/job_file.hpp"

#include <algorithm>
#include <boost/program_options/errors.hpp>
#include <boost/program_options/options_description.hpp>
#include <boost/program_options/parsers.hpp>
#include <cstdlib>
#include <fmt/format.h>
#include <map>
#include <sstream>

#include "taskgalaxy/core/error.hpp"
#include "taskgalaxy/core/text.hpp"

namespace tg::pipeline {
namespace {

namespace po = boost::program_options;

// Levenshtein distance, for "did you mean".
std::size_t distance(std::string_view a, std::string_view b) {
    std::vector<std::size_t> row(b.size() + 1);
    for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
    for (std::size_t i = 1; i <= a.size(); ++i) {
        auto diagonal = row[0]++;
        for (std::size_t j = 1; j <= b.size(); ++j) {
            const auto substituted = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            row[j] = std::min({row[j] + 1, row[j - 1] + 1, substituted});
        }
    }
    return row.back();
}

std::string suggestion(std::string_view given, const std::vector<std::string>& known) {
    const auto nearest = std::min_element(known.begin(), known.end(), [&](const auto& a, const auto& b) {
        return distance(given, a) < distance(given, b);
    });
    if (nearest != known.end() && distance(given, *nearest) <= std::max<std::size_t>(1, given.size() / 3))
        return fmt::format("did you mean '{}'?", *nearest);
    return "known here: " + join(known, ", ");
}

// Line number of each key of an INI text, found by the same rules as Boost's reader: it reports none itself.
std::map<std::string, std::vector<int>> lines_of_keys(const std::string& text) {
    std::map<std::string, std::vector<int>> lines;
    std::istringstream in(text);
    std::string line, section;
    for (int number = 1; std::getline(in, line); ++number) {
        std::string_view content = line;
        content = trimmed(content.substr(0, content.find('#')));
        if (content.starts_with('[') && content.ends_with(']'))
            section = std::string(content.substr(1, content.size() - 2)) + ".";
        else if (const auto equals = content.find('='); equals != content.npos)
            lines[section + std::string(trimmed(content.substr(0, equals)))].push_back(number);
    }
    return lines;
}

std::string expand_environment(const std::string& value, const Assignment& assignment) {
    std::string out;
    for (std::size_t i = 0; i < value.size();) {
        const auto open = value.find("${", i);
        out += value.substr(i, open == value.npos ? open : open - i);
        if (open == value.npos) break;
        const auto close = value.find('}', open);
        const auto name = value.substr(open + 2, close == value.npos ? close : close - open - 2);
        const char* set = close == value.npos ? nullptr : std::getenv(name.c_str());
        if (!set)
            throw UsageError(
                fmt::format("{}: {}: ${{{}}} is not set in the environment", assignment.where, assignment.key, name),
                "export it or write the value");
        out += set;
        i = close + 1;
    }
    return out;
}

struct Found : SettingsVisitor {
    std::string wanted;
    std::vector<std::string> names;
    std::optional<Entry> entry;
    void visit(const Entry& e) override {
        names.emplace_back(e.name);
        if (e.name == wanted) entry = e;
    }
};

// The section a key belongs to, and what is left of the key; for named sections also the given name.
struct Place {
    const Section* section = nullptr;
    std::string given_name, option;
};

Place place_of(const std::vector<Section>& sections, const Assignment& assignment) {
    const auto last_dot = assignment.key.rfind('.');
    if (last_dot == std::string::npos)
        throw UsageError(fmt::format("{}: '{}' stands in no section", assignment.where, assignment.key),
                         "write it under a [section], or as section.key");
    const auto section_name = assignment.key.substr(0, last_dot);
    for (const auto& section : sections) {
        if (section.is_named() && section_name.starts_with(section.name) && section_name.size() > section.name.size())
            return {&section, section_name.substr(section.name.size()), assignment.key.substr(last_dot + 1)};
        if (section.name == section_name) return {&section, "", assignment.key.substr(last_dot + 1)};
    }
    std::vector<std::string> known;
    for (const auto& section : sections) known.push_back(section.is_named() ? section.name + "NAME" : section.name);
    throw UsageError(fmt::format("{}: section [{}] is not known", assignment.where, section_name),
                     suggestion(section_name, known));
}

}  // namespace

std::vector<Assignment> parse_job_file(const std::string& text, const std::string& path) {
    // Some editors end lines with \r\n; Boost would keep the \r in every value.
    std::istringstream in(replace_all(text, "\r\n", "\n"));
    po::parsed_options parsed(nullptr);
    try {
        parsed = po::parse_config_file(in, po::options_description(), true);
    } catch (const po::error& error) {
        throw UsageError(fmt::format("{}: {}", path, error.what()), "lines are [section], key = value or # comment");
    }
    const auto lines = lines_of_keys(text);
    std::map<std::string, std::size_t> seen;
    std::vector<Assignment> out;
    for (const auto& option : parsed.options) {
        const auto found = lines.find(option.string_key);
        const auto occurrence = seen[option.string_key]++;
        const auto line = found != lines.end() && occurrence < found->second.size()
                              ? fmt::format(":{}", found->second[occurrence])
                              : "";
        out.push_back({option.string_key, option.value.empty() ? "" : option.value.front(), path + line});
        if (occurrence > 0)
            throw UsageError(fmt::format("{}{}: {} is given twice (first in line {})", path, line, option.string_key,
                                         found->second.front()),
                             "keep one");
    }
    return out;
}

Assignment parse_set_option(const std::string& text) {
    const auto equals = text.find('=');
    if (equals == std::string::npos || text.substr(0, equals).find('.') == std::string::npos)
        throw UsageError(fmt::format("--set {}: not of the form section.key=value", text),
                         "for example --set match.k=20");
    return {std::string(trimmed(text.substr(0, equals))), text.substr(equals + 1), "--set " + text};
}

void assign(const std::vector<Section>& sections, const std::vector<Assignment>& assignments) {
    for (const auto& assignment : assignments) {
        const auto place = place_of(sections, assignment);
        Found found;
        found.wanted = place.option;
        place.section->describe(found, place.given_name);
        if (!found.entry)
            throw UsageError(fmt::format("{}: {} is not known", assignment.where, assignment.key),
                             suggestion(place.option, found.names));
        const auto value = expand_environment(assignment.value, assignment);
        if (const auto complaint = set_from_text(found.entry->value, value))
            throw UsageError(
                fmt::format("{}: {} = {}: {}", assignment.where, assignment.key, excerpt(value, 60), *complaint));
        if (const auto& rule = found.entry->rule; rule.holds && !rule.holds(found.entry->value))
            throw UsageError(fmt::format("{}: {} = {}: must be {}", assignment.where, assignment.key,
                                         excerpt(value, 60), rule.allowed));
    }
}

namespace {

struct Lines : SettingsVisitor {
    std::string text;
    void visit(const Entry& e) override { text += fmt::format("{} = {}\n", e.name, setting_text(e.value)); }
};

struct HelpLines : SettingsVisitor {
    std::string text;
    void visit(const Entry& e) override {
        const auto value = setting_text(e.value);
        text += fmt::format("  {:<24} {}{}\n{:27}{}, default {}{}\n", e.name, e.help,
                            e.decides_results ? "" : " (does not change results)", "", setting_kind(e.value),
                            value.empty() ? "empty" : value, e.rule.allowed.empty() ? "" : "; " + e.rule.allowed);
    }
};

}  // namespace

std::string job_text(const std::vector<Section>& sections,
                     const std::function<std::vector<std::string>(const std::string& section)>& names) {
    std::string text;
    for (const auto& section : sections) {
        for (const auto& given : section.is_named() ? names(section.name) : std::vector<std::string>{""}) {
            Lines lines;
            section.describe(lines, given);
            text += fmt::format("[{}{}]\n{}\n", section.name, given, lines.text);
        }
    }
    return text;
}

std::string section_help(const Section& section) {
    HelpLines lines;
    if (section.is_named()) section.describe_default(lines);
    else section.describe(lines, "");
    return fmt::format("[{}{}]  {}\n{}", section.name, section.is_named() ? "NAME" : "", section.help, lines.text);
}

}  // namespace tg::pipeline
