#include "samples.hpp"

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <fcntl.h>
#include <fstream>
#include <functional>
#include <limits>
#include <unistd.h>

#include <fmt/format.h>

#include "taskgalaxy/core/error.hpp"
#include "taskgalaxy/core/json.hpp"
#include "taskgalaxy/core/text.hpp"

namespace tg::training {

using nlohmann::json;
namespace fs = std::filesystem;

namespace {

std::string id_of(const json& entry, std::uint64_t index) {
    const auto id = entry.find("id");
    if (id == entry.end()) return std::to_string(index);
    return id->is_string() ? id->get<std::string>() : id->dump();
}

Sample sample_of(const json& entry, std::uint64_t index, const std::string& where) {
    const auto refuse = [&](const std::string& why) {
        throw InputError(fmt::format("{}: sample {} (id {}) {}", where, index, excerpt(id_of(entry, index), 60), why));
    };
    if (!entry.is_object()) throw InputError(fmt::format("{}: sample {} is no object", where, index));
    Sample sample;
    sample.id = id_of(entry, index);
    if (const auto image = entry.find("image"); image != entry.end() && !image->is_null()) {
        const auto& one = image->is_array() && image->size() == 1 ? image->front() : *image;
        if (!one.is_string()) refuse("has an image that is not one path");
        sample.image = one.get<std::string>();
    }
    const auto turns = entry.find("conversations");
    if (turns == entry.end() || !turns->is_array()) refuse("has no list `conversations`");
    std::size_t first = 0;
    const auto is_human = [&](const json& turn) { return turn.value("from", "") == "human"; };
    if (!turns->empty() && !is_human(turns->front())) first = 1;
    for (std::size_t i = first; i + 1 < turns->size(); i += 2) {
        const auto &question = (*turns)[i], &answer = (*turns)[i + 1];
        if (!is_human(question) || answer.value("from", "") != "gpt")
            refuse(fmt::format("does not alternate human and gpt at turn {}", i));
        sample.turns.push_back({question.value("value", ""), answer.value("value", "")});
    }
    if (sample.turns.empty()) refuse("has no question with an answer");
    if ((turns->size() - first) % 2 != 0) refuse("ends with a question");
    const auto marks = std::count_if(sample.turns.begin(), sample.turns.end(), [](const text::Turn& turn) {
        return turn.question.find(text::image_mark) != std::string::npos;
    });
    if (!sample.image.empty() && marks > 1) refuse("has one image and several <image> marks");
    return sample;
}

Sample parse_sample(std::string_view text, std::uint64_t index, const std::string& where) {
    try {
        return sample_of(parse_json(text, fmt::format("{}: sample {}", where, index)), index, where);
    } catch (const json::exception& e) {
        throw InputError(fmt::format("{}: sample {}: {}", where, index, excerpt(e.what(), 200)));
    }
}

bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

std::int64_t words_of(std::string_view text) {
    std::int64_t words = 0;
    bool inside = false;
    for (const char c : text) {
        words += !is_blank(c) && !inside;
        inside = !is_blank(c);
    }
    return words;
}

// The end of the object or list that begins at `at`; npos where the text ends before it.
std::size_t end_of_value(std::string_view text, std::size_t at) {
    int depth = 0;
    bool quoted = false;
    for (; at < text.size(); ++at) {
        const char c = text[at];
        if (quoted) {
            if (c == '\\') ++at;
            else quoted = c != '"';
        } else if (c == '"') quoted = true;
        else if (c == '{' || c == '[') ++depth;
        else if ((c == '}' || c == ']') && --depth == 0) return at + 1;
    }
    return text.npos;
}

std::size_t skip_blanks(std::string_view text, std::size_t at) {
    while (at < text.size() && is_blank(text[at])) ++at;
    return at;
}

// Calls `found(begin, end)` for each element of a JSON list.
void split_list(std::string_view text, const std::string& where,
                const std::function<void(std::size_t, std::size_t)>& found) {
    std::uint64_t index = 0;
    auto at = skip_blanks(text, skip_blanks(text, 0) + 1);
    if (at < text.size() && text[at] == ']') return;
    for (;; ++index) {
        if (at >= text.size())
            throw InputError(fmt::format("{} ends behind sample {}, in the middle of its list", where, index),
                             "the file was cut; copy it again");
        if (text[at] != '{') throw InputError(fmt::format("{}: sample {} is no object", where, index));
        const auto end = end_of_value(text, at);
        if (end == text.npos)
            throw InputError(fmt::format("{} ends in the middle of sample {}", where, index),
                             "the file was cut; copy it again");
        found(at, end);
        at = skip_blanks(text, end);
        if (at < text.size() && text[at] == ']') return;
        if (at < text.size() && text[at] != ',')
            throw InputError(
                fmt::format("{}: behind sample {} stands '{}' where a comma belongs", where, index, text[at]));
        at = skip_blanks(text, at + 1);
    }
}

void split_lines(std::string_view text, const std::function<void(std::size_t, std::size_t)>& found) {
    for (std::size_t at = 0; at < text.size();) {
        const auto end = std::min(text.find('\n', at), text.size());
        if (skip_blanks(text.substr(0, end), at) < end) found(at, end);
        at = end + 1;
    }
}

// InternVL's data list (internvl_chat/shell/data/*.json).
std::vector<SampleSource> read_data_list(const fs::path& file) {
    std::vector<SampleSource> sources;
    try {
        const auto list = read_json(file);
        for (const auto& [name, set] : list.items()) {
            if (!set.is_object() || !set.contains("annotation"))
                throw InputError(fmt::format("{}: {} has no field `annotation`", file.string(), name),
                                 "a data list is {name: {annotation, root, repeat_time}}");
            sources.push_back(
                {set["annotation"].get<std::string>(), set.value("root", ""), set.value("repeat_time", 1.0)});
            if (!(sources.back().weight > 0))
                throw InputError(fmt::format("{}: {} has repeat_time {}", file.string(), name, sources.back().weight),
                                 "give a number above zero");
        }
    } catch (const json::exception& e) {
        throw InputError(fmt::format("{}: {}", file.string(), excerpt(e.what(), 200)));
    }
    return sources;
}

// A JSON object that spreads over the whole file is a list of data sets; samples begin with a list, or stand one a
// line.
bool is_data_list(const fs::path& file) {
    std::ifstream in(file);
    char first = 0;
    if (file.extension() != ".json" || !(in >> first) || first != '{') return false;
    const auto parsed = parse_json_if_good(read_text_file(file));
    return parsed.is_object() && !parsed.contains("conversations");
}

}  // namespace

std::vector<SampleSource> read_sources(const std::vector<std::string>& words) {
    std::vector<SampleSource> all;
    for (const auto& word : words) {
        SampleSource source{word};
        if (const auto star = word.rfind('*'); star != word.npos && !fs::exists(word)) {
            const auto number = std::string_view(word).substr(star + 1);
            const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), source.weight);
            if (error != std::errc{} || end != number.data() + number.size() || !(source.weight > 0))
                throw UsageError(fmt::format("train.data: '{}' has no weight above zero behind its star", word),
                                 "write file.json*0.5");
            source.file = word.substr(0, star);
        }
        if (!fs::exists(source.file))
            throw UsageError(fmt::format("train.data {} does not exist", source.file.string()));
        if (!is_data_list(source.file)) {
            all.push_back(std::move(source));
            continue;
        }
        for (auto& set : read_data_list(source.file)) {
            set.weight *= source.weight;
            if (!fs::exists(set.file))
                throw InputError(
                    fmt::format("{}: annotation {} does not exist", source.file.string(), set.file.string()));
            all.push_back(std::move(set));
        }
    }
    return all;
}

