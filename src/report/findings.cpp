#include "findings.hpp"

#include <algorithm>
#include <limits>
#include <unordered_map>
#include <unordered_set>

#include "taskgalaxy/core/text.hpp"
#include "taskgalaxy/taxonomy/bands.hpp"

namespace tg::report {
namespace {

double ratio(std::uint64_t part, std::uint64_t whole) {
    return whole == 0 ? std::numeric_limits<double>::quiet_NaN()
                      : static_cast<double>(part) / static_cast<double>(whole);
}

std::unordered_set<std::string> lines_of(const std::filesystem::path& file) {
    std::unordered_set<std::string> out;
    for (const auto& line : split(read_text_file(file), '\n'))
        if (const auto text = trimmed(line); !text.empty()) out.emplace(text);
    return out;
}

// Whether a uri, perhaps with a source's name before it, is on the list.
bool listed(const std::unordered_set<std::string>& list, std::string_view uri) {
    if (list.contains(std::string(uri))) return true;
    const auto slash = uri.find('/');
    return slash != uri.npos && list.contains(std::string(uri.substr(slash + 1)));
}

MatchHits match_hits(const RunData& run, const ReportSettings& settings, const simulator::GroundTruth& truth) {
    const auto& matches = *run.matches;
    MatchHits hits;
    hits.own_folder.assign(matches.k, 0);
    hits.chance.assign(matches.k, 0);
    hits.held_out = !settings.held_out.empty();
    const auto wanted = hits.held_out ? lines_of(settings.held_out) : std::unordered_set<std::string>();

    // What each type is about, and how many leaves are about each folder.
    std::vector<std::string> folder_of_type(run.taxonomy->size());
    std::unordered_map<std::string, std::uint64_t> leaves_about;
    std::uint64_t leaves = 0;
    for (std::size_t type = 0; type < run.taxonomy->size(); ++type) {
        if (!run.taxonomy->leaf(type)) continue;
        ++leaves;
        folder_of_type[type] = truth.folder_of_type(run.taxonomy->path(type)).value_or("");
        ++leaves_about[folder_of_type[type]];
    }
    for (std::uint64_t image = 0; image < matches.images; ++image) {
        const auto uri = run.pool->uri[image];
        if (run.pool->status[image] != 0 || (hits.held_out && !listed(wanted, uri))) continue;
        const auto picture = truth.find(uri);
        if (!picture) continue;
        ++hits.pictures;
        const auto& folder = truth.folder(*picture);
        const auto about = leaves_about.find(folder);
        if (about == leaves_about.end()) ++hits.without_type;
        bool hit = false;
        for (std::uint64_t r = 0; r < matches.k; ++r) {
            const auto type = matches.type[image * matches.k + r];
            hit = hit || (type >= 0 && folder_of_type[static_cast<std::size_t>(type)] == folder);
            hits.own_folder[r] += hit;
            hits.chance[r] += about == leaves_about.end() ? 0 : chance_of_hit(leaves, about->second, r + 1);
        }
    }
    for (auto* shares : {&hits.own_folder, &hits.chance})
        for (auto& share : *shares) share = hits.pictures == 0 ? 0 : share / static_cast<double>(hits.pictures);
    return hits;
}

Screening screening_of(const RunData& run, const simulator::GroundTruth& truth) {
    const auto& samples = run.curation->samples;
    Screening out;
    for (std::size_t row = 0; row < samples.size(); ++row) {
        if (samples.state(row) != 0) continue;
        const auto picture = truth.find(run.pool->uri[static_cast<std::size_t>(samples.image(row))]);
        const auto made =
            picture
                ? std::optional(truth.sample(*picture, run.taxonomy->path(static_cast<std::size_t>(samples.type(row)))))
                : std::nullopt;
        if (!made || trimmed(made->answer) != trimmed(samples.answer(row))) {
            ++out.foreign;
            continue;
        }
        ++out.judged;
        const bool kept = samples.kept(row);
        ++(made->planted_wrong ? (kept ? out.wrong_kept : out.wrong_rejected)
                               : (kept ? out.right_kept : out.right_rejected));
    }
    return out;
}

Votes votes_of(const run::SampleTable& samples) {
    const auto judges = samples.judges().size();
    Votes out;
    out.for_sample.assign(judges + 1, 0);
    out.judge.assign(judges, {});
    std::vector<std::vector<std::uint64_t>> both(judges, std::vector<std::uint64_t>(judges)), same = both;
    // Fleiss' kappa over the samples that every judge has voted on.
    double agreeing = 0;
    std::uint64_t ones = 0, whole_samples = 0;
    for (std::size_t row = 0; row < samples.size(); ++row) {
        const auto votes = samples.votes(row);
        std::size_t in_favour = 0, missing = 0;
        for (std::size_t a = 0; a < judges; ++a) {
            const bool absent = votes[a] == run::no_vote;
            ++out.judge[a][absent ? 2 : votes[a]];
            missing += absent;
            in_favour += !absent && votes[a] == 1;
            for (std::size_t b = 0; b < judges; ++b) {
                if (absent || votes[b] == run::no_vote) continue;
                ++both[a][b];
                same[a][b] += votes[a] == votes[b];
            }
        }
        if (missing > 0) {
            ++out.missing;
            continue;
        }
        ++out.for_sample[in_favour];
        ++whole_samples;
        ones += in_favour;
        if (judges > 1) {
            const auto n = static_cast<double>(judges), for_it = static_cast<double>(in_favour), against = n - for_it;
            agreeing += (for_it * (for_it - 1) + against * (against - 1)) / (n * (n - 1));
        }
    }
    for (std::size_t a = 0; a < judges; ++a) {
        out.agreement.emplace_back();
        for (std::size_t b = 0; b < judges; ++b) out.agreement[a].push_back(ratio(same[a][b], both[a][b]));
    }
    const double observed = whole_samples == 0 ? 0 : agreeing / static_cast<double>(whole_samples);
    const double p = ratio(ones, whole_samples * judges), expected = p * p + (1 - p) * (1 - p);
    out.fleiss_kappa = judges < 2 || whole_samples == 0 ? std::numeric_limits<double>::quiet_NaN()
                       : expected == 1                  ? 1
                                                        : (observed - expected) / (1 - expected);
    return out;
}

}  // namespace

double chance_of_hit(std::uint64_t all, std::uint64_t good, std::uint64_t draws) {
    if (good == 0) return 0;
    double miss = 1;
    for (std::uint64_t i = 0; i < draws && miss > 0; ++i) {
        if (all <= good + i) return 1;
        miss *= static_cast<double>(all - good - i) / static_cast<double>(all - i);
    }
    return 1 - miss;
}

double Screening::precision() const { return ratio(wrong_rejected, wrong_rejected + right_rejected); }
double Screening::recall() const { return ratio(wrong_rejected, wrong_rejected + wrong_kept); }
double Screening::kept_right() const { return ratio(right_kept, right_kept + wrong_kept); }

std::optional<double> Findings::none_rate() const {
    const auto answered = image_states[0] + image_states[1];
    return answered == 0 ? std::nullopt : std::optional(ratio(image_states[1], answered));
}

Findings find_out(const RunData& run, const ReportSettings& settings, const simulator::GroundTruth* truth) {
    Findings out;
    for (const auto& cost : run.costs) {
        out.usd += cost.usd;
        out.price_known = out.price_known && cost.price_known;
    }
    if (!run.taxonomy) return out;
    const auto& taxonomy = *run.taxonomy;

    out.branch_of_type.resize(taxonomy.size());
    std::unordered_map<std::size_t, std::size_t> place;  // level-1 row -> its branch
    for (std::size_t type = 0; type < taxonomy.size(); ++type) {
        ++out.levels[static_cast<std::size_t>(taxonomy.level(type) - 1)];
        out.leaves += taxonomy.leaf(type);
        auto top = type;
        while (taxonomy.parent(top) >= 0) top = static_cast<std::size_t>(taxonomy.parent(top));
        const auto [found, is_new] = place.try_emplace(top, out.branches.size());
        if (is_new) out.branches.push_back({.name = taxonomy.path(top)});
        out.branch_of_type[type] = found->second;
        ++out.branches[found->second].types;
        out.branches[found->second].leaves += taxonomy.leaf(type);
    }
    const auto branch = [&](std::int64_t type) -> Branch& {
        return out.branches[out.branch_of_type[static_cast<std::size_t>(type)]];
    };

    if (run.matches && run.pool && truth) out.hits = match_hits(run, settings, *truth);
    if (run.matches)
        for (std::uint64_t image = 0; image < run.matches->images; ++image) {
            if (const auto best = run.matches->k > 0 ? run.matches->type[image * run.matches->k] : -1; best >= 0) {
                if (!run.curation || run.curation->refined.state[image] > 1) continue;
                ++branch(best).images;
                branch(best).none += run.curation->refined.state[image] == 1;
            }
        }
    if (!run.curation) return out;
    const auto& curation = *run.curation;
    for (const auto state : curation.refined.state) ++out.image_states[std::min<std::size_t>(state, 4)];
    if (run.matches)
        for (std::uint64_t image = 0; image < run.matches->images; ++image)
            for (std::uint64_t r = 0; r < run.matches->k; ++r) {
                const auto type = run.matches->type[image * run.matches->k + r];
                if (type < 0 || curation.refined.state[image] > 1) continue;
                ++out.candidates;
                ++branch(type).offered;
                if (curation.refined.kept[image * curation.refined.k + r] != 1) continue;
                ++out.fitting;
                ++branch(type).fitting;
            }
    out.kept_of_type.assign(taxonomy.size(), 0);
    out.samples_of_type.assign(taxonomy.size(), 0);
    for (std::size_t row = 0; row < curation.samples.size(); ++row) {
        const auto type = curation.samples.type(row);
        ++out.sample_states[std::min<std::size_t>(curation.samples.state(row), 3)];
        ++out.samples_of_type[static_cast<std::size_t>(type)];
        ++branch(type).samples;
        if (!curation.samples.kept(row)) continue;
        ++out.kept;
        ++out.kept_of_type[static_cast<std::size_t>(type)];
        ++branch(type).kept;
    }
    out.votes = votes_of(curation.samples);
    if (truth && run.pool) out.screening = screening_of(run, *truth);

    TypeBands bands;
    for (const auto& band : taxonomy::sample_bands()) {
        bands.types.emplace_back(band.name, 0);
        bands.samples.emplace_back(band.name, 0);
    }
    for (std::size_t type = 0; type < taxonomy.size(); ++type) {
        if (!taxonomy.leaf(type)) continue;
        const auto kept = out.kept_of_type[type];
        if (kept == 0) {
            ++bands.none;
            continue;
        }
        const auto name = taxonomy::band_of(kept);
        for (std::size_t b = 0; b < bands.types.size(); ++b)
            if (bands.types[b].first == name) {
                ++bands.types[b].second;
                bands.samples[b].second += kept;
            }
    }
    out.bands = std::move(bands);
    return out;
}

}  // namespace tg::report
