// A run directory without a run: small pictures in folders, and every HDF5 file that the stages would have left, with
// chosen contents.
#pragma once

#include <cmath>
#include <filesystem>
#include <fmt/format.h>
#include <fstream>
#include <string>
#include <vector>

#include "taskgalaxy/core/random.hpp"
#include "taskgalaxy/ingest/ingest_stage.hpp"
#include "taskgalaxy/parallel/communicator.hpp"
#include "taskgalaxy/pictures/image.hpp"
#include "sample_figures.hpp"
#include "taskgalaxy/pool/pool.hpp"
#include "taskgalaxy/run/evaluation_table.hpp"
#include "taskgalaxy/run/match_table.hpp"
#include "taskgalaxy/run/record.hpp"
#include "taskgalaxy/run/sample_table.hpp"
#include "taskgalaxy/run/stage.hpp"
#include "taskgalaxy/run/training_log_table.hpp"
#include "taskgalaxy/simulator/ground_truth.hpp"
#include "taskgalaxy/storage/publish.hpp"
#include "taskgalaxy/taxonomy/taxonomy.hpp"

namespace tg::test {

struct SyntheticRun {
    std::filesystem::path folder, pictures;
    run::Paths paths;
    pool::PoolSettings pool;
    simulator::GroundTruthSettings truth;
    std::unique_ptr<parallel::Communicator> ranks = parallel::make_solo();
    static constexpr std::uint64_t k = 4;
    static constexpr std::size_t judges = 3;

    explicit SyntheticRun(const std::string& name)
        : folder(std::filesystem::temp_directory_path() / ("taskgalaxy_" + name + "_" + std::to_string(::getpid()))),
          pictures(folder / "pictures"),
          paths(folder / "run") {
        std::filesystem::remove_all(folder);
        std::filesystem::create_directories(paths.root());
        pool.sources = {pictures.string()};
        pool.threads = 1;
        truth.pictures = pictures;
    }
    ~SyntheticRun() { std::filesystem::remove_all(folder); }

    // Two tops with two groups each; one file that is no picture.
    void make_pictures() {
        int number = 0;
        for (const char* group : {"animals/birds", "animals/fish", "vehicles/ships", "vehicles/trains"})
            for (int i = 0; i < 6; ++i, ++number) {
                pictures::Image image{.width = 48, .height = 32, .rgb = std::vector<std::uint8_t>(48 * 32 * 3)};
                for (std::size_t p = 0; p < image.rgb.size(); ++p)
                    image.rgb[p] = static_cast<std::uint8_t>(p % 3 == 0   ? number * 10
                                                             : p % 3 == 1 ? p / 20
                                                                          : 200 - number * 5);
                const auto file = pictures / group / fmt::format("thing{}.jpg", number);
                std::filesystem::create_directories(file.parent_path());
                const auto bytes = pictures::encode_jpeg(image, 80);
                std::ofstream(file, std::ios::binary)
                    .write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
                std::ofstream(pictures / group / fmt::format("thing{}.txt", number))
                    << "A thing called <" << number << ">.\n";
            }
        std::ofstream(pictures / "animals/birds/broken & \"cut\".jpg") << "no picture";
    }

    void make_pool() {
        make_pictures();
        run::StageContext context{*ranks, paths, "ingest"};
        ingest::make_ingest_stage(pool)->run(context);
    }

    taxonomy::Taxonomy make_taxonomy() {
        const simulator::GroundTruth known(truth);
        std::vector<std::string> all;
        for (const char* top : {"animal recognition", "vehicle recognition", "weather <reports> & \"more\""}) {
            all.emplace_back(top);
            for (const auto& second : known.children(top)) {
                all.push_back(second);
                for (const auto& third : known.children(second)) all.push_back(third);
            }
        }
        taxonomy::Taxonomy taxonomy(all);
        storage::publish_hdf5(paths.file(run::files::taxonomy), [&](storage::Hdf5File& out) { taxonomy.write(out); });
        return taxonomy;
    }

    void make_matches(const taxonomy::Taxonomy& taxonomy) {
        const pool::Pool opened(paths.file(run::files::pool), pool);
        const auto leaves = taxonomy.leaves();
        run::MatchRows matches{opened.size(), k, std::vector<std::int64_t>(opened.size() * k),
                               std::vector<float>(opened.size() * k)};
        RandomStream random(5);
        for (std::uint64_t i = 0; i < opened.size(); ++i)
            for (std::uint64_t r = 0; r < k; ++r) {
                matches.type[i * k + r] =
                    opened.usable(i) ? static_cast<std::int64_t>(leaves[random.below(leaves.size())]) : -1;
                matches.score[i * k + r] =
                    static_cast<float>(0.3 - 0.02 * static_cast<double>(r) + 0.05 * random.unit());
            }
        storage::publish_hdf5(paths.file(run::files::matches),
                              [&](storage::Hdf5File& out) { run::write_matches(out, matches); });
    }