SampleSet::SampleSet(std::vector<SampleSource> sources, const parallel::Communicator& ranks)
    : sources_(std::move(sources)), files_(sources_.size(), -1) {
    std::vector<std::uint64_t> sizes;
    parallel::together(ranks, [&] {
        for (std::size_t source = 0; source < sources_.size(); ++source) open(source);
        if (!ranks.is_root()) return;
        for (std::size_t source = 0; source < sources_.size(); ++source) sizes.push_back(find_samples(source));
    });
    places_ = ranks.broadcast(std::move(places_));
    sizes = ranks.broadcast(std::move(sizes));
    parallel::together(ranks, [&] {
        for (std::size_t source = 0; source < sources_.size(); ++source)
            if (const auto here = fs::file_size(sources_[source].file); here != sizes[source])
                throw InputError(fmt::format("{} has {} bytes on rank {} and {} on rank 0",
                                             sources_[source].file.string(), here, ranks.rank(), sizes[source]),
                                 "all ranks must see the same file");
    });
    for (std::uint32_t source = 0; source < sources_.size(); ++source) {
        const auto [begin, end] = std::equal_range(places_.begin(), places_.end(), Place{.source = source},
                                                   [](const Place& a, const Place& b) { return a.source < b.source; });
        shares_.push_back({static_cast<std::uint64_t>(begin - places_.begin()), static_cast<std::uint64_t>(end - begin),
                           sources_[source].weight});
    }
}

