// Job files: INI (Boost.Program_options reads them), one section a stage, plus named sections such as [endpoint.gpt4o].
// Every key is checked against what the rooms declare; the first mistake is one line naming file, line, key and the
// fix.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "taskgalaxy/core/settings.hpp"

namespace tg::pipeline {

// A section and who describes it. A named section's `name` ends in '.': [endpoint.] stands for [endpoint.ANYTHING], and
// `describe` is given what stands for ANYTHING (the settings are made on first sight); elsewhere it is given "".
struct Section {
    std::string name;
    std::string help;
    std::function<void(SettingsVisitor&, const std::string& given_name)> describe;
    // For help of named sections: describes a default one without adding it to the job.
    std::function<void(SettingsVisitor&)> describe_default{};

    bool is_named() const { return name.ends_with('.'); }
};

// One assignment with where it stands, for error lines: "jobs/demo.cfg:12" or "--set match.k=abc".
struct Assignment {
    std::string key;  // "match.k", "endpoint.gpt4o.url"
    std::string value;
    std::string where;
};

// Reads the assignments of a job file; `text` is its content, `path` names it in errors. Throws UsageError.
std::vector<Assignment> parse_job_file(const std::string& text, const std::string& path);
// "match.k=20" from the command line. Throws UsageError.
Assignment parse_set_option(const std::string& text);

// Puts each value where its section's describe() says, expanding ${NAME} from the environment and checking kind and
// rule. Throws UsageError: unknown section or key (with the nearest known one), wrong kind, value outside its rule, key
// given twice.
void assign(const std::vector<Section>& sections, const std::vector<Assignment>& assignments);

// The job as understood, every default filled in, as a job file. `names` lists the given names of each named section.
std::string job_text(const std::vector<Section>& sections,
                     const std::function<std::vector<std::string>(const std::string& section)>& names);

// The settings of one section for people: key, kind, default, meaning, legal values.
std::string section_help(const Section& section);

}  // namespace tg::pipeline
