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
#include "taskgalaxy/pool/pool.hpp"
#include "taskgalaxy/run/stage.hpp"
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
        storage::publish_hdf5(paths.file("taxonomy.h5"), [&](storage::Hdf5File& out) { taxonomy.write(out); });
        return taxonomy;
    }

    void make_matches(const taxonomy::Taxonomy& taxonomy) {
        const pool::Pool opened(paths.file("pool.h5"), pool);
        const auto leaves = taxonomy.leaves();
        std::vector<std::int64_t> type(opened.size() * k);
        std::vector<float> score(opened.size() * k);
        RandomStream random(5);
        for (std::uint64_t i = 0; i < opened.size(); ++i)
            for (std::uint64_t r = 0; r < k; ++r) {
                type[i * k + r] =
                    opened.usable(i) ? static_cast<std::int64_t>(leaves[random.below(leaves.size())]) : -1;
                score[i * k + r] = static_cast<float>(0.3 - 0.02 * static_cast<double>(r) + 0.05 * random.unit());
            }
        storage::publish_hdf5(paths.file("matches.h5"), [&](storage::Hdf5File& out) {
            const std::uint64_t shape[] = {opened.size(), k};
            out.write("type", std::span<const std::int64_t>(type), shape);
            out.write("score", std::span<const float>(score), shape);
        });
    }

    // Every other candidate fits; the simulator's own questions and answers; planted wrong answers get votes 0 0 1,
    // others 1 1 0 and 1 1 1.
    void make_samples(const taxonomy::Taxonomy& taxonomy) {
        const pool::Pool opened(paths.file("pool.h5"), pool);
        const simulator::GroundTruth known(truth);
        const auto matched = storage::Hdf5File::open(paths.file("matches.h5")).read<std::int64_t>("type");
        std::vector<std::int64_t> image, type;
        std::vector<std::string> question, answer;
        std::vector<std::uint8_t> votes, kept, state, image_state, candidate_kept(opened.size() * k);
        for (std::uint64_t i = 0; i < opened.size(); ++i) {
            if (!opened.usable(i)) {
                image_state.push_back(3);
                continue;
            }
            image_state.push_back(i % 6 == 5 ? 1 : 0);
            if (i % 6 == 5) continue;
            for (std::uint64_t r = 0; r < k; r += 2) {
                candidate_kept[i * k + r] = 1;
                const auto made = known.sample(*known.find(opened.uri(i)),
                                               taxonomy.path(static_cast<std::size_t>(matched[i * k + r])));
                image.push_back(static_cast<std::int64_t>(i));
                type.push_back(matched[i * k + r]);
                question.push_back(made.question);
                answer.push_back(made.answer);
                state.push_back(0);
                const std::uint8_t last = made.planted_wrong ? 1 : static_cast<std::uint8_t>(i % 2);
                for (const std::uint8_t vote : {static_cast<std::uint8_t>(!made.planted_wrong),
                                                static_cast<std::uint8_t>(!made.planted_wrong), last})
                    votes.push_back(vote);
                kept.push_back(!made.planted_wrong);
            }
        }
        storage::publish_hdf5(paths.file("samples.h5"), [&](storage::Hdf5File& out) {
            out.write("image", image);
            out.write("type", type);
            out.write_texts("question", question);
            out.write_texts("answer", answer);
            const std::uint64_t votes_shape[] = {image.size(), judges}, kept_shape[] = {opened.size(), k};
            out.write("votes", std::span<const std::uint8_t>(votes), votes_shape);
            out.write("kept", kept);
            out.write("state", state);
            out.write("refine/state", image_state);
            out.write("refine/kept", std::span<const std::uint8_t>(candidate_kept), kept_shape);
            out.set_attribute("judges", "judge1,judge2,judge3");
        });
    }

    void make_training() {
        std::vector<double> step, loss, lr, speed;
        for (int i = 1; i <= 300; ++i) {
            step.push_back(i);
            loss.push_back(0.4 + 3 * std::exp(-i / 60.0) + 0.2 * random_unit(9, static_cast<std::uint64_t>(i)));
            lr.push_back(2e-5 * std::min(1.0, i / 9.0) * (1 + std::cos(3.14159 * i / 300)) / 2);
            speed.push_back(1000 + 100 * random_unit(11, static_cast<std::uint64_t>(i)));
        }
        storage::publish_hdf5(paths.file("training_log.h5"), [&](storage::Hdf5File& out) {
            out.write("step", step);
            out.write("loss", loss);
            out.write("lr", lr);
            out.write("tokens_per_s", speed);
            out.write("mfu", std::vector<double>(300, 0.42));
            out.write("validation/step", std::vector<double>{0, 150, 300});
            out.write("validation/loss", std::vector<double>{3.25, 1.5, 0.75});
        });
    }

    void make_evaluation() {
        storage::publish_hdf5(paths.file("evaluation.h5"), [&](storage::Hdf5File& out) {
            out.write_texts("model", {"base", "base", "base", "tuned", "tuned", "tuned"});
            out.write_texts("benchmark", {"stamps", "pope", "mmvet", "stamps", "pope", "mmvet"});
            out.write_texts("kind", {"choice", "pope", "mmvet", "choice", "pope", "mmvet"});
            out.write_texts("title", {"Multiple choice", "POPE", "MM-Vet", "Multiple choice", "POPE", "MM-Vet"});
            out.write_texts("rule", std::vector<std::string>(6, "a rule"));
            out.write_texts("state", {"done", "done", "not run: it needs a judge (evaluate.judge)", "done", "done",
                                      "not run: it needs a judge (evaluate.judge)"});
            out.write_texts("note", {"", "a <note>", "", "", "a <note>", ""});
            out.write_texts("headline", {"overall", "f1", "", "overall", "f1", ""});
            out.write("value", std::vector<double>{26, 60, 0, 81.5, 55, 0});
            out.write("full", std::vector<double>(6, 100));
            out.write("score", std::vector<double>{26, 60, 0, 81.5, 55, 0});
            out.write("questions", std::vector<std::uint64_t>(6, 579));
            out.write("unread", std::vector<std::uint64_t>{3, 0, 0, 0, 0, 0});
            out.write("seconds", std::vector<double>(6, 1));
            out.write("in_mean", std::vector<std::uint8_t>(6, 1));
            out.write_texts("figures/model", {"base", "tuned"});
            out.write_texts("figures/benchmark", {"stamps", "stamps"});
            out.write_texts("figures/name", {"overall", "overall"});
            out.write("figures/value", std::vector<double>{26, 81.5});
            out.write("figures/full", std::vector<double>{100, 100});
            out.write("figures/items", std::vector<std::uint64_t>{579, 579});
            out.write_texts("means/model", {"base", "tuned"});
            out.write_texts("means/name", {"all benchmarks", "all benchmarks"});
            out.write("means/value", std::vector<double>{43, 68.25});
            out.write_texts("means/benchmarks", {"stamps, pope", "stamps, pope"});
            out.set_attribute("convention", "vlmevalkit");
            out.set_attribute("prompts", "llava");
            out.set_attribute("judge", "");
        });
    }

    void make_record(const run::Figures& report_figures = {}) {
        storage::publish_hdf5(paths.file("run.h5"), [&](storage::Hdf5File& out) {
            out.write_texts("stage", {"ingest", "match", "report"});
            out.write_texts("fingerprint", {"00ff00ff", "11ee11ee", "22dd22dd"});
            out.write_texts("finished", {"2026-01-31T08:15:00Z", "2026-01-31T08:16:00Z", "2026-01-31T08:20:00Z"});
            out.write("seconds", std::vector<double>{12.5, 61, 3});
            std::vector<std::string> stages{"ingest"}, names{"images"};
            std::vector<double> values{24};
            for (const auto& [name, value] : report_figures) {
                stages.push_back("report");
                names.push_back(name);
                values.push_back(value);
            }
            out.write_texts("figures/stage", stages);
            out.write_texts("figures/name", names);
            out.write("figures/value", values);
            out.write_texts("provenance/key", {"version", "libraries"});
            out.write_texts("provenance/text", {"0.1.0", "HDF5 <1.10>"});
            out.set_attribute("job", "jobs/test.cfg");
        });
        storage::publish_text(
            paths.file("costs") / "curate.json",
            R"([{"stage":"refine","endpoint":"generator","asked":24,"answered":24,"from_journal":0,"failed":0,)"
            R"("sent":25,"retries":1,"asked_again":0,"rate_limited":0,"tokens_in":24000,"tokens_out":800,)"
            R"("usd":0.25,"price_known":true}])");
        storage::publish_text(paths.file("job.cfg"), "[match]\nk = 4\n");
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
