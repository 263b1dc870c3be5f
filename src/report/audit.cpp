#include "taskgalaxy/report/audit.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <fmt/format.h>
#include <map>

#include "gallery.hpp"
#include "html.hpp"
#include "run_data.hpp"
#include "style.hpp"
#include "taskgalaxy/core/error.hpp"
#include "taskgalaxy/core/random.hpp"
#include "taskgalaxy/core/text.hpp"
#include "taskgalaxy/storage/publish.hpp"

namespace tg::report {
namespace {

using report::escaped;

std::string csv_cell(std::string_view text) {
    if (text.find_first_of(",\"\n\r") == text.npos) return std::string(text);
    return "\"" + replace_all(std::string(text), "\"", "\"\"") + "\"";
}

// The fields of one CSV record; `text` is moved behind it. Quoted fields may hold commas, doubled quotes and line
// breaks.
std::vector<std::string> csv_record(std::string_view& text, std::uint64_t& line) {
    std::vector<std::string> fields(1);
    bool quoted = false;
    while (!text.empty()) {
        const char c = text.front();
        text.remove_prefix(1);
        line += c == '\n';
        if (quoted) {
            if (c != '"') fields.back() += c;
            else if (text.starts_with('"')) {
                fields.back() += '"';
                text.remove_prefix(1);
            } else quoted = false;
        } else if (c == '"' && fields.back().empty()) quoted = true;
        else if (c == ',' || c == ';') fields.emplace_back();  // spreadsheets of some countries write semicolons
        else if (c == '\n') break;
        else if (c != '\r') fields.back() += c;
    }
    return fields;
}

report::RunData run_with_samples(const run::Paths& paths) {
    auto run = report::RunData::read(paths);
    if (!run.curation || !run.pool || !run.taxonomy)
        throw InputError(fmt::format("{}: there are no samples to audit", paths.file(run::files::samples).string()),
                         "run the curate stage first");
    return run;
}

// Judged samples of one kind, a share of them drawn by seed.
std::vector<std::size_t> drawn(const run::SampleTable& samples, bool kept, std::size_t count, std::uint64_t seed) {
    std::vector<std::size_t> rows;
    for (std::size_t row = 0; row < samples.size(); ++row)
        if (samples.state(row) == 0 && samples.kept(row) == kept) rows.push_back(row);
    shuffle(rows, seed + (kept ? 0 : 1));
    if (rows.size() > count) rows.resize(count);
    return rows;
}

constexpr std::string_view rating_script = R"js(
const key = "taskgalaxy-audit-" + document.title, ratings = JSON.parse(localStorage.getItem(key) || "{}");
const show = () => { document.getElementById("count").textContent = Object.keys(ratings).length; };
for (const box of document.querySelectorAll("input[type=radio]")) {
  if (ratings[box.name] === box.value) box.checked = true;
  box.addEventListener("change", () => { ratings[box.name] = box.value; localStorage.setItem(key, )js"
                                           R"js(JSON.stringify(ratings)); show(); });
}
document.getElementById("save").addEventListener("click", () => {
  const lines = ["row,rating"];
  for (const card of document.querySelectorAll("[data-row]")) )js"
                                           R"js(lines.push(card.dataset.row + "," + (ratings[card.dataset.row] ?? ""));
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([lines.join("\r\n") + "\r\n"], {type: "text/csv"}));
  link.download = "ratings.csv";
  link.click();
});
show();
)js";

double cohens_kappa(std::uint64_t both_yes, std::uint64_t only_a, std::uint64_t only_b, std::uint64_t both_no) {
    const auto n = static_cast<double>(both_yes + only_a + only_b + both_no);
    if (n == 0) return std::nan("");
    const double a = static_cast<double>(both_yes + only_a) / n, b = static_cast<double>(both_yes + only_b) / n;
    const double observed = static_cast<double>(both_yes + both_no) / n, expected = a * b + (1 - a) * (1 - b);
    return expected == 1 ? std::nan("") : (observed - expected) / (1 - expected);
}

using Ratings = std::map<std::size_t, bool>;  // row of samples.h5 -> valid

Ratings read_ratings(const std::filesystem::path& file, std::size_t samples, std::uint64_t& unrated) {
    const auto all = read_text_file(file);
    std::string_view text = all;
    if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
    std::uint64_t line = 1;
    const auto header = csv_record(text, line);
    const auto column = [&](const char* name) {
        const auto found = std::find(header.begin(), header.end(), name);
        if (found == header.end())
            throw InputError(fmt::format("{}: column '{}' is not there", file.string(), name),
                             "give a sheet that `taskgalaxy audit` made, filled in");
        return static_cast<std::size_t>(found - header.begin());
    };
    const auto row_column = column("row"), rating_column = column("rating");
    Ratings ratings;
    while (!text.empty()) {
        const auto where = fmt::format("{}:{}", file.string(), line);
        const auto fields = csv_record(text, line);
        if (fields.size() <= std::max(row_column, rating_column)) {
            if (fields.size() == 1 && trimmed(fields[0]).empty()) continue;
            throw InputError(where + ": the line is short of columns");
        }
        std::size_t row = 0;
        const auto number = trimmed(fields[row_column]);
        if (const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), row);
            error != std::errc{} || end != number.data() + number.size() || row >= samples)
            throw InputError(fmt::format("{}: '{}' is no row of samples.h5", where, excerpt(number, 40)),
                             "is the sheet of this run?");
        const auto rating = trimmed(fields[rating_column]);
        if (rating.empty()) ++unrated;
        else if (rating == "1" || rating == "0") ratings[row] = rating == "1";
        else
            throw InputError(fmt::format("{}: rating '{}' is neither 1 nor 0", where, excerpt(rating, 40)),
                             "1: valid, 0: not, empty: not rated");
    }
    return ratings;
}

}  // namespace

