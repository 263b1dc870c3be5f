// The data's half of the page: from pictures to kept samples.
#include <algorithm>
#include <cmath>
#include <fmt/format.h>
#include <map>
#include <numeric>

#include "charts.hpp"
#include "gallery.hpp"
#include "html.hpp"
#include "sections.hpp"
#include "taskgalaxy/pictures/image.hpp"

namespace tg::report {
namespace {

constexpr std::size_t most_bars = 24;  // level-1 types drawn; the CSV file holds all

double share(std::uint64_t part, std::uint64_t whole) {
    return whole == 0 ? std::nan("") : static_cast<double>(part) / static_cast<double>(whole);
}

std::string of(std::uint64_t part, std::uint64_t whole_) {
    return fmt::format("{} <span class=\"dim\">{}</span>", whole(part), percent(share(part, whole_)));
}

// The branches with the most of something first.
template <class Key> std::vector<const Branch*> largest(const std::vector<Branch>& branches, Key key) {
    std::vector<const Branch*> out;
    for (const auto& branch : branches)
        if (key(branch) > 0) out.push_back(&branch);
    std::stable_sort(out.begin(), out.end(), [&](const Branch* a, const Branch* b) { return key(*a) > key(*b); });
    if (out.size() > most_bars) out.resize(most_bars);
    return out;
}

std::string rest_note(std::size_t shown, std::size_t all) {
    return shown < all ? fmt::format(" The {} largest of {} are shown; level1_types.csv holds all.", shown, all)
                       : std::string();
}

}  // namespace

std::string flow_section(const Page& page) {
    const auto& run = page.run;
    if (!run.pool) return not_run("The pictures have not been listed.", run::files::pool);
    std::vector<Bar> bars;
    const auto add = [&](std::string_view label, std::uint64_t value, std::string_view colour, std::string note) {
        bars.push_back({std::string(label),
                        {{static_cast<double>(value), colour, whole(value)}},
                        fmt::format("<b>{}</b> {}", whole(value), note)});
    };
    add("pictures listed", run.pool->size(), "c4", "");
    add("usable", run.pool->usable(), "c1", percent(share(run.pool->usable(), run.pool->size())));
    std::string out = figure("Pictures", bar_list(bars) + "", "Listed by the sources and decodable to the last pixel.",
                             "pool.h5: status");
    if (!run.curation) return out + not_run("No model has been asked yet.", run::files::samples);

    const auto& found = page.found;
    const auto asked = found.image_states[0] + found.image_states[1] + found.image_states[2];
    bars.clear();
    add("task types offered", found.candidates, "c4",
        fmt::format("{} a picture", decimal(share(found.candidates, asked), 1)));
    add("found fitting", found.fitting, "c3",
        fmt::format("{} of the offered", percent(share(found.fitting, found.candidates))));
    const std::uint64_t samples =
        std::accumulate(found.sample_states.begin(), found.sample_states.end(), std::uint64_t{0});
    add("question and answer written", samples - found.sample_states[1] - found.sample_states[3], "c3",
        fmt::format("{} failed, {} left out by the generator", whole(found.sample_states[1]),
                    whole(found.sample_states[3])));
    add("kept by the judges", found.kept, "c1",
        fmt::format("{} of the written",
                    percent(share(found.kept, samples - found.sample_states[1] - found.sample_states[3]))));
    return out + figure("From candidates to samples", bar_list(bars),
                        fmt::format("{} pictures were asked about; {} of them kept at least one task type.",
                                    whole(asked), whole(found.image_states[0])),
                        "samples.h5: state, kept, refine/kept · matches.h5");
}

std::string types_section(const Page& page) {
    if (!page.run.taxonomy) return not_run("The task types have not been grown.", run::files::taxonomy);
    const auto& found = page.found;
    std::vector<Bar> bars;
    for (std::size_t level = 0; level < 3; ++level)
        bars.push_back({fmt::format("level {}", level + 1),
                        {{static_cast<double>(found.levels[level]), "c1", whole(found.levels[level])}},
                        fmt::format("<b>{}</b>", whole(found.levels[level]))});
    auto out = figure("Task types by level", bar_list(bars),
                      fmt::format("{} types in all, {} of them leaves, which pictures are matched with.",
                                  whole(page.run.taxonomy->size()), whole(found.leaves)),
                      "taxonomy.h5: level, leaf");

    const bool curated = page.run.curation.has_value();
    const auto shown = largest(found.branches, [&](const Branch& b) { return b.leaves; });
    bars.clear();
    for (const auto* branch : shown) {
        Bar bar{escaped(branch->name), {}, ""};
        std::uint64_t used = 0;
        if (curated)
            for (std::size_t type = 0; type < found.branch_of_type.size(); ++type)
                used += &found.branches[found.branch_of_type[type]] == branch && page.run.taxonomy->leaf(type) &&
                        found.kept_of_type[type] > 0;
        bar.parts = {
            {static_cast<double>(used), "c1", fmt::format("{} with kept samples", used)},
            {static_cast<double>(branch->leaves - used), "c4", fmt::format("{} without", branch->leaves - used)}};
        bar.note = curated ? fmt::format("<b>{}</b> {} samples", whole(branch->leaves), whole(branch->kept))
                           : fmt::format("<b>{}</b>", whole(branch->leaves));
        bars.push_back(std::move(bar));
    }
    out += figure(
        "Leaves under each level-1 type",
        (curated ? legend({{"c1", "with kept samples"}, {"c4", "without"}}) : std::string()) + bar_list(bars),
        "How the tree is spread, and where its leaves found pictures." + rest_note(shown.size(), found.branches.size()),
        "taxonomy.h5 · samples.h5: type, kept");
    return out;
}

std::string matching_section(const Page& page) {
    const auto& run = page.run;
    if (!run.matches) return not_run("Pictures and task types have not been matched.", run::files::matches);
    const auto& matches = *run.matches;
    // Scores of the best and of all k types, over the range that occurs.
    float least = 1, most = -1;
    for (std::size_t i = 0; i < matches.score.size(); ++i)
        if (matches.type[i] >= 0) {
            least = std::min(least, matches.score[i]);
            most = std::max(most, matches.score[i]);
        }
    std::string out;
    if (most > least) {
        constexpr std::size_t bins = 48;
        Histogram best{"best type of each picture", "c1", std::vector<double>(bins)},
            all{fmt::format("all {} types of each picture", matches.k), "c4", std::vector<double>(bins)};
        double best_sum = 0, all_sum = 0, score_sum = 0;
        for (std::size_t i = 0; i < matches.score.size(); ++i) {
            if (matches.type[i] < 0) continue;
            const auto bin =
                std::min(bins - 1, static_cast<std::size_t>((matches.score[i] - least) / (most - least) * bins));
            all.counts[bin] += 1;
            all_sum += 1;
            if (i % matches.k != 0) continue;
            best.counts[bin] += 1;
            best_sum += 1;
            score_sum += matches.score[i];
        }
        for (auto& count : best.counts) count /= best_sum;
        for (auto& count : all.counts) count /= all_sum;
        const double width = most - least;
        out += figure("Similarity of pictures and their task types",
                      legend({{"c1", best.name}, {"c4", all.name}}) + histogram_chart({"cosine", least, most,
                                                                                       width < 0.02  ? 4
                                                                                       : width < 0.2 ? 3
                                                                                                     : 2},
                                                                                      {all, best}),
                      fmt::format("Mean similarity of the best type: {}.", decimal(score_sum / best_sum, 4)),
                      "matches.h5: score");
    }
    if (!page.found.hits) return out;
    const auto& hits = *page.found.hits;
    Series found{"own folder among the first", "c1", {}, false, false, true},
        chance{"by chance", "c4", {}, false, true, false};
    for (std::size_t r = 0; r < hits.own_folder.size(); ++r) {
        found.points.emplace_back(static_cast<double>(r + 1), 100 * hits.own_folder[r]);
        chance.points.emplace_back(static_cast<double>(r + 1), 100 * hits.chance[r]);
    }
    out += figure(
        fmt::format("Is the true folder among the first {} types?", matches.k),
        legend({{"c1", "found"}, {"c4", "as many types drawn at random"}}) +
            line_chart({"types looked at", 1, static_cast<double>(std::max<std::uint64_t>(matches.k, 2)), 0},
                       {"% of pictures", 0, 100, 0}, {chance, found}),
        fmt::format("Of {} {}, <b>{}</b> have a type about their own folder among the first {}, against {} by chance. "
                    "{} have no such type at all, so that none could be found.",
                    whole(hits.pictures), hits.held_out ? "held-out pictures" : "pictures", percent(hits.found()),
                    hits.headline(), percent(hits.found_by_chance()), whole(hits.without_type)),
        "matches.h5: type · folders of the pictures");
    return out;
}

std::string refining_section(const Page& page) {
    if (!page.run.curation) return not_run("No model has been asked which types fit.", run::files::samples);
    const auto& found = page.found;
    const std::pair<std::string_view, std::string_view> states[] = {{"kept some type", "c1"},
                                                                    {"None fits", "c2"},
                                                                    {"failed", "c5"},
                                                                    {"unusable picture", "c4"},
                                                                    {"not asked (pilot)", "c4"}};
    Bar bar{"pictures", {}, ""};
    std::vector<std::pair<std::string_view, std::string>> entries;
    for (std::size_t s = 0; s < found.image_states.size(); ++s) {
        if (found.image_states[s] == 0) continue;
        bar.parts.push_back({static_cast<double>(found.image_states[s]), states[s].second,
                             fmt::format("{}: {}", states[s].first, whole(found.image_states[s]))});
        entries.emplace_back(states[s].second, fmt::format("{} {}", states[s].first, whole(found.image_states[s])));
    }
    auto out =
        figure("What became of the pictures", legend(entries) + bar_list({bar}),
               found.none_rate() ? fmt::format("None rate: <b>{}</b> of the pictures that were asked about and "
                                               "answered. Where no candidate is right, no later step can mend it.",
                                               percent(*found.none_rate()))
                                 : std::string("No picture was answered."),
               "samples.h5: refine/state");
    const auto shown = largest(found.branches, [](const Branch& b) { return b.images; });
    std::vector<Bar> bars;
    for (const auto* branch : shown)
        bars.push_back({escaped(branch->name),
                        {{100 * branch->none_rate(), "c2", percent(branch->none_rate())}},
                        fmt::format("<b>{}</b> of {}", percent(branch->none_rate(), 0), whole(branch->images))});
    if (!bars.empty())
        out += figure("None rate by the level-1 type of the best candidate", bar_list(bars, 100),
                      "Pictures are counted under the level-1 type that matching put first." +
                          rest_note(shown.size(), found.branches.size()),
                      "samples.h5: refine/state · matches.h5: type");
    return out;
}

std::string screening_section(const Page& page) {
    if (!page.run.curation) return not_run("Nothing has been judged.", run::files::samples);
    const auto& found = page.found;
    const auto& votes = *found.votes;
    const auto& judges = page.run.curation->samples.judges();
    std::uint64_t all = votes.missing;
    for (const auto count : votes.for_sample) all += count;
    std::vector<Bar> bars;
    for (std::size_t ones = votes.for_sample.size(); ones-- > 0;) {
        const auto count = votes.for_sample[ones];
        const auto against = judges.size() - ones;
        bars.push_back({fmt::format("{} – {}", ones, against),
                        {{static_cast<double>(count),
                          ones == judges.size() ? "c1"
                          : ones > against      ? "c3"
                          : ones == 0           ? "c5"
                                                : "c2",
                          whole(count)}},
                        of(count, all)});
    }
    if (votes.missing > 0)
        bars.push_back({"a vote is missing",
                        {{static_cast<double>(votes.missing), "c4", whole(votes.missing)}},
                        of(votes.missing, all)});
    auto out = figure(
        "Votes for and against a sample", bar_list(bars),
        fmt::format("{} of {} samples kept. Split votes are where a judge let something pass: look at those first.",
                    whole(found.kept), whole(all)),
        "samples.h5: votes, kept");

    std::vector<std::string> headings{"judge", "for#", "against#", "no vote#"};
    for (const auto& judge : judges) headings.push_back("agrees with " + escaped(judge) + "#");
    std::vector<std::vector<std::string>> rows;
    for (std::size_t j = 0; j < judges.size(); ++j) {
        rows.push_back(
            {escaped(judges[j]), of(votes.judge[j][1], all), whole(votes.judge[j][0]), whole(votes.judge[j][2])});
        for (std::size_t other = 0; other < judges.size(); ++other)
            rows.back().push_back(other == j ? "" : percent(votes.agreement[j][other]));
    }
    out += figure("The judges", table(headings, rows),
                  std::isfinite(votes.fleiss_kappa)
                      ? fmt::format("Fleiss' kappa over all judges: {} (0: as by chance, 1: always of one mind).",
                                    decimal(votes.fleiss_kappa, 3))
                      : std::string("One judge agrees with nobody."),
                  "samples.h5: votes");

    if (found.screening && found.screening->judged > 0) {
        const auto& s = *found.screening;
        out += figure(
            "Screening against planted wrong answers",
            table({"", "rejected#", "kept#"},
                  {{"planted wrong", fmt::format("<b>{}</b>", whole(s.wrong_rejected)), whole(s.wrong_kept)},
                   {"right", whole(s.right_rejected), fmt::format("<b>{}</b>", whole(s.right_kept))}}),
            fmt::format(
                "Of the rejected samples <b>{}</b> were planted wrong (precision); of the planted wrong ones <b>{}</b> "
                "were rejected (recall); of the kept ones {} are right, against {} before screening.{}",
                percent(s.precision()), percent(s.recall()), percent(s.kept_right()),
                percent(share(s.right_kept + s.right_rejected, s.judged)),
                s.foreign > 0 ? fmt::format(" {} samples are not the simulator's and were left out.", whole(s.foreign))
                              : std::string()),
            "samples.h5: answer, kept · ground truth of the pool");
    }
    return out;
}

std::string bands_section(const Page& page) {
    if (!page.found.bands) return not_run("There are no samples to count.", run::files::samples);
    const auto& bands = *page.found.bands;
    std::vector<Bar> bars;
    std::vector<std::vector<std::string>> rows;
    const auto words = [](std::string name) {
        if (name == "over-100") return std::string("> 100");
        if (const auto dash = name.find('-'); dash != name.npos) name.replace(dash, 1, "–");
        return name;
    };
    bars.push_back(
        {"no sample", {{static_cast<double>(bands.none), "c4", whole(bands.none)}}, of(bands.none, page.found.leaves)});
    for (std::size_t b = 0; b < bands.types.size(); ++b) {
        bars.push_back(
            {words(bands.types[b].first),
             {{static_cast<double>(bands.types[b].second), "c1", whole(bands.types[b].second)}},
             fmt::format("<b>{}</b> types, {} samples", whole(bands.types[b].second), whole(bands.samples[b].second))});
    }
    auto out =
        figure("Task types by their number of kept samples", bar_list(bars),
               fmt::format("{} leaf types; rare types carry diversity, but some only noise.", whole(page.found.leaves)),
               "samples.h5: type, kept · taxonomy.h5");

    std::vector<std::size_t> order;
    for (std::size_t type = 0; type < page.found.samples_of_type.size(); ++type)
        if (page.found.samples_of_type[type] > 0) order.push_back(type);
    constexpr std::size_t shown = 12;
    const auto list = [&](auto more, std::string_view heading, std::string_view caption) {
        std::stable_sort(order.begin(), order.end(), more);
        rows.clear();
        for (std::size_t i = 0; i < std::min(shown, order.size()); ++i) {
            const auto samples = page.found.samples_of_type[order[i]], kept = page.found.kept_of_type[order[i]];
            rows.push_back({escaped(page.run.taxonomy->path(order[i])), whole(samples), whole(kept),
                            percent(share(samples - kept, samples), 0)});
        }
        return figure(heading, table({"task type", "samples#", "kept#", "rejected#"}, rows), caption,
                      "samples.h5: type, kept · types.csv holds all");
    };
    const auto& kept = page.found.kept_of_type;
    const auto& samples = page.found.samples_of_type;
    out += list([&](std::size_t a, std::size_t b) { return kept[a] > kept[b]; }, "The most frequent types",
                "By kept samples.");
    out += list([&](std::size_t a, std::size_t b) { return samples[a] - kept[a] > samples[b] - kept[b]; },
                "The most rejected types", "By rejected samples: mismatches and overlaps show here first.");
    return out;
}

std::string gallery_section(const Page& page) {
    if (!page.run.curation || !page.run.pool || !page.run.taxonomy)
        return not_run("There are no samples to show.", run::files::samples);
    if (page.settings.gallery == 0) return "<p>report.gallery is 0: no samples are shown.</p>";
    const auto caption =
        fmt::format("At most one a level-1 type first, no picture twice, drawn with seed {}.", page.settings.seed);
    return figure("Kept", gallery(page.run, page.found, page.settings, page.pool, page.truth, true), caption,
                  "samples.h5 · pool.h5: uri") +
           figure("Rejected", gallery(page.run, page.found, page.settings, page.pool, page.truth, false), caption,
                  "samples.h5 · pool.h5: uri");
}

std::string pictures_section(const Page& page) {
    if (!page.run.pool) return not_run("The pictures have not been listed.", run::files::pool);
    const auto& pool = *page.run.pool;
    std::map<int, std::uint64_t> counts;
    std::vector<std::vector<std::string>> rows;
    constexpr std::size_t shown = 40;
    for (std::size_t i = 0; i < pool.size(); ++i) {
        if (pool.status[i] == 0) continue;
        ++counts[pool.status[i]];
        if (rows.size() < shown)
            rows.push_back({escaped(pool.uri[i]),
                            escaped(pictures::name_of(static_cast<pictures::PictureStatus>(pool.status[i]))),
                            escaped(pool.reason[i])});
    }
    if (counts.empty()) return "<p>Every listed picture is usable. <span class=\"source\">pool.h5: status</span></p>";
    std::vector<Bar> bars;
    for (const auto& [status, count] : counts)
        bars.push_back({escaped(pictures::name_of(static_cast<pictures::PictureStatus>(status))),
                        {{static_cast<double>(count), "c5", whole(count)}},
                        fmt::format("<b>{}</b>", whole(count))});
    const auto all = pool.size() - pool.usable();
    return figure(
        "Pictures that cannot be used", bar_list(bars) + table({"picture", "status", "reason"}, rows),
        fmt::format("{} of {}.{}", whole(all), whole(pool.size()),
                    all > shown ? fmt::format(" The first {}; bad_pictures.csv holds all.", shown) : std::string()),
        "pool.h5: status, reason");
}

}  // namespace tg::report
