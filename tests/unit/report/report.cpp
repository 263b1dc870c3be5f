#include "taskgalaxy/asking/expenses.hpp"
#include "taskgalaxy/report/report_stage.hpp"

#include <cmath>
#include <gtest/gtest.h>
#include <set>

#include "charts.hpp"
#include "findings.hpp"
#include "gallery.hpp"
#include "html.hpp"
#include "synthetic_run.hpp"
#include "taskgalaxy/core/error.hpp"
#include "taskgalaxy/core/text.hpp"
#include "taskgalaxy/report/summary.hpp"
#include "taskgalaxy/storage/publish.hpp"

namespace tg::report {
namespace {

using test::SyntheticRun;

// Every element that is opened is closed, in order; attributes are quoted; nothing but the five entities follows an
// ampersand.
void expect_well_formed(const std::string& html) {
    const std::set<std::string> empty_elements{"meta", "img", "br"};
    std::vector<std::string> open;
    for (std::size_t at = html.find("<style>"), end = at == html.npos ? 0 : html.find("</style>") + 8, i = 0;
         i < html.size();) {
        if (i == at) {  // a style sheet holds no markup
            i = end;
            continue;
        }
        if (html[i] == '&') {
            const auto semicolon = html.find(';', i);
            const auto name = html.substr(i, semicolon - i + 1);
            ASSERT_TRUE(name == "&amp;" || name == "&lt;" || name == "&gt;" || name == "&quot;" || name == "&#39;")
                << html.substr(i, 30);
            i = semicolon + 1;
        } else if (html[i] != '<') {
            ++i;
        } else if (html.compare(i, 9, "<!DOCTYPE") == 0) {
            i = html.find('>', i) + 1;
        } else {
            std::size_t j = i + 1;
            bool quoted = false;
            for (; j < html.size() && (quoted || html[j] != '>'); ++j)
                if (html[j] == '"') quoted = !quoted;
            ASSERT_LT(j, html.size()) << "an element is never closed: " << html.substr(i, 60);
            const bool closes = html[i + 1] == '/';
            const auto name_begin = i + 1 + closes;
            const auto name = html.substr(name_begin, html.find_first_of(" >/\n", name_begin) - name_begin);
            if (closes) {
                ASSERT_FALSE(open.empty()) << name;
                ASSERT_EQ(open.back(), name) << html.substr(i > 80 ? i - 80 : 0, 160);
                open.pop_back();
            } else if (html[j - 1] != '/' && !empty_elements.contains(name)) {
                open.push_back(name);
            }
            i = j + 1;
        }
    }
    EXPECT_TRUE(open.empty()) << open.back();
}

std::string make_page(SyntheticRun& run, ReportSettings settings = {}, run::Figures* figures = nullptr) {
    run::StageContext context{*run.ranks, run.paths, "report"};
    make_report_stage(settings, run.pool, run.truth)->run(context);
    if (figures) *figures = context.figures;
    return read_text_file(run.paths.report() / "index.html");
}

bool has(const std::string& text, std::string_view part) { return text.find(part) != text.npos; }

TEST(Report, of_a_whole_run_is_one_well_formed_page_that_fetches_nothing) {
    SyntheticRun run("whole");
    run.make_all();
    const auto page = make_page(run);
    expect_well_formed(page);
    for (const char* outside : {"http://", "https://", "<script", "<link", "url("})
        EXPECT_FALSE(has(page, outside)) << outside;
    EXPECT_FALSE(has(page, "Not run.")) << page.substr(page.find("Not run.") - 200, 300);
    EXPECT_TRUE(has(page, "data:image/jpeg;base64,"));
    EXPECT_TRUE(has(page, "broken &amp; &quot;cut&quot;.jpg"));
    EXPECT_TRUE(has(page, "weather &lt;reports&gt; &amp; &quot;more&quot;"));
    EXPECT_TRUE(has(page, "a &lt;note&gt;"));
    for (const char* table :
         {"types.csv", "level1_types.csv", "bad_pictures.csv", "votes.csv", "judges.csv", "bands.csv", "match_hits.csv",
          "screening.csv", "scores.csv", "costs.csv", "training.csv", "validation.csv", "stages.csv", "figures.csv"})
        EXPECT_TRUE(std::filesystem::exists(run.paths.report() / table)) << table;
    EXPECT_TRUE(
        has(read_text_file(run.paths.report() / "bad_pictures.csv"), "\"animals/birds/broken & \"\"cut\"\".jpg\""));
}

TEST(Report, is_the_same_again) {
    SyntheticRun run("again");
    run.make_all();
    auto first = make_page(run), second = make_page(run);
    const auto without_date = [](std::string text) { return text.erase(text.rfind("<footer>")); };
    EXPECT_EQ(without_date(first), without_date(second));
}

TEST(Report, of_a_run_that_has_not_begun_says_so_in_every_section) {
    SyntheticRun run("empty");
    run.truth.pictures.clear();
    EXPECT_EQ(run_summary(run.paths), fmt::format("  nothing has been run in {}\n", run.paths.root().string()));
    const auto page = make_page(run);
    expect_well_formed(page);
    std::size_t count = 0;
    for (auto at = page.find("Not run."); at != page.npos; at = page.find("Not run.", at + 1)) ++count;
    EXPECT_EQ(count, 13u);
}

TEST(Report, works_after_each_stage) {
    SyntheticRun run("partial");
    const auto expect_page = [&](const char* present, const char* absent) {
        const auto page = make_page(run);
        expect_well_formed(page);
        EXPECT_TRUE(has(page, present)) << present;
        if (absent) {
            EXPECT_TRUE(has(page, absent)) << absent;
        }
    };
    run.make_pool();
    expect_page("Pictures that cannot be used", nullptr);
    expect_page("pictures listed", "taxonomy.h5");
    const auto taxonomy = run.make_taxonomy();
    expect_page("Leaves under each level-1 type", "matches.h5");
    run.make_matches(taxonomy);
    expect_page("Similarity of pictures", "No model has been asked yet.");
    run.make_samples(taxonomy);
    expect_page("Votes for and against", "No model has been fine-tuned.");
    run.make_training();
    expect_page("smoothed", "No benchmark has been answered.");
    expect_page("Of the samples held out: <b>3.250</b> before, <b>0.750</b> after.", "No benchmark has been answered.");
    expect_page("MFU: model FLOP/s over the device's peak", "No benchmark has been answered.");
    run.make_evaluation();
    expect_page("Before and after fine-tuning", "The run has no record.");
}

TEST(Report, measures_screening_against_what_was_planted) {
    SyntheticRun run("screening");
    run.make_all();
    run::Figures figures;
    make_page(run, {}, &figures);
    const simulator::GroundTruth truth(run.truth);
    const auto data = report::RunData::read(run.paths);
    const auto found = report::find_out(data, {}, &truth);
    ASSERT_TRUE(found.screening);
    // Made so that exactly the planted ones are rejected.
    EXPECT_GT(found.screening->wrong_rejected, 0u);
    EXPECT_EQ(found.screening->wrong_kept, 0u);
    EXPECT_EQ(found.screening->right_rejected, 0u);
    EXPECT_EQ(found.screening->precision(), 1);
    EXPECT_EQ(found.screening->recall(), 1);
    EXPECT_EQ(found.screening->judged, data.curation->samples.size());
    const std::map<std::string, double> by_name(figures.begin(), figures.end());
    EXPECT_EQ(by_name.at("screening.recall"), 1);
    EXPECT_EQ(by_name.at("screening.planted_wrong"), static_cast<double>(found.screening->wrong_rejected));
}

TEST(Report, counts_what_it_says) {
    SyntheticRun run("counts");
    run.make_all();
    const auto data = report::RunData::read(run.paths);
    const simulator::GroundTruth truth(run.truth);
    const auto found = report::find_out(data, {}, &truth);
    EXPECT_EQ(data.pool->size(), 25u);
    EXPECT_EQ(data.pool->usable(), 24u);
    EXPECT_EQ(found.image_states[3], 1u);
    EXPECT_EQ(found.image_states[0] + found.image_states[1], 24u);
    EXPECT_NEAR(*found.none_rate(), static_cast<double>(found.image_states[1]) / 24, 1e-12);
    EXPECT_EQ(found.fitting, data.curation->samples.size());
    EXPECT_EQ(found.candidates, 24u * SyntheticRun::k);
    std::uint64_t kept = 0, by_branch = 0, votes = found.votes->missing;
    for (std::size_t row = 0; row < data.curation->samples.size(); ++row) kept += data.curation->samples.kept(row);
    for (const auto& branch : found.branches) by_branch += branch.kept;
    for (const auto count : found.votes->for_sample) votes += count;
    EXPECT_EQ(found.kept, kept);
    EXPECT_EQ(by_branch, kept);
    EXPECT_EQ(votes, data.curation->samples.size());
    std::uint64_t types = found.bands->none, samples = 0;
    for (const auto& [name, count] : found.bands->types) types += count;
    for (const auto& [name, count] : found.bands->samples) samples += count;
    EXPECT_EQ(types, found.leaves);
    EXPECT_EQ(samples, kept);
    EXPECT_NEAR(found.votes->agreement[0][1], 1, 1e-12);  // the first two always vote alike
    EXPECT_LT(found.votes->agreement[0][2], 1);
    EXPECT_EQ(found.usd, 0.25);
}

TEST(Report, counts_what_the_judge_of_the_benchmarks_was_paid) {
    SyntheticRun run("judge");
    run.make_all();
    asking::write_expenses(asking::expenses_file(run.paths, "evaluate"),
                           {{{"judge", "judge1"}, {.asked = 3, .usd = 0.5}}});
    EXPECT_EQ(report::find_out(report::RunData::read(run.paths), {}, nullptr).usd, 0.75);
    const auto summary = report::run_summary(run.paths);
    EXPECT_NE(summary.find("paid         $0.75"), summary.npos) << summary;
}

TEST(Report, measures_matching_on_the_held_out_pictures_and_against_chance) {
    SyntheticRun run("hits");
    run.make_all();
    const auto data = report::RunData::read(run.paths);
    const simulator::GroundTruth truth(run.truth);
    const auto all = report::find_out(data, {}, &truth).hits;
    ASSERT_TRUE(all);
    EXPECT_EQ(all->pictures, 24u);
    for (std::size_t r = 1; r < all->own_folder.size(); ++r) EXPECT_GE(all->own_folder[r], all->own_folder[r - 1]);
    EXPECT_GT(all->chance.back(), all->chance.front());

    ReportSettings settings;
    settings.held_out = run.folder / "held_out.txt";
    storage::publish_text(settings.held_out, "animals/birds/thing0.jpg\nvehicles/ships/thing12.jpg\n\nnot/there.jpg\n");
    const auto some = report::find_out(data, settings, &truth).hits;
    EXPECT_EQ(some->pictures, 2u);
    EXPECT_TRUE(some->held_out);
}

TEST(Report, chance_is_that_of_drawing_without_putting_back) {
    EXPECT_NEAR(report::chance_of_hit(10, 1, 1), 0.1, 1e-12);
    EXPECT_NEAR(report::chance_of_hit(10, 1, 5), 0.5, 1e-12);
    EXPECT_NEAR(report::chance_of_hit(10, 3, 2), 1 - 7.0 / 10 * 6 / 9, 1e-12);
    EXPECT_EQ(report::chance_of_hit(10, 3, 8), 1);
    EXPECT_EQ(report::chance_of_hit(10, 0, 10), 0);
    EXPECT_EQ(report::chance_of_hit(0, 0, 3), 0);
}

TEST(Report, gallery_draws_different_pictures_and_respects_its_size) {
    SyntheticRun run("gallery");
    run.make_all();
    const auto data = report::RunData::read(run.paths);
    const auto found = report::find_out(data, {}, nullptr);
    const auto rows = report::draw_samples(data, found, true, 7, 1);
    EXPECT_EQ(rows.size(), 7u);
    std::set<std::int64_t> images;
    for (const auto row : rows) {
        EXPECT_TRUE(data.curation->samples.kept(row));
        EXPECT_TRUE(images.insert(data.curation->samples.image(row)).second);
    }
    EXPECT_NE(rows, report::draw_samples(data, found, true, 7, 2));
    EXPECT_EQ(rows, report::draw_samples(data, found, true, 7, 1));
    for (const auto row : report::draw_samples(data, found, false, 100, 1))
        EXPECT_FALSE(data.curation->samples.kept(row));
}

TEST(Report, pictures_that_are_gone_leave_an_empty_frame) {
    SyntheticRun run("gone");
    run.make_all();
    std::filesystem::remove_all(run.pictures / "animals");
    const auto page = make_page(run);
    expect_well_formed(page);
    EXPECT_TRUE(has(page, "picture not at hand"));
}

TEST(Report, settings_are_checked_before_work) {
    ReportSettings settings;
    settings.ground_truth = TruthSource::folder;
    EXPECT_THROW(make_report_stage(settings, {})->check(), UsageError);
    settings.ground_truth = TruthSource::none;
    settings.held_out = "/nowhere/held_out.txt";
    EXPECT_THROW(make_report_stage(settings, {})->check(), InputError);
}

TEST(Summary, names_what_was_done) {
    SyntheticRun run("summary");
    run.make_all();
    run::Figures figures;
    make_page(run, {}, &figures);
    run.make_record(figures);
    const auto summary = run_summary(run.paths);
    for (const char* part :
         {"24 usable of 25 listed", "level 1: 3", "own folder among the first 4", "None rate", "kept", "recall 100.0 %",
          "$0.25", "first,", "stamps: 26.0 before, 81.5 after (579 questions)", "index.html"})
        EXPECT_TRUE(has(summary, part)) << part << "\n" << summary;
}

TEST(Html, escapes_and_repairs_texts) {
    EXPECT_EQ(report::escaped("a<b>&\"'"), "a&lt;b&gt;&amp;&quot;&#39;");
    EXPECT_EQ(report::escaped("caf\xC3\xA9"), "caf\xC3\xA9");
    EXPECT_EQ(report::escaped("x\xFFy\xC3"), "x\uFFFDy\uFFFD");
    EXPECT_EQ(report::escaped(std::string_view("a\0b\x1F", 4)),
              "a\uFFFD"
              "b\uFFFD");
    EXPECT_EQ(report::escaped("\xED\xA0\x80"), "\uFFFD\uFFFD\uFFFD");  // a surrogate
    EXPECT_EQ(report::whole(0), "0");
    EXPECT_EQ(report::whole(999), "999");
    EXPECT_EQ(report::whole(413648), "413,648");
    EXPECT_EQ(report::whole(1234567890), "1,234,567,890");
    EXPECT_EQ(report::percent(0.125), "12.5 %");
    EXPECT_EQ(report::percent(std::nan("")), "–");
    EXPECT_EQ(report::dollars(12.3456), "$12.35");
    EXPECT_EQ(report::dollars(51234.6), "$51,235");
}

TEST(Charts, ticks_are_round_and_inside) {
    EXPECT_EQ(report::ticks(0, 100, 6), (std::vector<double>{0, 20, 40, 60, 80, 100}));
    EXPECT_EQ(report::ticks(0, 1, 5).size(), 6u);
    for (const auto& [least, most] :
         {std::pair(0.231, 0.377), std::pair(-3.0, 17.0), std::pair(1.0, 300000.0), std::pair(0.0, 1e-5)}) {
        const auto all = report::ticks(least, most, 6);
        EXPECT_GE(all.size(), 2u);
        EXPECT_LE(all.size(), 7u);
        EXPECT_GE(all.front(), least - 1e-9 * (most - least));
        EXPECT_LE(all.back(), most + 1e-6 * (most - least));
    }
    EXPECT_EQ(report::ticks(2, 2, 5), (std::vector<double>{2}));
}

TEST(Charts, survive_nothing_and_what_is_no_number) {
    expect_well_formed(report::bar_list({}));
    expect_well_formed(report::bar_list({{"x", {{0, "c1", ""}}, ""}}));
    expect_well_formed(
        report::line_chart({"x", 0, 0, 0}, {"y", 0, 0, 0}, {{"s", "c1", {{0, std::nan("")}, {1, HUGE_VAL}}}}));
    expect_well_formed(report::histogram_chart({"x", 0, 1, 1}, {{"h", "c1", {}}}));
    expect_well_formed(report::change_chart({}));
    EXPECT_FALSE(has(report::line_chart({"x", 0, 1, 0}, {"y", 0, 1, 0}, {{"s", "c1", {{0, std::nan("")}}}}), "nan"));
}

}  // namespace
}  // namespace tg::report
