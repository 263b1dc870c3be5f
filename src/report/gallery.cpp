#include "gallery.hpp"

#include <algorithm>
#include <cmath>
#include <fmt/format.h>
#include <unordered_set>

#include "html.hpp"
#include "taskgalaxy/core/base64.hpp"
#include "taskgalaxy/core/random.hpp"
#include "taskgalaxy/core/text.hpp"
#include "taskgalaxy/pictures/image.hpp"

namespace tg::report {
namespace {

std::string task_path(std::string_view path) {
    std::string out;
    for (const auto& level : split(path, '~'))
        out += fmt::format("{}<span>{}</span>", out.empty() ? "" : "<i>›</i>", escaped(level));
    return out;
}

std::string vote_marks(const run::SampleTable& samples, std::size_t row) {
    std::string out;
    const auto votes = samples.votes(row);
    for (std::size_t j = 0; j < votes.size(); ++j) {
        const auto [mark, word] = votes[j] == 1   ? std::pair("yes", "for")
                                  : votes[j] == 0 ? std::pair("no", "against")
                                                  : std::pair("gone", "no vote");
        out += fmt::format("<b class=\"vote {}\" title=\"{}: {}\">{}</b>", mark, escaped(samples.judges()[j]), word,
                           votes[j] == 1   ? "✓"
                           : votes[j] == 0 ? "✕"
                                           : "·");
    }
    return out;
}

}  // namespace

std::vector<std::size_t> draw_samples(const RunData& run, const Findings& findings, bool kept, std::size_t count,
                                      std::uint64_t seed) {
    const auto& samples = run.curation->samples;
    std::vector<std::size_t> rows;
    for (std::size_t row = 0; row < samples.size(); ++row)
        if (samples.state(row) == 0 && samples.kept(row) == kept) rows.push_back(row);
    shuffle(rows, seed);
    std::vector<std::size_t> chosen, second_choice;
    std::unordered_set<std::size_t> branches;
    std::unordered_set<std::int64_t> images;
    for (const auto row : rows) {
        if (chosen.size() == count) break;
        const auto branch = findings.branch_of_type[static_cast<std::size_t>(samples.type(row))];
        if (branches.contains(branch) || images.contains(samples.image(row))) second_choice.push_back(row);
        else {
            branches.insert(branch);
            images.insert(samples.image(row));
            chosen.push_back(row);
        }
    }
    for (const auto row : second_choice)
        if (chosen.size() < count && images.insert(samples.image(row)).second) chosen.push_back(row);
    std::sort(chosen.begin(), chosen.end());
    return chosen;
}

std::string picture_url(const pool::Pool& pool, std::uint64_t image, int side, int quality) {
    try {
        auto options = pool.decode_options();
        options.shrink_to = side;
        auto picture = pictures::decode(pool.read(image), options);
        const double scale = static_cast<double>(side) / std::max(picture.width, picture.height);
        if (scale < 1)
            picture = pictures::resized(picture, std::max(1, static_cast<int>(std::lround(picture.width * scale))),
                                        std::max(1, static_cast<int>(std::lround(picture.height * scale))));
        return "data:image/jpeg;base64," + to_base64(pictures::encode_jpeg(picture, quality));
    } catch (const InputError&) {  // the card shows an empty frame that says so
        return {};
    }
}

std::string gallery(const RunData& run, const Findings& findings, const ReportSettings& settings,
                    const pool::Pool* pool, const simulator::GroundTruth* truth, bool kept) {
    const auto& samples = run.curation->samples;
    std::string out = "<div class=\"gallery\">\n";
    for (const auto row : draw_samples(run, findings, kept, static_cast<std::size_t>(settings.gallery),
                                       static_cast<std::uint64_t>(settings.seed))) {
        const auto image = static_cast<std::uint64_t>(samples.image(row));
        const auto& type = run.taxonomy->path(static_cast<std::size_t>(samples.type(row)));
        const auto uri = run.pool->uri[image];
        const auto url = pool ? picture_url(*pool, image, settings.picture_side, settings.jpeg_quality) : std::string();
        bool planted = false;
        if (truth)
            if (const auto picture = truth->find(uri)) {
                const auto made = truth->sample(*picture, type);
                planted = made.planted_wrong && trimmed(made.answer) == trimmed(samples.answer(row));
            }
        out += fmt::format(
            "<article class=\"card\"><div class=\"picture\">{}</div><div class=\"words\"><p class=\"task\">{}</p><p "
            "class=\"q\">{}</p><p class=\"a\">{}</p></div><p class=\"votes\">{}{}<span "
            "class=\"uri\">{}</span></p></article>\n",
            url.empty() ? std::string("<span>picture not at hand</span>")
                        : fmt::format("<img alt=\"{}\" src=\"{}\">", escaped(uri), url),
            task_path(type), escaped(excerpt(samples.question(row), 420)), escaped(excerpt(samples.answer(row), 420)),
            vote_marks(samples, row), planted ? "<em>planted wrong</em>" : "", escaped(uri));
    }
    return out + "</div>";
}

}  // namespace tg::report
