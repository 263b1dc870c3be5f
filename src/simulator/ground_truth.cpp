#include "taskgalaxy/simulator/ground_truth.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <fmt/format.h>
#include <map>
#include <set>
#include <unordered_map>

#include "taskgalaxy/core/digest.hpp"
#include "taskgalaxy/core/error.hpp"
#include "taskgalaxy/core/random.hpp"
#include "taskgalaxy/core/text.hpp"
#include "taskgalaxy/taxonomy/path.hpp"

namespace tg::simulator {
namespace {

namespace fs = std::filesystem;

// "00_symbols" -> "symbols", "body_parts" -> "body parts".
std::string cleaned(std::string_view name) {
    const auto digits = name.find_first_not_of("0123456789");
    if (digits != name.npos && digits > 0 && (name[digits] == '_' || name[digits] == '-'))
        name.remove_prefix(digits + 1);
    std::string out;
    for (const char c : name) {
        const bool blank = c == ' ' || c == '_' || c == '-' || c == '.' || c == '\t';
        if (!blank) out += c;
        else if (!out.empty() && out.back() != ' ') out += ' ';
    }
    return lower_ascii(trimmed(out));
}

// What a caption names ("A great blue heron, flying." -> "great blue heron"), else the file's name without its digits.
std::string noun_of(const std::string& caption, const std::string& stem) {
    auto text = lower_ascii(caption);
    text = text.substr(0, text.find_first_of(".!?:;,("));
    for (const std::string_view mark : {"\u2014", "\u2013", " - "}) text = text.substr(0, text.find(mark));
    for (const std::string_view quote : {"\u201C", "\u201D", "\""}) text = replace_all(std::move(text), quote, "");
    text = std::string(trimmed(replace_all(std::move(text), "\u2019", "'")));
    auto named = text;
    for (const std::string_view article :
         {"a pair of ", "a couple of ", "an ", "a ", "the ", "some ", "our ", "another "})
        if (text.starts_with(article)) {
            named = trimmed(std::string_view(text).substr(article.size()));
            break;
        }
    const auto words = 1 + std::count(named.begin(), named.end(), ' ');
    if (!named.empty() && words <= (named.size() < text.size() ? 5 : 3))
        return named;  // without an article longer ones are sentences
    std::string letters;
    for (const char c : stem)
        if (std::isdigit(static_cast<unsigned char>(c)) == 0) letters += c;
    if (letters.ends_with("_mirror")) letters.resize(letters.size() - 7);
    return cleaned(letters);
}

// "animals" and "animal recognition" speak of the same: the folder's stem, without its plural, begins the name.
bool speaks_of(std::string_view name, std::string_view top) {
    const auto joined = replace_all(std::string(name), " ", "");
    auto stem = replace_all(std::string(top), " ", "");
    if (stem.ends_with("ies")) stem.resize(stem.size() - 3);
    else if (stem.size() > 3 && stem.ends_with("s")) stem.pop_back();
    return joined.starts_with(stem);
}

// Three ways to ask about one subject, in the order of Impl::Form.
constexpr std::array<std::string_view, 3> ways{"kinds of ", "signs of ", "names of "};

std::vector<std::string> ways_to_ask(std::string_view subject) {
    std::vector<std::string> names;
    for (const auto way : ways) names.push_back(fmt::format("{}{}", way, subject));
    return names;
}

constexpr std::array<std::string_view, 24> foreign_subjects{
    "crowded streets",    "office documents", "shop receipts",  "road traffic",    "kitchen scenes",
    "satellite pictures", "weather maps",     "line charts",    "newspaper pages", "film posters",
    "family portraits",   "old manuscripts",  "circuit boards", "medical scans",   "sports results",
    "train timetables",   "user interfaces",  "floor plans",    "oil paintings",   "comic strips",
    "night skies",        "mountain views",   "fashion shows",  "market stalls"};
constexpr std::array<std::string_view, 4> facets{"main subject of ", "small details of ", "written parts of ",
                                                 "unusual cases of "};
constexpr std::array<std::string_view, 24> further_fields{
    "weather reading",       "gesture understanding", "furniture arrangement", "packaging understanding",
    "hairstyle description", "jewellery recognition", "footprint reading",     "shadow reasoning",
    "reflection reasoning",  "texture comparison",    "queue understanding",   "signature comparison",
    "stain identification",  "fabric recognition",    "garden understanding",  "playground understanding",
    "shelf understanding",   "label reading",         "seating plan reading",  "ticket reading",
    "menu reading",          "knot recognition",      "origami recognition",   "puzzle piece matching"};

constexpr std::string_view choice_suffix = "\nAnswer with the option's letter from the given choices directly.";
constexpr std::string_view short_suffix = "\nAnswer the question using a single word or phrase.";

std::uint64_t bits_of(std::string_view text) {
    const auto digest = digest_of(text);
    return DigestHash{}(digest);
}

}  // namespace

struct GroundTruth::Impl {
    struct Picture {
        std::string uri, folder, caption, noun, group;
    };
    // What a task type asks, as far as it is about a folder of the pool.
    enum class Form { which, presence, name };
    struct Type {
        std::string folder;
        std::optional<Form> form;
    };

