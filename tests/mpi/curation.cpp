// Expansion and curation against the simulator, on every number of ranks and of API ranks: the same taxonomy.h5 and
// samples.h5 as one process alone; after a stop nothing is bought twice; a failure on an API rank ends the stage on all
// ranks alike.
#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <fmt/format.h>
#include <fstream>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <numeric>
#include <optional>
#include <unistd.h>

#include "mpi_world.hpp"
#include "taskgalaxy/core/random.hpp"
#include "taskgalaxy/curation/curate_stage.hpp"
#include "taskgalaxy/curation/expand_stage.hpp"
#include "taskgalaxy/ingest/ingest_stage.hpp"
#include "taskgalaxy/pictures/image.hpp"
#include "taskgalaxy/pool/pool_table.hpp"
#include "taskgalaxy/run/match_table.hpp"
#include "taskgalaxy/simulator/ground_truth.hpp"
#include "taskgalaxy/simulator/simulator.hpp"
#include "taskgalaxy/storage/publish.hpp"
#include "taskgalaxy/taxonomy/taxonomy.hpp"

namespace tg {
namespace {

using test::world;
namespace fs = std::filesystem;

// A pool of little pictures, the simulator in rank 0's process, and a job that asks it. Made once for all tests.
struct House {
    fs::path root;
    pool::PoolSettings pool;
    simulator::GroundTruthSettings truth;
    std::optional<simulator::Simulator> simulator;
    std::atomic<std::uint64_t> answered{0};
    std::map<std::string, llm::EndpointSettings> endpoints;
    llm::ApiSettings api;
    curation::ExpandSettings expand;
    curation::CurateSettings curate;
    curation::PromptSettings prompts;

    House() {
        std::string name, url;
        if (world().is_root()) {
            name = (fs::temp_directory_path() / "tg_curation_XXXXXX").string();
            if (::mkdtemp(name.data()) == nullptr) std::abort();
            make_pictures(fs::path(name) / "pictures");
            truth.pictures = fs::path(name) / "pictures";
            simulator::SimulatorSettings settings;
            settings.threads = 8;
            settings.chatter = 0.1, settings.refusal = 0.01, settings.error_500 = 0.02;
            simulator.emplace(settings, [this, answer = simulator::ground_truth_answers(truth)](
                                            const simulator::SimulatedCall& call) {
                ++answered;
                return answer(call);
            });
            url = simulator->url();
        }
        root = world().broadcast<std::string>(name);
        url = world().broadcast<std::string>(url);
        truth.pictures = root / "pictures";
        pool.sources = {(root / "pictures").string()};
        for (const auto* endpoint : {"generator", "judge1", "judge2", "judge3"}) {
            auto& settings = endpoints[endpoint];
            settings.urls = {url};
            settings.model = endpoint;
            settings.concurrency = 8;
            settings.price_in = 1, settings.price_out = 2;
        }
        api.backoff_first_s = 0.01, api.backoff_longest_s = 0.05;
        expand.seeds = root / "seeds.txt";
        if (world().is_root()) std::ofstream(expand.seeds) << "animal recognition\nfood recognition\nobject counting\n";
        expand.level1_target = 4, expand.level2_target = 20, expand.level3_target = 60;
        expand.names_per_request = 6;
        curate.refine.images_per_part = 7;
        curate.refine.candidates_per_request = 4;
        curate.refine.max_none_rate = 1;
        prompts.folder = std::string(TG_SOURCE_DIR) + "/inputs/prompts";
        world().barrier();
    }

