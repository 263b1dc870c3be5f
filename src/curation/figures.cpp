#include "figures.hpp"

#include <cmath>
#include <fmt/format.h>
#include <limits>

#include "taskgalaxy/core/log.hpp"
#include "taskgalaxy/core/text.hpp"

namespace tg::curation {
namespace {

constexpr std::size_t image_state_count = 5, sample_state_count = 4;
constexpr std::size_t level1_columns = 4;  // images, none, offered, kept
constexpr std::array<const char*, 3> steps{"refine", "generate", "screen"};

double share(std::int64_t part, std::int64_t whole) {
    return whole == 0 ? 0 : static_cast<double>(part) / static_cast<double>(whole);
}

}  // namespace

CurationFigures::CurationFigures(std::vector<std::string> judges, std::vector<std::string> level1_names)
    : judges_(std::move(judges)), level1_(std::move(level1_names)) {
    const auto j = judges_.size();
    std::size_t end = 0;
    const auto table = [&](std::size_t size) { return std::exchange(end, end + size); };
    image_states_ = table(image_state_count);
    sample_states_ = table(sample_state_count);
    kept_ = table(1);
    votes_for_ = table(j + 1);
    squares_ = table(1);
    ones_ = table(1);
    judge_votes_ = table(3 * j);
    pairs_ = table(2 * j * j);
    level1_counts_ = table(level1_columns * level1_.size());
    notes_ = table(steps.size() * note_count);
    counts_.assign(end, 0);
}

void CurationFigures::add_image(ImageState state, int level1_of_best) {
    ++at(image_states_ + static_cast<std::size_t>(state));
    if (level1_of_best < 0 || (state != ImageState::kept_some && state != ImageState::none)) return;
    const auto row = level1_counts_ + level1_columns * static_cast<std::size_t>(level1_of_best);
    ++at(row);
    if (state == ImageState::none) ++at(row + 1);
}

void CurationFigures::add_candidate(int level1, bool kept) {
    const auto row = level1_counts_ + level1_columns * static_cast<std::size_t>(level1);
    ++at(row + 2);
    if (kept) ++at(row + 3);
}

void CurationFigures::add_sample(SampleState state, bool kept, const std::uint8_t* votes) {
    ++at(sample_states_ + static_cast<std::size_t>(state));
    if (kept) ++at(kept_);
    const auto j = judges();
    std::size_t ones = 0, cast = 0;
    for (std::size_t a = 0; a < j; ++a) {
        const auto vote = votes[a];
        ++at(judge_votes_ + 3 * a + (vote == no_vote ? 2 : vote));
        if (vote == no_vote) continue;
        ++cast;
        ones += vote;
        for (std::size_t b = 0; b < j; ++b) {
            if (votes[b] == no_vote) continue;
            ++at(pairs_ + 2 * (a * j + b));
            if (votes[b] == vote) ++at(pairs_ + 2 * (a * j + b) + 1);
        }
    }
    if (cast != j || j == 0) return;
    ++at(votes_for_ + ones);
    const auto zeros = j - ones;
    at(squares_) += static_cast<std::int64_t>(ones * ones + zeros * zeros);
    at(ones_) += static_cast<std::int64_t>(ones);
}

void CurationFigures::add_notes(const std::vector<std::int64_t>& counts) {
    for (std::size_t i = 0; i < counts.size(); ++i) at(notes_ + i) += counts[i];
}

std::int64_t CurationFigures::images(ImageState state) const {
    return counts_[image_states_ + static_cast<std::size_t>(state)];
}
std::int64_t CurationFigures::samples(SampleState state) const {
    return counts_[sample_states_ + static_cast<std::size_t>(state)];
}
std::int64_t CurationFigures::kept() const { return counts_[kept_]; }
std::int64_t CurationFigures::votes_for(std::size_t ones) const { return counts_[votes_for_ + ones]; }

double CurationFigures::none_rate() const {
    return share(images(ImageState::none), images(ImageState::none) + images(ImageState::kept_some));
}
double CurationFigures::kept_rate() const { return share(kept(), samples(SampleState::fine)); }

double CurationFigures::agreement(std::size_t a, std::size_t b) const {
    const auto pair = pairs_ + 2 * (a * judges() + b);
    return counts_[pair] == 0 ? std::numeric_limits<double>::quiet_NaN() : share(counts_[pair + 1], counts_[pair]);
}

double CurationFigures::fleiss_kappa() const {
    const auto j = static_cast<double>(judges());
    std::int64_t judged = 0;
    for (std::size_t ones = 0; ones <= judges(); ++ones) judged += votes_for(ones);
    if (judges() < 2 || judged == 0) return std::numeric_limits<double>::quiet_NaN();
    const auto n = static_cast<double>(judged);
    const double observed = (static_cast<double>(counts_[squares_]) - n * j) / (n * j * (j - 1));
    const double yes = static_cast<double>(counts_[ones_]) / (n * j);
    const double expected = yes * yes + (1 - yes) * (1 - yes);
    return expected >= 1 ? 1 : (observed - expected) / (1 - expected);
}

run::SampleFigures CurationFigures::table() const {
    const auto slice = [&](std::size_t first, std::size_t count) {
        return std::vector<std::int64_t>(counts_.begin() + static_cast<std::ptrdiff_t>(first),
                                         counts_.begin() + static_cast<std::ptrdiff_t>(first + count));
    };
    const auto j = judges();
    run::SampleFigures table{.image_states = slice(image_states_, image_state_count),
                             .sample_states = slice(sample_states_, sample_state_count),
                             .votes_for = slice(votes_for_, j + 1),
                             .judge_votes = slice(judge_votes_, 3 * j),
                             .level1 = level1_,
                             .level1_counts = slice(level1_counts_, level1_columns * level1_.size()),
                             .note_counts = slice(notes_, steps.size() * note_count),
                             .judges = judges_,
                             .none_rate = none_rate(),
                             .kept_rate = kept_rate(),
                             .fleiss_kappa = fleiss_kappa(),
                             .kept = kept()};
    for (std::size_t a = 0; a < j; ++a)
        for (std::size_t b = 0; b < j; ++b) table.agreement.push_back(agreement(a, b));
    for (std::size_t i = 0; i < note_count; ++i) table.notes.emplace_back(note_name(static_cast<Note>(i)));
    return table;
}

void CurationFigures::add_to(run::Figures& figures) const {
    const auto put = [&](const std::string& name, double value) { figures.emplace_back(name, value); };
    put("refine.images",
        static_cast<double>(images(ImageState::kept_some) + images(ImageState::none) + images(ImageState::failed)));
    put("refine.none_rate", none_rate());
    put("refine.failed", static_cast<double>(images(ImageState::failed)));
    std::int64_t all = 0;
    for (std::size_t state = 0; state < sample_state_count; ++state) all += samples(static_cast<SampleState>(state));
    put("refine.types_kept", static_cast<double>(all));
    put("generate.failed", static_cast<double>(samples(SampleState::generation_failed)));
    put("generate.left_out", static_cast<double>(samples(SampleState::left_out)));
    put("generate.samples", static_cast<double>(samples(SampleState::fine) + samples(SampleState::judging_failed)));
    put("screen.failed", static_cast<double>(samples(SampleState::judging_failed)));
    put("screen.kept", static_cast<double>(kept()));
    put("screen.rejected", static_cast<double>(samples(SampleState::fine) - kept()));
    for (std::size_t ones = 0; ones <= judges(); ++ones)
        put(fmt::format("screen.votes_{}_{}", ones, judges() - ones), static_cast<double>(votes_for(ones)));
    if (std::isfinite(fleiss_kappa())) put("screen.fleiss_kappa", fleiss_kappa());
    for (std::size_t step = 0; step < steps.size(); ++step)
        for (std::size_t i = 0; i < note_count; ++i)
            if (const auto count = counts_[notes_ + step * note_count + i]; count > 0)
                put(fmt::format("{}.answers_{}", steps[step], note_name(static_cast<Note>(i))),
                    static_cast<double>(count));
}

void CurationFigures::log() const {
    const auto none = images(ImageState::none), some = images(ImageState::kept_some);
    log::info("refine: {} images kept some types, {} none ({:.1f} %), {} failed, {} unusable, {} not asked", some, none,
              100 * none_rate(), images(ImageState::failed), images(ImageState::unusable),
              images(ImageState::not_asked));
    log::info("generate: {} samples, {} left out, {} failed",
              samples(SampleState::fine) + samples(SampleState::judging_failed), samples(SampleState::left_out),
              samples(SampleState::generation_failed));
    std::vector<std::string> patterns;
    for (std::size_t ones = judges() + 1; ones-- > 0;)
        patterns.push_back(fmt::format("{}-{}: {}", ones, judges() - ones, votes_for(ones)));
    log::info("screen: {} kept ({:.1f} %), {} rejected, {} unjudged; votes {}; Fleiss' kappa {:.3f}", kept(),
              100 * kept_rate(), samples(SampleState::fine) - kept(), samples(SampleState::judging_failed),
              join(patterns, ", "), fleiss_kappa());
    for (std::size_t step = 0; step < steps.size(); ++step) {
        std::vector<std::string> seen;
        for (std::size_t i = 0; i < note_count; ++i)
            if (const auto count = counts_[notes_ + step * note_count + i]; count > 0)
                seen.push_back(
                    fmt::format("{} {}", replace_all(std::string(note_name(static_cast<Note>(i))), "_", " "), count));
        if (!seen.empty()) log::info("{}: in the answers: {}", steps[step], join(seen, ", "));
    }
}

}  // namespace tg::curation