std::filesystem::path write_audit_sheet(const run::Paths& paths, const pool::PoolSettings& pool_settings,
                                        const AuditSettings& settings) {
    const auto run = run_with_samples(paths);
    const auto& samples = run.curation->samples;
    const auto wanted = static_cast<std::size_t>(std::max(0, settings.samples));
    const auto seed = static_cast<std::uint64_t>(settings.seed);
    auto rows =
        drawn(samples, false,
              static_cast<std::size_t>(std::lround(static_cast<double>(wanted) * settings.rejected_share)), seed);
    const auto kept = drawn(samples, true, wanted - rows.size(), seed);
    rows.insert(rows.end(), kept.begin(), kept.end());
    shuffle(rows, seed + 2);  // so that the place on the sheet tells nothing

    const pool::Pool pool(paths.file(run::files::pool), pool_settings);
    std::string csv = "row,image,task_type,question,answer,rating\r\n", cards;
    for (const auto row : rows) {
        const auto image = static_cast<std::uint64_t>(samples.image(row));
        const auto& type = run.taxonomy->path(static_cast<std::size_t>(samples.type(row)));
        csv += fmt::format("{},{},{},{},{},\r\n", row, csv_cell(pool.uri(image)), csv_cell(type),
                           csv_cell(samples.question(row)), csv_cell(samples.answer(row)));
        const auto url = report::picture_url(pool, image, settings.picture_side, settings.jpeg_quality);
        cards += fmt::format(
            "<article class=\"card\" data-row=\"{0}\"><div class=\"picture\">{1}</div><div class=\"words\"><p "
            "class=\"task\">{2}</p><p class=\"q\">{3}</p><p class=\"a\">{4}</p></div>"
            "<p class=\"votes\"><label><input type=\"radio\" name=\"{0}\" value=\"1\"> valid</label> <label><input "
            "type=\"radio\" name=\"{0}\" value=\"0\"> not valid</label><span class=\"uri\">{5}</span></p></article>\n",
            row,
            url.empty() ? std::string("<span>picture not at hand</span>")
                        : fmt::format("<img alt=\"\" src=\"{}\">", url),
            escaped(type), escaped(samples.question(row)), escaped(samples.answer(row)), escaped(pool.uri(image)));
    }
    const auto title = fmt::format(
        "{} audit {}", std::filesystem::absolute(paths.root()).lexically_normal().filename().string(), settings.seed);
    const auto page = fmt::format(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" "
        "content=\"width=device-width, initial-scale=1\">\n<title>{0}</title>\n<style>{1}\n.gallery {{ "
        "grid-template-columns:repeat(auto-fill,minmax(330px,1fr)); }} .picture {{ height:300px; "
        "}}</style>\n</head>\n<body>\n<div class=\"wrap\">\n"
        "<header><p class=\"kicker\">taskgalaxy · audit</p><h1>{0}</h1><p class=\"meta\">{2} samples, some that the "
        "judges kept and some that they rejected; which is which is not shown. A sample is <b>valid</b> when the task "
        "type suits the picture, the question can be answered from it, and the answer is right.</p>"
        "<p class=\"meta\"><span id=\"count\">0</span> rated. <button id=\"save\">Save the ratings as CSV</button> "
        "They also stay in this browser. Then: <code>taskgalaxy audit RUN --ratings "
        "ratings.csv</code></p></header>\n<main><div "
        "class=\"gallery\">\n{3}</div></main>\n</div>\n<script>{4}</script>\n</body>\n</html>\n",
        escaped(title), report::style_sheet, rows.size(), cards, rating_script);
    storage::publish_text(paths.report() / "audit.csv", csv);
    storage::publish_text(paths.report() / "audit.html", page);
    return paths.report() / "audit.html";
}