    static void make_pictures(const fs::path& folder) {
        std::uint64_t seed = 1;
        for (const auto* place :
             {"animals/birds", "animals/fish", "animals/mammals/dogs", "food/fruit", "food/nuts", "town"})
            for (int i = 0; i < 6; ++i) {
                pictures::Image image{48, 40, {}};
                for (int y = 0; y < image.height; ++y)
                    for (int x = 0; x < image.width; ++x)
                        for (std::uint64_t c = 0; c < 3; ++c)
                            image.rgb.push_back(static_cast<std::uint8_t>(
                                random_bits(seed, static_cast<std::uint64_t>(y / 8 * 10 + x / 8) * 3 + c)));
                ++seed;
                const auto file = folder / place / fmt::format("picture{}.jpg", i);
                fs::create_directories(file.parent_path());
                auto bytes = pictures::encode_jpeg(image, 90);
                if (seed == 20) bytes.resize(bytes.size() / 2);  // one that cannot be used
                std::ofstream(file, std::ios::binary)
                    .write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
            }
    }

    void ingest_and_expand(const fs::path& run, const parallel::Communicator& ranks) const {
        run::StageContext context{ranks, run::Paths(run), "fingerprint"};
        ingest::make_ingest_stage(pool)->run(context);
        run::StageContext next{ranks, run::Paths(run), "fingerprint"};
        curation::make_expand_stage(expand, prompts, endpoints, api)->run(next);
    }

    // Candidates as a middling CLIP would give them: any leaves, with the true folder's among them. Row count and k as
    // matching has it.
    static void make_matches(const fs::path& run, std::uint64_t k, const parallel::Communicator& ranks) {
        parallel::together(ranks, [&] {
            if (!ranks.is_root()) return;
            const auto leaves = taxonomy::Taxonomy::read(run / "taxonomy.h5").leaves();
            const auto status = pool::PoolTable::read(run / run::files::pool).status;
            run::MatchRows matches{status.size(), k, {}, std::vector<float>(status.size() * k)};
            for (std::size_t image = 0; image < status.size(); ++image) {
                std::vector<std::size_t> order(leaves.size());
                std::iota(order.begin(), order.end(), std::size_t{0});
                shuffle(order, image);
                for (std::uint64_t i = 0; i < k; ++i)
                    matches.type.push_back(status[image] == 0 ? static_cast<std::int64_t>(leaves[order[i]]) : -1);
            }
            storage::publish_hdf5(run / run::files::matches,
                                  [&](storage::Hdf5File& file) { run::write_matches(file, matches); });
        });
    }

