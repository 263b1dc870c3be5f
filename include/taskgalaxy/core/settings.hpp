// How a room declares its settings, once: a plain struct with defaults and a describe(visitor) that names each field,
// its meaning and its legal values. Help, job files, validation, printing and fingerprints all read that one
// declaration.
//
//   struct MatchSettings {
//       int k = 10;
//       void describe(SettingsVisitor& v) { v.option("k", &k, "task types kept for each image", at_least(1)); }
//   };
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace tg {

// The kinds of settings there are. A list is written `a, b, c` in a job file.
using SettingValue =
    std::variant<bool*, int*, std::int64_t*, double*, std::string*, std::filesystem::path*, std::vector<std::string>*>;

// Legal values: `allowed` is the sentence for help and errors ("1 or more"), `holds` decides on the value as written in
// text.
struct SettingRule {
    std::string allowed;
    std::function<bool(const SettingValue&)> holds;
};
SettingRule at_least(double minimum);
SettingRule between(double minimum, double maximum);
SettingRule one_of(std::vector<std::string> choices);  // of a string, or of each item of a list

class SettingsVisitor {
public:
    virtual ~SettingsVisitor() = default;
    // A setting that decides the results: changing it makes the stage stale.
    void option(std::string_view name, SettingValue value, std::string_view help, SettingRule rule = {}) {
        visit({name, value, help, rule, true});
    }
    // A setting that decides only how fast or how loud (threads, timeouts): never makes anything stale.
    void tuning(std::string_view name, SettingValue value, std::string_view help, SettingRule rule = {}) {
        visit({name, value, help, rule, false});
    }

    struct Entry {
        std::string_view name;
        SettingValue value;
        std::string_view help;
        SettingRule rule;
        bool decides_results;
    };

protected:
    virtual void visit(const Entry& entry) = 0;
};

// The value as a job file would hold it.
std::string setting_text(const SettingValue& value);
// Parses `text` into the value. Empty on success, else what was expected ("a whole number").
std::optional<std::string> set_from_text(const SettingValue& value, std::string_view text);
// "true|false", "integer", "number", "text", "path", "list": for help.
std::string_view setting_kind(const SettingValue& value);

// One line a setting that decides results, "name=value\n", in declaration order: what a fingerprint is made of.
template <class Settings> std::string result_settings(Settings& settings) {
    struct Lines : SettingsVisitor {
        std::string text;
        void visit(const Entry& e) override {
            if (e.decides_results) text += std::string(e.name) + "=" + setting_text(e.value) + "\n";
        }
    } lines;
    settings.describe(lines);
    return lines.text;
}

}  // namespace tg