    GroundTruthSettings settings;
    std::map<std::string, double> judge_errors;
    std::vector<Picture> pictures;
    std::unordered_map<std::string, std::size_t> by_uri;
    std::map<std::string, std::vector<std::string>> folders;  // "" -> tops, "animals" -> "animals~birds", ...
    std::vector<std::string> groups;                          // second folders, or first ones: "birds", "clothes"
    std::vector<std::pair<std::string, std::string>> names;   // (noun, group)

    std::uint64_t seed_of(std::string_view kind, std::size_t picture, std::string_view type) const {
        return random_bits(static_cast<std::uint64_t>(settings.truth_seed),
                           bits_of(kind) ^ mix64(bits_of(pictures[picture].uri)) ^ mix64(mix64(bits_of(type))));
    }

    std::optional<std::string> top_of(std::string_view name) const {
        for (const auto& top : folders.at(""))
            if (speaks_of(name, top)) return top;
        return std::nullopt;
    }
    std::optional<std::string> below(const std::string& folder, std::string_view name) const {
        const auto child = fmt::format("{}~{}", folder, name);
        return folders.contains(child) ? std::optional(child) : std::nullopt;
    }
    static std::optional<Form> way(std::string_view name, std::string_view subject) {
        const auto names = ways_to_ask(subject);
        const auto at = std::find(names.begin(), names.end(), name);
        return at == names.end() ? std::nullopt : std::optional(static_cast<Form>(at - names.begin()));
    }

    std::optional<Type> type_of(std::string_view path) const {
        const auto levels = split(path, taxonomy::level_separator);
        std::optional<std::string> folder = top_of(levels[0]);
        std::size_t at = 1;
        if (!folder) {  // a general field: its second level may name one of the pool's subjects
            if (levels.size() < 2 || !folders.contains(levels[1])) return std::nullopt;
            folder = levels[1];
            at = 2;
        }
        for (; at < levels.size(); ++at) {
            if (const auto form = way(levels[at], taxonomy::last_name(*folder)); form && at + 1 == levels.size())
                return Type{*folder, form};
            auto child = below(*folder, levels[at]);
            if (!child) return std::nullopt;
            folder = std::move(child);
        }
        return Type{*folder, std::nullopt};
    }

    std::vector<std::string> some(const std::vector<std::string>& from, std::string_view key, std::size_t count) const {
        auto chosen = from;
        shuffle(chosen, mix64(static_cast<std::uint64_t>(settings.truth_seed)) ^ bits_of(key));
        chosen.resize(std::min(count, chosen.size()));
        return chosen;
    }

