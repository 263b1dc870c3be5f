// How a room declares its settings, once: a plain struct with defaults and a describe(visitor) that names each field,
// its meaning and its legal values. Help, job files, validation, printing and fingerprints all read that one
// declaration.
//
//   struct MatchSettings {
//       int k = 10;
//       void describe(SettingsVisitor& v) { v.option("k", &k, "task types kept for each image", at_least(1)); }
//   };
#pragma once

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

namespace tg {

// A setting whose words have meanings; choice() makes it of an enumeration.
class WordSetting {
public:
    virtual ~WordSetting() = default;
    virtual std::vector<std::string> words() const = 0;
    virtual std::string text() const = 0;                      // as a job file would hold it
    virtual bool set(std::span<const std::string> given) = 0;  // false, and nothing set, where one has no meaning
    virtual bool is_list() const = 0;
};

// The kinds of settings there are. A list is written `a, b, c` in a job file.
using SettingValue = std::variant<bool*, int*, std::int64_t*, double*, std::string*, std::filesystem::path*,
                                  std::vector<std::string>*, std::shared_ptr<WordSetting>>;

// The words of an enumeration, in the order of help; one table serves parsing, printing and word_of().
template <class E> using Words = std::vector<std::pair<std::string_view, E>>;
template <class E> std::string_view word_of(const Words<E>& words, std::type_identity_t<E> value) {
    for (const auto& [word, meaning] : words)
        if (meaning == value) return word;
    throw std::logic_error("a value without a word");
}

// The other way; throws UsageError, "device 'tpu' is not known" with the words there are, where `what` is "device".
template <class E> E meaning_of(const Words<E>& words, std::string_view word, std::string_view what);

// A setting, or a list of settings, that parsing turns into meanings, so that no word is compared after it:
//   v.option("schedule", choice(&schedule, {{"cosine", Schedule::cosine}, {"constant", Schedule::constant}}), "...");
template <class E> SettingValue choice(E* value, std::type_identity_t<Words<E>> words);
template <class E> SettingValue choice(std::vector<E>* values, std::type_identity_t<Words<E>> words);

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
        visit({name, value, help, allowed_of(value, std::move(rule)), true});
    }
    // A setting that decides only how fast or how loud (threads, timeouts): never makes anything stale.
    void tuning(std::string_view name, SettingValue value, std::string_view help, SettingRule rule = {}) {
        visit({name, value, help, allowed_of(value, std::move(rule)), false});
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

private:
    static SettingRule allowed_of(const SettingValue& value, SettingRule rule);  // of words: which there are
};

// The value as a job file would hold it.
std::string setting_text(const SettingValue& value);
// Parses `text` into the value. Empty on success, else the complaint ("a whole number is expected").
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

namespace detail {

[[noreturn]] void throw_unknown_word(std::string_view what, std::string_view word,
                                     const std::vector<std::string>& words);

template <class E> std::vector<std::string> names_of(const Words<E>& words) {
    std::vector<std::string> names;
    for (const auto& [word, meaning] : words) names.emplace_back(word);
    return names;
}

template <class E> class Choice : public WordSetting {
public:
    Choice(E* one, std::vector<E>* many, Words<E> words) : one_(one), many_(many), words_(std::move(words)) {}
    std::vector<std::string> words() const override { return names_of(words_); }
    std::string text() const override {
        if (one_) return std::string(word_of(words_, *one_));
        std::string all;
        for (const auto& value : *many_) all += (all.empty() ? "" : ", ") + std::string(word_of(words_, value));
        return all;
    }
    bool set(std::span<const std::string> given) override {
        std::vector<E> values;
        for (const auto& word : given) {
            const auto found = std::ranges::find(words_, word, &std::pair<std::string_view, E>::first);
            if (found == words_.end()) return false;
            values.push_back(found->second);
        }
        if (many_) *many_ = std::move(values);
        else if (values.size() == 1) *one_ = values.front();
        else return false;
        return true;
    }
    bool is_list() const override { return many_ != nullptr; }

private:
    E* one_;
    std::vector<E>* many_;
    Words<E> words_;
};

}  // namespace detail

template <class E> E meaning_of(const Words<E>& words, std::string_view word, std::string_view what) {
    for (const auto& [known, meaning] : words)
        if (known == word) return meaning;
    detail::throw_unknown_word(what, word, detail::names_of(words));
}

template <class E> SettingValue choice(E* value, std::type_identity_t<Words<E>> words) {
    return std::make_shared<detail::Choice<E>>(value, nullptr, std::move(words));
}
template <class E> SettingValue choice(std::vector<E>* values, std::type_identity_t<Words<E>> words) {
    return std::make_shared<detail::Choice<E>>(nullptr, values, std::move(words));
}

}  // namespace tg