std::uint64_t SampleSet::find_samples(std::size_t source) {
    const auto where = sources_[source].file.string();
    const auto text = read_text_file(where);
    const auto first = places_.size();
    const auto add = [&](std::size_t begin, std::size_t end) {
        const auto index = places_.size() - first, bytes = end - begin;
        if (bytes > std::numeric_limits<std::uint32_t>::max())
            throw InputError(fmt::format("{}: sample {} is longer than 4 GiB", where, index));
        const auto sample = parse_sample(std::string_view(text).substr(begin, bytes), index, where);
        std::int64_t words = 0;
        for (const auto& turn : sample.turns) words += words_of(turn.question) + words_of(turn.answer);
        places_.push_back({begin, static_cast<std::uint32_t>(bytes), static_cast<std::uint32_t>(source),
                           sample.image.empty() ? -1 - words : words});
    };
    const auto begin = skip_blanks(text, 0);
    if (begin < text.size() && text[begin] == '[') split_list(text, where, add);
    else split_lines(text, add);
    if (places_.size() == first) throw InputError(where + " holds no sample");
    return text.size();
}

SampleSet::~SampleSet() {
    for (const int file : files_)
        if (file >= 0) ::close(file);
}

void SampleSet::open(std::size_t source) {
    files_[source] = ::open(sources_[source].file.c_str(), O_RDONLY | O_CLOEXEC);
    if (files_[source] < 0)
        throw InputError(
            fmt::format("{}: cannot be opened ({})", sources_[source].file.string(), std::strerror(errno)));
}

Sample SampleSet::read(std::uint64_t index) const {
    const auto& place = places_[index];
    const auto& source = sources_[place.source];
    std::string text(place.bytes, '\0');
    for (std::size_t done = 0; done < text.size();) {
        const auto count = ::pread(files_[place.source], text.data() + done, text.size() - done,
                                   static_cast<off_t>(place.offset + done));
        if (count < 0 && errno == EINTR) continue;
        if (count <= 0)
            throw InputError(fmt::format("{}: {} bytes at {} cannot be read ({})", source.file.string(), place.bytes,
                                         place.offset, count < 0 ? std::strerror(errno) : "the file became shorter"));
        done += static_cast<std::size_t>(count);
    }
    auto sample = parse_sample(text, index - shares_[place.source].first, source.file.string());
    if (!sample.image.empty() && !source.image_root.empty()) sample.image = (source.image_root / sample.image).string();
    return sample;
}

std::uint64_t SampleSet::pictures() const {
    return static_cast<std::uint64_t>(
        std::count_if(places_.begin(), places_.end(), [](const Place& place) { return place.words >= 0; }));
}

}  // namespace tg::training