    // A four-way choice, its letter, and another letter.
    struct Choice {
        std::string text, right, wrong;
    };
    static Choice choice(std::string_view question, std::string_view answer, std::vector<std::string> others,
                         RandomStream& random) {
        constexpr std::string_view letters = "ABCD";
        shuffle(others, random());
        others.resize(std::min<std::size_t>(others.size(), letters.size() - 1));
        const auto place = random.below(others.size() + 1);
        others.insert(others.begin() + static_cast<std::ptrdiff_t>(place), std::string(answer));
        Choice out{std::string(question), std::string(1, letters[place]), {}};
        for (std::size_t i = 0; i < others.size(); ++i) out.text += fmt::format("\n{}. {}", letters[i], others[i]);
        out.text += choice_suffix;
        out.wrong = letters[(place + 1 + random.below(std::max<std::size_t>(others.size() - 1, 1))) % others.size()];
        return out;
    }
};

GroundTruth::GroundTruth(const GroundTruthSettings& settings) : impl_(std::make_unique<Impl>()) {
    impl_->settings = settings;
    for (const auto& entry : settings.judge_error_of) {
        const auto colon = entry.rfind(':');
        double rate = -1;
        if (colon != entry.npos) std::from_chars(entry.data() + colon + 1, entry.data() + entry.size(), rate);
        if (rate < 0 || rate > 1)
            throw UsageError(fmt::format("judge_error_of: '{}' is not understood", entry),
                             "write MODEL:SHARE, as judge-a:0.2");
        impl_->judge_errors[entry.substr(0, colon)] = rate;
    }
    std::error_code error;
    for (fs::recursive_directory_iterator at(settings.pictures, error), end; !error && at != end; at.increment(error)) {
        const auto& file = at->path();
        const auto suffix = lower_ascii(file.extension().string());
        if (!at->is_regular_file() || (suffix != ".png" && suffix != ".jpg" && suffix != ".jpeg")) continue;
        const auto relative = fs::relative(file, settings.pictures);
        std::vector<std::string> parts;
        for (const auto& part : relative.parent_path()) parts.push_back(cleaned(part.string()));
        if (parts.empty()) continue;  // a picture outside every folder has no true type
        if (parts.size() > taxonomy::deepest_level)
            parts = {parts[0], parts[1], join({parts.begin() + 2, parts.end()}, " ")};
        auto stem = (file.parent_path() / file.stem()).string();
        if (stem.ends_with("_mirror")) stem.resize(stem.size() - 7);  // a mirrored twin shares its twin's caption
        std::string caption;
        if (fs::exists(stem + ".txt")) {
            const auto text = read_text_file(stem + ".txt");
            caption = trimmed(text.substr(0, text.find('\n')));
        }
        impl_->pictures.push_back({relative.generic_string(), join(parts, "~"), caption,
                                   noun_of(caption, file.stem().string()), parts.size() > 1 ? parts[1] : parts[0]});
    }
    if (error)
        throw InputError(fmt::format("{}: cannot be listed ({})", settings.pictures.string(), error.message()),
                         "name the folder of pictures that the simulator answers from");
    if (impl_->pictures.empty())
        throw InputError(fmt::format("{}: no pictures in sub-folders", settings.pictures.string()),
                         "name the folder of pictures that the simulator answers from");
    std::sort(impl_->pictures.begin(), impl_->pictures.end(),
              [](const auto& a, const auto& b) { return a.uri < b.uri; });

    std::set<std::string> folders, groups;
    std::set<std::pair<std::string, std::string>> names;
    for (std::size_t i = 0; i < impl_->pictures.size(); ++i) {
        const auto& picture = impl_->pictures[i];
        impl_->by_uri.emplace(picture.uri, i);
        for (std::string_view folder = picture.folder; !folder.empty(); folder = taxonomy::parent_of(folder))
            folders.emplace(folder);
        groups.insert(picture.group);
        names.emplace(picture.noun, picture.group);
    }
    impl_->folders[""];
    for (const auto& folder : folders) {
        impl_->folders[folder];
        impl_->folders[std::string(taxonomy::parent_of(folder))].push_back(folder);
    }
    groups.erase("cartoon");  // a style, not a thing
    impl_->groups.assign(groups.begin(), groups.end());
    impl_->names.assign(names.begin(), names.end());
}

GroundTruth::~GroundTruth() = default;
GroundTruth::GroundTruth(GroundTruth&&) noexcept = default;

std::size_t GroundTruth::size() const { return impl_->pictures.size(); }
const std::string& GroundTruth::uri(std::size_t picture) const { return impl_->pictures[picture].uri; }
const std::string& GroundTruth::folder(std::size_t picture) const { return impl_->pictures[picture].folder; }
const std::string& GroundTruth::caption(std::size_t picture) const { return impl_->pictures[picture].caption; }

std::optional<std::size_t> GroundTruth::find(std::string_view uri) const {
    for (;;) {
        if (const auto at = impl_->by_uri.find(std::string(uri)); at != impl_->by_uri.end()) return at->second;
        const auto slash = uri.find('/');
        if (slash == uri.npos) return std::nullopt;
        uri.remove_prefix(slash + 1);
    }
}

std::optional<std::string> GroundTruth::folder_of_type(std::string_view type) const {
    const auto known = impl_->type_of(type);
    return known ? std::optional(known->folder) : std::nullopt;
}

bool GroundTruth::fits(std::size_t picture, std::string_view type) const {
    const auto known = impl_->type_of(type);
    return known && taxonomy::is_within(impl_->pictures[picture].folder, known->folder);
}

std::vector<std::string> GroundTruth::children(std::string_view parent) const {
    std::vector<std::string> names;
    const auto add_folders = [&](const std::vector<std::string>& folders) {
        for (const auto& folder : folders) names.emplace_back(taxonomy::last_name(folder));
    };
    if (parent.empty()) {
        names.assign(further_fields.begin(), further_fields.end());
        return names;
    }
    const auto level = taxonomy::level_of(parent);
    const auto top = impl_->top_of(taxonomy::first_name(parent));
    if (level >= taxonomy::deepest_level) return {};
    if (top) {
        auto folder = *top;
        if (level == 2) {
            const auto child = impl_->below(*top, taxonomy::last_name(parent));
            if (!child) return {};  // a way to ask is not divided further
            folder = *child;
        }
        add_folders(impl_->folders.at(folder));
        const auto asked = ways_to_ask(taxonomy::last_name(folder));
        names.insert(names.end(), asked.begin(), asked.end());
    } else if (level == 1) {
        add_folders(impl_->some(impl_->folders.at(""), parent, 6));
        const auto foreign = impl_->some({foreign_subjects.begin(), foreign_subjects.end()}, parent, 6);
        names.insert(names.end(), foreign.begin(), foreign.end());
    } else if (impl_->folders.contains(std::string(taxonomy::last_name(parent)))) {
        add_folders(impl_->some(impl_->folders.at(std::string(taxonomy::last_name(parent))), parent, 5));
    } else {
        for (const auto facet : facets) names.push_back(fmt::format("{}{}", facet, taxonomy::last_name(parent)));
    }
    for (auto& name : names) name = fmt::format("{}~{}", parent, name);
    return names;
}

GroundTruth::Sample GroundTruth::sample(std::size_t picture, std::string_view type) const {
    using Form = Impl::Form;
    const auto& shown = impl_->pictures[picture];
    RandomStream random(impl_->seed_of("sample", picture, type));
    const auto known = impl_->type_of(type);
    const bool wrong = random.unit() < impl_->settings.wrong_answers;
    const bool off_topic = random.unit() < 0.25;  // of the wrong ones: the question is not of the type at all
    const auto form = known && known->form ? *known->form : static_cast<Form>(random.below(3));
    const std::string about(known ? taxonomy::last_name(known->folder) : taxonomy::last_name(shown.folder));
    if (wrong && off_topic)
        return {fmt::format("How many wheels can be counted in the picture?{}", short_suffix),
                fmt::format("{}", 5 + random.below(40)), true};

    const auto own = split(shown.folder, taxonomy::level_separator);
    const auto strange = [&](const std::vector<std::string>& all) {
        std::vector<std::string> others;
        for (const auto& name : all)
            if (name != about && std::find(own.begin(), own.end(), name) == own.end()) others.push_back(name);
        return others;
    };
    if (form == Form::presence) {
        const auto others = strange(impl_->groups);
        const bool ask_other = !others.empty() && random.below(2) == 1;
        const bool truth = !ask_other && taxonomy::is_within(shown.folder, known ? known->folder : shown.folder);
        return {fmt::format("Is the picture about {}?{}", ask_other ? others[random.below(others.size())] : about,
                            short_suffix),
                truth != wrong ? "Yes" : "No", wrong};
    }
    Impl::Choice choice;
    if (form == Form::name) {
        std::vector<std::string> others;
        for (const auto& [noun, group] : impl_->names)
            if (group != shown.group && noun != shown.noun) others.push_back(noun);
        choice = Impl::choice("Which of these does the picture show?", shown.noun, std::move(others), random);
    } else if (known && taxonomy::level_of(known->folder) == 1) {
        choice =
            Impl::choice("What kind of thing does the picture show?", about, strange(impl_->folders.at("")), random);
    } else {
        choice = Impl::choice("Which of these does the picture show?", about, strange(impl_->groups), random);
    }
    return {choice.text, wrong ? choice.wrong : choice.right, wrong};
}

int GroundTruth::vote(std::size_t picture, std::string_view type, std::string_view judge) const {
    const bool valid = fits(picture, type) && !planted_wrong(picture, type);
    const auto own = impl_->judge_errors.find(std::string(judge));
    const auto rate = own == impl_->judge_errors.end() ? impl_->settings.judge_errors : own->second;
    const bool errs = random_unit(impl_->seed_of(judge, picture, type), 0) < rate;
    return valid != errs ? 1 : 0;
}

}  // namespace tg::simulator
