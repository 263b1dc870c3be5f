// The answer function of the simulator: which picture, which kind of prompt, and the answer that ground truth gives.
#include <algorithm>
#include <cctype>
#include <fmt/format.h>
#include <future>
#include <limits>
#include <mutex>
#include <nlohmann/json.hpp>
#include <unordered_map>

#include "taskgalaxy/core/digest.hpp"
#include "taskgalaxy/core/error.hpp"
#include "taskgalaxy/core/log.hpp"
#include "taskgalaxy/core/text.hpp"
#include "taskgalaxy/core/threads.hpp"
#include "taskgalaxy/pictures/image.hpp"
#include "taskgalaxy/simulator/ground_truth.hpp"
#include "taskgalaxy/taxonomy/path.hpp"

namespace tg::simulator {
namespace {

using nlohmann::ordered_json;

// Pictures told apart by a small thumbnail and their shape: both survive shrinking and JPEG.
class PictureIndex {
public:
    explicit PictureIndex(const GroundTruth& truth, const std::filesystem::path& folder) : marks_(truth.size()) {
        ThreadPool pool(std::max<std::size_t>(1, usable_cores()));
        std::vector<std::future<void>> waits;
        for (std::size_t i = 0; i < truth.size(); ++i)
            waits.push_back(pool.submit([&, i] {
                const auto text = read_text_file(folder / truth.uri(i));
                try {
                    marks_[i] = mark_of(pictures::decode(std::as_bytes(std::span(text))));
                } catch (const pictures::UnreadableImage&
                             error) {  // such a picture is never sent, so nothing will be asked about it
                    log::warn("simulate: {}: {}; left out", truth.uri(i), error.what());
                }
            }));
        for (auto& wait : waits) wait.get();
    }

    // Judges are shown what refinement was shown: the same bytes are looked at once.
    std::size_t nearest(std::span<const std::byte> file) {
        const auto digest = digest_of(file);
        {
            const std::lock_guard lock(mutex_);
            if (const auto seen = seen_.find(digest); seen != seen_.end()) return seen->second;
        }
        const auto best = look(file);
        const std::lock_guard lock(mutex_);
        if (seen_.size() >= most_seen) seen_.clear();
        return seen_[digest] = best;
    }

private:
    static constexpr std::size_t most_seen = 1 << 20;

    std::size_t look(std::span<const std::byte> file) const {
        const auto mark = mark_of(pictures::decode(file));
        std::size_t best = 0;
        double best_distance = std::numeric_limits<double>::infinity();
        for (std::size_t i = 0; i < marks_.size(); ++i) {
            if (marks_[i].rgb.empty()) continue;
            const auto distance = distance_of(mark, marks_[i]);
            if (distance < best_distance) best = i, best_distance = distance;
        }
        return best;
    }