    // Every other candidate fits; the simulator's own questions and answers; planted wrong answers get votes 0 0 1,
    // others 1 1 0 and 1 1 1.
    void make_samples(const taxonomy::Taxonomy& taxonomy) {
        const pool::Pool opened(paths.file(run::files::pool), pool);
        const simulator::GroundTruth known(truth);
        const auto matched = run::MatchTable(paths.file(run::files::matches)).rows().type;
        run::SampleRows samples{.judges = judges};
        run::RefineRows refined{.k = k, .kept = std::vector<std::uint8_t>(opened.size() * k)};
        for (std::uint64_t i = 0; i < opened.size(); ++i) {
            if (!opened.usable(i)) {
                refined.state.push_back(3);
                continue;
            }
            refined.state.push_back(i % 6 == 5 ? 1 : 0);
            if (i % 6 == 5) continue;
            for (std::uint64_t r = 0; r < k; r += 2) {
                refined.kept[i * k + r] = 1;
                const auto made = known.sample(*known.find(opened.uri(i)),
                                               taxonomy.path(static_cast<std::size_t>(matched[i * k + r])));
                samples.image.push_back(static_cast<std::int64_t>(i));
                samples.type.push_back(matched[i * k + r]);
                samples.question.push_back(made.question);
                samples.answer.push_back(made.answer);
                samples.state.push_back(0);
                const std::uint8_t last = made.planted_wrong ? 1 : static_cast<std::uint8_t>(i % 2);
                for (const std::uint8_t vote : {static_cast<std::uint8_t>(!made.planted_wrong),
                                                static_cast<std::uint8_t>(!made.planted_wrong), last})
                    samples.votes.push_back(vote);
                samples.kept.push_back(!made.planted_wrong);
            }
        }
        storage::publish_hdf5(paths.file(run::files::samples), [&](storage::Hdf5File& out) {
            run::write_samples(out, samples, refined, {});
            run::write_sample_figures(out, sample_figures({"judge1", "judge2", "judge3"}));
        });
    }

    void make_training() {
        run::TrainingLogTable log;
        for (int i = 1; i <= 300; ++i)
            log.steps.push_back(
                {.step = static_cast<double>(i),
                 .loss = 0.4 + 3 * std::exp(-i / 60.0) + 0.2 * random_unit(9, static_cast<std::uint64_t>(i)),
                 .lr = 2e-5 * std::min(1.0, i / 9.0) * (1 + std::cos(3.14159 * i / 300)) / 2,
                 .tokens_per_s = 1000 + 100 * random_unit(11, static_cast<std::uint64_t>(i)),
                 .mfu = 0.42});
        log.validation = {{0, 3.25, 100}, {150, 1.5, 100}, {300, 0.75, 100}};
        run::write_training_log(paths.file(run::files::training_log), log, {});
    }

    void make_evaluation() {
        run::EvaluationTable table{.convention = "vlmevalkit", .prompts = "llava", .judge = ""};
        const auto add = [&](const char* model, double stamps, std::uint64_t unread, double pope) {
            const auto row = [&](const char* benchmark, const char* kind, const char* title, const char* note,
                                 const char* headline, double value, std::uint64_t not_understood) {
                table.rows.push_back({.model = model,
                                      .benchmark = benchmark,
                                      .kind = kind,
                                      .title = title,
                                      .rule = "a rule",
                                      .state = "done",
                                      .note = note,
                                      .headline = headline,
                                      .value = value,
                                      .full = 100,
                                      .score = value,
                                      .questions = 579,
                                      .unread = not_understood,
                                      .seconds = 1});
            };
            row("stamps", "choice", "Multiple choice", "", "overall", stamps, unread);
            row("pope", "pope", "POPE", "a <note>", "f1", pope, 0);
            row("mmvet", "mmvet", "MM-Vet", "", "", 0, 0);
            table.rows.back().state = "not run: it needs a judge (evaluate.judge)";
            table.figures.push_back({model, "stamps", "overall", stamps, 100, 579});
            table.means.push_back({model, "all benchmarks", (stamps + pope) / 2, "stamps, pope"});
        };
        add("base", 26, 3, 60);
        add("tuned", 81.5, 0, 55);
        table.write(paths.file(run::files::evaluation));
    }

    void make_record(const run::Figures& report_figures = {}) {
        run::Record record(paths.file(run::files::record));
        record.set("ingest", {"00ff00ff", "2026-01-31T08:15:00Z", 12.5, {{"images", 24}}});
        record.set("match", {"11ee11ee", "2026-01-31T08:16:00Z", 61, {}});
        record.set("report", {"22dd22dd", "2026-01-31T08:20:00Z", 3, report_figures});
        record.provenance() = {{"version", "0.1.0"}, {"libraries", "HDF5 <1.10>"}, {"job", "jobs/test.cfg"}};
        record.save();
        storage::publish_text(
            paths.file("costs") / "curate.json",
            R"([{"stage":"refine","endpoint":"generator","asked":24,"answered":24,"from_journal":0,"failed":0,)"
            R"("sent":25,"retries":1,"asked_again":0,"rate_limited":0,"tokens_in":24000,"tokens_out":800,)"
            R"("usd":0.25,"price_known":true}])");
        storage::publish_text(paths.file(run::files::job), "[match]\nk = 4\n");
    }

    void make_all() {
        make_pool();
        const auto taxonomy = make_taxonomy();
        make_matches(taxonomy);
        make_samples(taxonomy);
        make_training();
        make_evaluation();
        make_record();
    }
};

}  // namespace tg::test