    run::Figures curate_in(const fs::path& run, const parallel::Communicator& ranks) const {
        run::StageContext context{ranks, run::Paths(run), "fingerprint"};
        curation::make_curate_stage(curate, prompts, pool, endpoints, api)->run(context);
        return context.figures;
    }
};

House& house() {
    static std::optional<House> one;
    if (!one) one.emplace();
    return *one;
}

// Every dataset of the file as text; but not the notes on how the answers were worded, which change with each asking.
std::map<std::string, std::string> columns_of(const fs::path& path) {
    std::map<std::string, std::string> columns;
    const auto file = storage::Hdf5File::open(path);
    for (const auto& set : file.datasets()) {
        if (set.name.starts_with("figures/notes")) continue;
        auto& text = columns[set.name];
        for (const auto dimension : set.shape) text += std::to_string(dimension) + " ";
        const auto add = [&](const auto& values) {
            for (const auto value : values) text += fmt::format("{},", value);
        };
        switch (set.type) {
            case storage::Hdf5Type::u8: add(file.read<std::uint8_t>(set.name)); break;
            case storage::Hdf5Type::u32: add(file.read<std::uint32_t>(set.name)); break;
            case storage::Hdf5Type::i64: add(file.read<std::int64_t>(set.name)); break;
            case storage::Hdf5Type::f32: add(file.read<float>(set.name)); break;
            case storage::Hdf5Type::f64: add(file.read<double>(set.name)); break;
            default: ADD_FAILURE() << set.name << " has a type that this test does not read";
        }
    }
    for (const auto* name : {"none_rate", "kept_rate", "fleiss_kappa"})
        if (file.has_attribute(name)) columns[std::string("@") + name] = fmt::format("{}", file.double_attribute(name));
    return columns;
}

void expect_same_columns(const fs::path& got, const fs::path& wanted) {
    auto left = columns_of(got), right = columns_of(wanted);
    EXPECT_GT(right.size(), 2u);
    for (auto* columns : {&left, &right})
        for (const auto& [name, text] : *columns)
            EXPECT_TRUE(left[name] == right[name]) << name << " of " << got << " differs from that of " << wanted;
}

// The reference: rank 0 alone.
const fs::path& alone() {
    static const fs::path run = [] {
        auto path = house().root / "alone";
        parallel::together(world(), [&] {
            if (!world().is_root()) return;
            const auto solo = parallel::make_solo();
            house().ingest_and_expand(path, *solo);
            House::make_matches(path, 8, *solo);
            house().curate_in(path, *solo);
        });
        return path;
    }();
    return run;
}

TEST(curation, gives_the_same_files_on_any_number_of_ranks_and_api_ranks) {
    alone();
    for (const std::string asking : {"1", "2", "node"}) {
        if (asking == "2" && world().size() < 2) continue;
        auto& job = house();
        const auto before = job.api.ranks;
        job.api.ranks = asking;
        const auto run = job.root / ("together_" + asking);
        job.ingest_and_expand(run, world());
        House::make_matches(run, 8, world());
        const auto figures = job.curate_in(run, world());
        job.api.ranks = before;
        if (world().is_root()) {
            expect_same_columns(run / "taxonomy.h5", alone() / "taxonomy.h5");
            expect_same_columns(run / "samples.h5", alone() / "samples.h5");
            EXPECT_GT(columns_of(run / "samples.h5").size(), 15u);
            EXPECT_FALSE(fs::exists(run / "parts/curate"));
            EXPECT_TRUE(fs::exists(run / "costs/curate.json"));
        }
        // Rank 0 has the figures whichever rank asked; and every rank has the same.
        const auto none =
            std::find_if(figures.begin(), figures.end(), [](const auto& f) { return f.first == "refine.none_rate"; });
        ASSERT_NE(none, figures.end());
        EXPECT_EQ(world().max(none->second), none->second);
    }
}

TEST(curation, makes_a_taxonomy_and_samples_worth_looking_at) {
    alone();
    if (world().is_root()) {
        const auto taxonomy = taxonomy::Taxonomy::read(alone() / "taxonomy.h5");
        EXPECT_GE(taxonomy.size(), 40u);
        const auto samples = storage::Hdf5File::open(alone() / "samples.h5");
        EXPECT_GT(samples.rows("image"), 20u);
        EXPECT_EQ(samples.shape("votes")[1], 3u);
        const auto kept = samples.read<std::uint8_t>("kept");
        const auto all = std::accumulate(kept.begin(), kept.end(), 0);
        EXPECT_GT(all, 10);
        EXPECT_LT(all, static_cast<int>(kept.size()));
        const auto states = samples.read<std::uint8_t>("refine/state");
        EXPECT_EQ(std::count(states.begin(), states.end(), 3), 1);  // the picture that was cut in half
        // Screening throws out most of what was planted, and little else.
        const simulator::GroundTruth truth(house().truth);
        const auto uris = storage::Hdf5File::open(alone() / "pool.h5").read_texts("uri");
        const auto image = samples.read<std::int64_t>("image"), type = samples.read<std::int64_t>("type");
        int planted = 0, caught = 0, good = 0, lost = 0;
        for (std::size_t i = 0; i < kept.size(); ++i) {
            const auto picture = truth.find(uris[static_cast<std::size_t>(image[i])]);
            ASSERT_TRUE(picture);
            const bool wrong = truth.planted_wrong(*picture, taxonomy.path(static_cast<std::size_t>(type[i])));
            (wrong ? planted : good) += 1;
            (wrong ? caught : lost) += kept[i] == 0;
        }
        EXPECT_GT(planted, 2);
        EXPECT_GT(caught * 2, planted);
        EXPECT_LT(lost * 5, good);
    }
    world().barrier();
}

TEST(curation, buys_nothing_twice_when_it_goes_on_or_a_judge_or_k_changes) {
    alone();
    auto& job = house();
    const auto run = job.root / "again";
    if (world().is_root()) {
        fs::create_directories(run);
        for (const auto* file : {"pool.h5", "taxonomy.h5", "matches.h5"}) fs::copy_file(alone() / file, run / file);
        fs::copy(alone() / "journal", run / "journal");
    }
    world().barrier();
    const auto asked = [&](const auto& change) {
        const auto before = job.answered.load();
        change();
        world().barrier();
        return world().max(static_cast<std::int64_t>(job.answered.load() - before));
    };
    EXPECT_EQ(asked([&] { job.curate_in(run, world()); }), 0);
    if (world().is_root()) {
        expect_same_columns(run / "samples.h5", alone() / "samples.h5");
    }

    // Another third judge: it is asked about each generated sample, and nobody else is.
    const auto judges = job.curate.screen.judges;
    job.endpoints["judge4"] = job.endpoints["judge3"];
    job.endpoints["judge4"].model = "judge4";
    job.curate.screen.judges = {"judge1", "judge2", "judge4"};
    const auto by_new_judge = asked([&] { job.curate_in(run, world()); });
    std::int64_t generated = 0;
    if (world().is_root())
        for (const auto length : storage::Hdf5File::open(run / "samples.h5").read<std::uint32_t>("question/lengths"))
            generated += length > 0;
    generated = world().max(generated);
    EXPECT_GE(by_new_judge, generated);
    EXPECT_LE(by_new_judge, generated + generated / 5 + 3);  // some answers are asked for again: refusals
    job.curate.screen.judges = judges;

    // Twelve candidates instead of eight: the third block of four is new, the first two are not asked again.
    House::make_matches(run, 12, world());
    const auto for_new_candidates = asked([&] { job.curate_in(run, world()); });
    EXPECT_GT(for_new_candidates, 0);
    if (world().is_root()) {
        const auto old = columns_of(alone() / "samples.h5");
        const auto file = storage::Hdf5File::open(run / "samples.h5");
        EXPECT_EQ(file.shape("refine/kept")[1], 12u);
        const auto added = file.rows("image") - storage::Hdf5File::open(alone() / "samples.h5").rows("image");
        const auto images = file.rows("refine/state");
        // One refinement an image, one generation at most, three votes a new sample; and some asked again.
        EXPECT_LE(for_new_candidates, static_cast<std::int64_t>(images + images + 3 * added) * 6 / 5);
    }
    world().barrier();
}

TEST(curation, stopped_by_its_budget_ends_well_and_goes_on_to_the_same_result) {
    alone();
    auto& job = house();
    const auto run = job.root / "budget";
    if (world().is_root()) {
        fs::create_directories(run);
        for (const auto* file : {"pool.h5", "taxonomy.h5", "matches.h5"}) fs::copy_file(alone() / file, run / file);
    }
    world().barrier();
    job.api.budget_usd = 0.02;
    int stops = 0;
    try {
        job.curate_in(run, world());
    } catch (const parallel::AgreedFailure& failure) {
        ++stops;
        EXPECT_EQ(failure.code(), ExitCode::done);
        EXPECT_THAT(failure.what(), ::testing::HasSubstr("budget"));
    }
    EXPECT_EQ(stops, 1);
    EXPECT_FALSE(fs::exists(run / "samples.h5"));
    job.api.budget_usd = 0;
    job.curate_in(run, world());
    if (world().is_root()) {
        expect_same_columns(run / "samples.h5", alone() / "samples.h5");
    }
    world().barrier();
}

TEST(curation, raises_the_alarm_of_too_many_nones_on_every_rank) {
    alone();
    auto& job = house();
    const auto run = job.root / "alarm";
    if (world().is_root()) {
        fs::create_directories(run);
        for (const auto* file : {"pool.h5", "taxonomy.h5", "matches.h5"}) fs::copy_file(alone() / file, run / file);
        fs::copy(alone() / "journal", run / "journal");
    }
    world().barrier();
    job.curate.refine.max_none_rate = 0.01;
    for (const int after : {5, 1000}) {  // while it runs, and at its end
        job.curate.refine.none_rate_after = after;
        try {
            job.curate_in(run, world());
            FAIL() << "no alarm";
        } catch (const parallel::AgreedFailure& failure) {
            EXPECT_EQ(failure.code(), ExitCode::input);
            EXPECT_THAT(failure.what(), ::testing::HasSubstr("refine.max_none_rate"));
        }
    }
    job.curate.refine.max_none_rate = 1;
    job.curate_in(run, world());
    if (world().is_root()) {
        expect_same_columns(run / "samples.h5", alone() / "samples.h5");
    }
    world().barrier();
}

TEST(curation, fails_alike_on_every_rank_when_an_endpoint_is_dead) {
    alone();
    auto& job = house();
    const auto run = job.root / "dead";
    if (world().is_root()) {
        fs::create_directories(run);
        for (const auto* file : {"pool.h5", "taxonomy.h5", "matches.h5"}) fs::copy_file(alone() / file, run / file);
    }
    world().barrier();
    auto endpoints = job.endpoints;
    endpoints["judge2"].urls = {"http://127.0.0.1:9/v1"};
    auto api = job.api;
    api.first_answer_s = 0.5, api.attempts = 2;
    run::StageContext context{world(), run::Paths(run), "fingerprint"};
    try {
        curation::make_curate_stage(job.curate, job.prompts, job.pool, endpoints, api)->run(context);
        FAIL() << "the endpoint does not listen";
    } catch (const parallel::AgreedFailure& failure) {
        EXPECT_EQ(failure.code(), ExitCode::endpoint);
        EXPECT_THAT(failure.what(), ::testing::HasSubstr("judge2"));
    }
}

TEST(a_pilot, asks_about_so_many_images_and_feeds_the_plan) {
    alone();
    auto& job = house();
    const auto run = job.root / "pilot";
    if (world().is_root()) {
        fs::create_directories(run);
        for (const auto* file : {"pool.h5", "taxonomy.h5", "matches.h5"}) fs::copy_file(alone() / file, run / file);
        fs::copy(alone() / "journal", run / "journal");
    }
    world().barrier();
    auto pilot = job.curate;
    pilot.refine.limit_items = 9;
    run::StageContext context{world(), run::Paths(run), "pilot"};
    curation::make_curate_stage(pilot, job.prompts, job.pool, job.endpoints, job.api)->run(context);
    if (world().is_root()) {
        const auto states = storage::Hdf5File::open(run / "samples.h5").read<std::uint8_t>("refine/state");
        EXPECT_EQ(std::count_if(states.begin(), states.end(), [](auto s) { return s <= 2; }), 9);
        EXPECT_EQ(std::count(states.begin(), states.end(), 4), static_cast<std::ptrdiff_t>(states.size()) - 9 - 1);
        const auto plan = curation::make_curate_stage(job.curate, job.prompts, job.pool, job.endpoints, job.api)
                              ->plan(run::Paths(run));
        ASSERT_FALSE(plan.empty());
        EXPECT_THAT(plan[0].note, ::testing::HasSubstr("pilot of 9 images"));
        EXPECT_DOUBLE_EQ(plan[0].amount, static_cast<double>(states.size()) - 1);
    }
    world().barrier();
}

TEST(the_house, is_pulled_down_by_all_ranks_together) {
    house().simulator.reset();
    world().barrier();
    if (world().is_root()) fs::remove_all(house().root);
}

}  // namespace
}  // namespace tg