std::pair<double, double> AuditReport::Share::interval() const {
    if (rated == 0) return {0, 1};
    constexpr double z = 1.96;
    const auto n = static_cast<double>(rated);
    const double p = value(), middle = (p + z * z / (2 * n)) / (1 + z * z / n),
                 half = z / (1 + z * z / n) * std::sqrt(p * (1 - p) / n + z * z / (4 * n * n));
    return {std::max(0.0, middle - half), std::min(1.0, middle + half)};
}

AuditReport read_audit(const run::Paths& paths, const std::vector<std::filesystem::path>& filled) {
    const auto run = run_with_samples(paths);
    const auto& samples = run.curation->samples;
    AuditReport out;
    std::vector<Ratings> people;
    for (const auto& file : filled) people.push_back(read_ratings(file, samples.size(), out.unrated));
    out.people = people.size();

    std::map<std::string, AuditReport::Share> by_votes, by_level1;
    std::uint64_t table[2][2] = {};  // [judges kept][person says valid]
    const auto add = [](AuditReport::Share& share, bool valid) {
        share.valid += valid;
        ++share.rated;
    };
    for (const auto& ratings : people)
        for (const auto& [row, valid] : ratings) {
            const bool kept = samples.kept(row);
            ++table[kept][valid];
            add(kept ? out.kept : out.rejected, valid);
            const auto votes = samples.votes(row);
            add(by_votes[fmt::format("{} of {}", std::count(votes.begin(), votes.end(), std::uint8_t{1}),
                                     votes.size())],
                valid);
            if (!kept)
                add(by_level1[split(run.taxonomy->path(static_cast<std::size_t>(samples.type(row))), '~').front()],
                    valid);
        }
    out.by_votes.assign(by_votes.begin(), by_votes.end());
    out.rejected_by_level1.assign(by_level1.begin(), by_level1.end());
    std::stable_sort(out.rejected_by_level1.begin(), out.rejected_by_level1.end(),
                     [](const auto& a, const auto& b) { return a.second.valid > b.second.valid; });
    out.kappa = cohens_kappa(table[1][1], table[1][0], table[0][1], table[0][0]);

    double sum = 0;
    std::uint64_t pairs = 0;
    for (std::size_t a = 0; a < people.size(); ++a)
        for (std::size_t b = a + 1; b < people.size(); ++b) {
            std::uint64_t both[2][2] = {};
            for (const auto& [row, valid] : people[a])
                if (const auto other = people[b].find(row); other != people[b].end()) ++both[valid][other->second];
            if (const auto kappa = cohens_kappa(both[1][1], both[1][0], both[0][1], both[0][0]); std::isfinite(kappa)) {
                sum += kappa;
                ++pairs;
            }
        }
    out.kappa_between_people = pairs == 0 ? std::nan("") : sum / static_cast<double>(pairs);
    return out;
}

std::string audit_text(const AuditReport& report) {
    const auto share = [](const AuditReport::Share& s) {
        const auto [low, high] = s.interval();
        return s.rated == 0 ? std::string("none rated")
                            : fmt::format("{:.1f} % of {} (95 %: {:.1f} to {:.1f})", 100 * s.value(), s.rated,
                                          100 * low, 100 * high);
    };
    std::string out = fmt::format(
        "{} sheets, {} samples not rated\n  kept by the judges, valid to people:     {}\n  rejected by the judges, "
        "valid to people: {}\n",
        report.people, report.unrated, share(report.kept), share(report.rejected));
    for (const auto& [votes, s] : report.by_votes) out += fmt::format("    votes {}: {}\n", votes, share(s));
    if (std::isfinite(report.kappa))
        out += fmt::format("  agreement of people with the judges (Cohen's kappa): {:.3f}\n", report.kappa);
    if (std::isfinite(report.kappa_between_people))
        out += fmt::format("  agreement of people with each other: {:.3f}\n", report.kappa_between_people);
    constexpr std::size_t shown = 10;
    bool first = true;
    for (std::size_t i = 0; i < std::min(shown, report.rejected_by_level1.size()); ++i) {
        const auto& [name, s] = report.rejected_by_level1[i];
        if (s.valid == 0) break;
        if (first) out += "  valid but rejected, by subject:\n";
        first = false;
        out += fmt::format("    {}: {} of {}\n", name, s.valid, s.rated);
    }
    return out;
}

}  // namespace tg::report
