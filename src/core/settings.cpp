#include "taskgalaxy/core/settings.hpp"

#include <algorithm>
#include <charconv>
#include <fmt/format.h>

#include "taskgalaxy/core/error.hpp"
#include "taskgalaxy/core/text.hpp"

namespace tg {
namespace {

template <class... F> struct Overloaded : F... { using F::operator()...; };
template <class... F> Overloaded(F...) -> Overloaded<F...>;

std::optional<double> number_of(const SettingValue& value) {
    return std::visit(Overloaded{[](const int* v) { return std::optional<double>(*v); },
                                 [](const std::int64_t* v) { return std::optional<double>(static_cast<double>(*v)); },
                                 [](const double* v) { return std::optional<double>(*v); },
                                 [](const std::shared_ptr<WordSetting>&) { return std::optional<double>(); },
                                 [](const auto*) { return std::optional<double>(); }},
                      value);
}

// A whole number may be written 20_000.
template <class Number> bool parse_number(std::string_view text, Number& out) {
    std::string plain(text);
    std::erase(plain, '_');
    Number parsed{};
    const auto [end, error] = std::from_chars(plain.data(), plain.data() + plain.size(), parsed);
    if (error != std::errc{} || end != plain.data() + plain.size() || plain.empty()) return false;
    out = parsed;
    return true;
}

std::vector<std::string> items_of(std::string_view text) {
    std::vector<std::string> items;
    for (const auto& part : split(text, ','))
        if (const auto item = trimmed(part); !item.empty()) items.emplace_back(item);
    return items;
}

}  // namespace

void detail::throw_unknown_word(std::string_view what, std::string_view word, const std::vector<std::string>& words) {
    auto known = words.back();
    if (words.size() > 1) known = join({words.begin(), words.end() - 1}, ", ") + " or " + known;
    throw UsageError(fmt::format("{} '{}' is not known", what, word), "choose " + known);
}

SettingRule SettingsVisitor::allowed_of(const SettingValue& value, SettingRule rule) {
    if (const auto* words = std::get_if<std::shared_ptr<WordSetting>>(&value); words && rule.allowed.empty())
        rule.allowed = "one of " + join((*words)->words(), ", ");
    return rule;
}

SettingRule at_least(double minimum) {
    return {fmt::format("{} or more", minimum),
            [=](const SettingValue& v) { return number_of(v).value_or(minimum) >= minimum; }};
}

SettingRule between(double minimum, double maximum) {
    return {fmt::format("{} to {}", minimum, maximum), [=](const SettingValue& v) {
                const double x = number_of(v).value_or(minimum);
                return x >= minimum && x <= maximum;
            }};
}

SettingRule one_of(std::vector<std::string> choices) {
    auto allowed = "one of " + join(choices, ", ");
    return {std::move(allowed), [choices = std::move(choices)](const SettingValue& v) {
                const auto known = [&](const std::string& s) {
                    return std::find(choices.begin(), choices.end(), s) != choices.end();
                };
                if (const auto* text = std::get_if<std::string*>(&v)) return known(**text);
                if (const auto* list = std::get_if<std::vector<std::string>*>(&v))
                    return std::all_of((*list)->begin(), (*list)->end(), known);
                return true;
            }};
}

std::string setting_text(const SettingValue& value) {
    return std::visit(
        Overloaded{[](const bool* v) { return std::string(*v ? "true" : "false"); },
                   [](const std::string* v) { return *v; }, [](const std::filesystem::path* v) { return v->string(); },
                   [](const std::vector<std::string>* v) { return join(*v, ", "); },
                   [](const std::shared_ptr<WordSetting>& v) { return v->text(); },
                   [](const auto* v) { return fmt::format("{}", *v); }},
        value);
}

std::optional<std::string> set_from_text(const SettingValue& value, std::string_view raw) {
    const auto text = trimmed(raw);
    return std::visit(
        Overloaded{
            [&](bool* v) -> std::optional<std::string> {
                const auto word = lower_ascii(text);
                if (word == "true" || word == "yes" || word == "on" || word == "1") *v = true;
                else if (word == "false" || word == "no" || word == "off" || word == "0") *v = false;
                else return "true or false is expected";
                return {};
            },
            [&](int* v) -> std::optional<std::string> {
                return parse_number(text, *v) ? std::nullopt : std::optional<std::string>("a whole number is expected");
            },
            [&](std::int64_t* v) -> std::optional<std::string> {
                return parse_number(text, *v) ? std::nullopt : std::optional<std::string>("a whole number is expected");
            },
            [&](double* v) -> std::optional<std::string> {
                return parse_number(text, *v) ? std::nullopt : std::optional<std::string>("a number is expected");
            },
            [&](std::string* v) -> std::optional<std::string> {
                *v = text;
                return {};
            },
            [&](std::filesystem::path* v) -> std::optional<std::string> {
                *v = text;
                return {};
            },
            [&](std::vector<std::string>* v) -> std::optional<std::string> {
                *v = items_of(text);
                return {};
            },
            [&](const std::shared_ptr<WordSetting>& v) -> std::optional<std::string> {
                if (v->set(v->is_list() ? items_of(text) : std::vector{std::string(text)})) return {};
                return "must be one of " + join(v->words(), ", ");
            }},
        value);
}

std::string_view setting_kind(const SettingValue& value) {
    return std::visit(
        Overloaded{[](const bool*) { return "true|false"; }, [](const int*) { return "integer"; },
                   [](const std::int64_t*) { return "integer"; }, [](const double*) { return "number"; },
                   [](const std::string*) { return "text"; }, [](const std::filesystem::path*) { return "path"; },
                   [](const std::vector<std::string>*) { return "list"; },
                   [](const std::shared_ptr<WordSetting>& v) { return v->is_list() ? "list" : "text"; }},
        value);
}

}  // namespace tg