    static constexpr int side = 16;
    struct Mark {
        std::vector<std::uint8_t> rgb;  // side x side x 3
        double shape = 1;               // width / height
    };
    static Mark mark_of(const pictures::Image& image) {
        return {pictures::resized(image, side, side).rgb, static_cast<double>(image.width) / image.height};
    }
    static double distance_of(const Mark& a, const Mark& b) {
        double sum = 0;
        for (std::size_t i = 0; i < a.rgb.size(); ++i) {
            const double difference = static_cast<double>(a.rgb[i]) - b.rgb[i];
            sum += difference * difference;
        }
        // Shrinking to whole pixels moves the shape a little; a square and a banner are far apart.
        const double stretch = std::max(a.shape / b.shape, b.shape / a.shape) - 1;
        return sum / static_cast<double>(a.rgb.size()) + 1e4 * std::max(0.0, stretch - 0.03);
    }
    std::vector<Mark> marks_;
    std::mutex mutex_;
    std::unordered_map<Digest, std::size_t, DigestHash> seen_;
};

std::vector<std::string> lines_of(std::string_view text) {
    std::vector<std::string> lines;
    for (const auto& line : split(text, '\n')) lines.emplace_back(trimmed(line));
    return lines;
}

// A line that is a task path and nothing else: exactly as a normalised path is spelled.
bool is_path(const std::string& line) {
    const auto reading = taxonomy::read_path(line);
    return reading && reading.path == line;
}
bool is_deep_path(const std::string& line) {
    return line.find(taxonomy::level_separator) != line.npos && is_path(line);
}

// The task types that a prompt lists: the block of lines around those that are paths with levels.
std::vector<std::string> listed_types(const std::vector<std::string>& lines) {
    for (std::size_t i = 0; i < lines.size(); ++i) {
        if (!is_deep_path(lines[i])) continue;
        auto begin = i, end = i + 1;
        while (begin > 0 && !lines[begin - 1].empty() && is_path(lines[begin - 1])) --begin;
        while (end < lines.size() && !lines[end].empty() && is_path(lines[end])) ++end;
        return {lines.begin() + static_cast<std::ptrdiff_t>(begin), lines.begin() + static_cast<std::ptrdiff_t>(end)};
    }
    return {};
}

// The one task type of a judge's prompt: behind a colon.
std::string judged_type(const std::vector<std::string>& lines) {
    for (const auto& line : lines)
        for (auto at = line.rfind(": "); at != line.npos && at > 0; at = line.rfind(": ", at - 1))
            if (const auto rest = std::string(trimmed(std::string_view(line).substr(at + 2))); is_deep_path(rest))
                return rest;
    // A type of one level has no mark of its own: the first line with a colon is taken to name it.
    for (const auto& line : lines)
        if (const auto at = line.rfind(": "); at != line.npos)
            if (auto rest = std::string(trimmed(std::string_view(line).substr(at + 2))); is_path(rest)) return rest;
    throw InputError("the simulator finds no task type in this prompt", "a judge's prompt names it behind a colon");
}

int first_number(std::string_view text, int otherwise) {
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (std::isdigit(static_cast<unsigned char>(text[i])) == 0 ||
            (i > 0 && std::isalnum(static_cast<unsigned char>(text[i - 1])) != 0))
            continue;
        int number = 0;
        while (i < text.size() && std::isdigit(static_cast<unsigned char>(text[i])) != 0 && number < 100'000)
            number = number * 10 + (text[i++] - '0');
        return number;
    }
    return otherwise;
}

std::string expansion(const GroundTruth& truth, const SimulatedCall& call) {
    const auto lines = lines_of(call.user);
    std::string parent;
    for (const auto& line : lines) {
        if (line.empty() || !is_path(line)) continue;
        const auto begins = line + taxonomy::level_separator;
        if (std::any_of(lines.begin(), lines.end(), [&](const auto& other) { return other.starts_with(begins); }) &&
            (parent.empty() || line.size() < parent.size()))
            parent = line;
    }
    auto wanted = first_number(call.user, 10);
    std::vector<std::string> fresh;
    for (auto& child : truth.children(parent)) {
        if (wanted == 0) break;
        if (std::find(lines.begin(), lines.end(), child) != lines.end()) continue;
        fresh.push_back(std::move(child));
        --wanted;
    }
    if (!call.response_schema.empty()) return ordered_json{{"paths", fresh}}.dump();
    return fresh.empty() ? "None" : join(fresh, "\n");
}

std::string refinement(const GroundTruth& truth, std::size_t picture, const std::vector<std::string>& candidates,
                       bool as_json) {
    std::vector<std::string> kept;
    for (const auto& type : candidates)
        if (truth.fits(picture, type)) kept.push_back(type);
    if (as_json) return ordered_json{{"keep", kept}}.dump();
    return kept.empty() ? "[None]" : fmt::format("[{}]", join(kept, ", "));
}

std::string generation(const GroundTruth& truth, std::size_t picture, const std::vector<std::string>& types,
                       bool as_json) {
    auto samples = ordered_json::array();
    std::vector<std::string> lines;
    for (const auto& type : types) {
        const auto sample = truth.sample(picture, type);
        samples.push_back({{"task_type", type}, {"question", sample.question}, {"answer", sample.answer}});
        lines.push_back(samples.back().dump());
    }
    return as_json ? ordered_json{{"samples", samples}}.dump() : join(lines, "\n");
}

}  // namespace

AnswerFunction ground_truth_answers(const GroundTruthSettings& settings) {
    const auto truth = std::make_shared<const GroundTruth>(settings);
    const auto index = std::make_shared<PictureIndex>(*truth, settings.pictures);
    return [truth, index](const SimulatedCall& call) -> std::string {
        if (call.image.empty()) return expansion(*truth, call);
        const auto picture = index->nearest(call.image);
        const auto lines = lines_of(call.user);
        const auto types = listed_types(lines);
        const bool as_json = !call.response_schema.empty();
        if (types.empty()) {
            const auto vote = truth->vote(picture, judged_type(lines), call.model);
            return as_json ? ordered_json{{"valid", vote}}.dump() : std::to_string(vote);
        }
        if (call.user.find("\"question\"") != std::string::npos) return generation(*truth, picture, types, as_json);
        return refinement(*truth, picture, types, as_json);
    };
}

}  // namespace tg::simulator
