// Embedding and matching on every number of ranks give the same files, dataset for dataset and bit for bit, as one
// process alone. Runs ingest on the pool's fixture pictures (good and broken ones) and a tiny CLIP.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <numeric>
#include <span>
#include <string>
#include <vector>

#include "mpi_world.hpp"
#include "taskgalaxy/ingest/ingest_stage.hpp"
#include "taskgalaxy/matching/embed_stage.hpp"
#include "taskgalaxy/matching/match_stage.hpp"
#include "taskgalaxy/pictures/image.hpp"
#include "taskgalaxy/pool/pool.hpp"
#include "taskgalaxy/storage/publish.hpp"
#include "taskgalaxy/taxonomy/taxonomy.hpp"

namespace tg {
namespace {

namespace fs = std::filesystem;
using tg::test::SharedFolder;
using tg::test::world;

const fs::path fixtures = fs::path(TG_SOURCE_DIR) / "tests/fixtures";

taxonomy::Taxonomy some_types() {
    std::vector<std::string> paths;
    for (const char* first : {"counting", "text reading", "animal recognition", "chart understanding"})
        for (const char* second : {"birds", "signs", "line charts", "apples"})
            for (const char* third : {"naming the bird", "how many", "reading the value at a point"})
                paths.push_back(std::string(first) + "~" + second + "~" + third);
    return taxonomy::Taxonomy(paths);
}

struct Pipeline {
    pool::PoolSettings pool;
    matching::EmbedSettings embed;
    matching::MatchSettings match;

    explicit Pipeline(const fs::path& broken) {
        pool.sources = {"good=folder:" + (fixtures / "pool/pictures").string(), "broken=folder:" + broken.string()};
        pool.threads = 1;
        embed.model = fixtures / "clip/quick";
        embed.dtype = layers::DtypeChoice::fp32;
        embed.device = layers::DeviceChoice::cpu;
        embed.batch = 8;
        embed.images_per_part = 16;
        embed.texts_per_part = 16;
        match.k = 7;
        match.images_per_part = 30;
    }

    // pool.h5 and taxonomy.h5, by the root alone.
    void prepare(const fs::path& folder) const {
        parallel::together(world(), [&] {
            if (!world().is_root()) return;
            const auto solo = parallel::make_solo();
            run::StageContext context{*solo, run::Paths(folder), "fingerprint"};
            ingest::make_ingest_stage(pool)->run(context);
            storage::publish_hdf5(folder / "taxonomy.h5", [](storage::Hdf5File& out) { some_types().write(out); });
        });
    }
    void run(const fs::path& folder, const parallel::Communicator& ranks) const {
        run::StageContext context{ranks, run::Paths(folder), "fingerprint"};
        matching::make_embed_images_stage(embed, pool)->run(context);
        matching::make_embed_texts_stage(embed, pool)->run(context);
        matching::make_match_stage(match)->run(context);
    }
};

// Every dataset's bytes, so that floats are compared to the last bit.
std::vector<std::pair<std::string, std::vector<std::uint8_t>>> contents(const fs::path& file) {
    std::vector<std::pair<std::string, std::vector<std::uint8_t>>> all;
    const auto in = storage::Hdf5File::open(file);
    for (const auto& set : in.datasets()) {
        std::vector<std::uint8_t> bytes;
        const auto put = [&](const auto& values) {
            const auto raw = std::as_bytes(std::span(values));
            for (const auto b : raw) bytes.push_back(std::to_integer<std::uint8_t>(b));
        };
        if (set.type == storage::Hdf5Type::f32) put(in.read<float>(set.name));
        else if (set.type == storage::Hdf5Type::i64) put(in.read<std::int64_t>(set.name));
        else put(in.read<std::uint8_t>(set.name));
        all.emplace_back(set.name, std::move(bytes));
    }
    return all;
}

void expect_equal_files(const fs::path& one, const fs::path& other) {
    for (const char* name : {"image_embeddings.h5", "text_embeddings.h5", "matches.h5"}) {
        const auto a = contents(one / name), b = contents(other / name);
        ASSERT_EQ(a.size(), b.size()) << name;
        for (std::size_t i = 0; i < a.size(); ++i) {
            EXPECT_EQ(a[i].first, b[i].first) << name;
            EXPECT_TRUE(a[i].second == b[i].second) << name << ": " << a[i].first;
        }
    }
}

TEST(embed_and_match, give_the_same_files_on_any_number_of_ranks) {
    const SharedFolder shared;
    const Pipeline pipeline(shared / "broken");
    if (world().is_root()) {
        storage::publish_text(shared / "broken" / "empty.jpg", "");
        storage::publish_text(shared / "broken" / "no_picture.png", "this is text");
    }
    for (const auto* name : {"together", "alone"}) {
        if (world().is_root()) fs::create_directories(shared / name);
        world().barrier();
        pipeline.prepare(shared / name);
    }
    pipeline.run(shared / "together", world());
    parallel::together(world(), [&] {
        if (world().is_root()) pipeline.run(shared / "alone", *parallel::make_solo());
    });
    if (!world().is_root()) return;
    expect_equal_files(shared / "together", shared / "alone");

    const auto matches = storage::Hdf5File::open(shared / "together" / "matches.h5");
    const auto types = matches.read<std::int64_t>("type");
    const auto status = storage::Hdf5File::open(shared / "together" / "pool.h5").read<std::uint8_t>("status");
    const auto taxonomy = some_types();
    ASSERT_EQ(types.size(), status.size() * 7);
    for (std::size_t i = 0; i < types.size(); ++i) {
        if (status[i / 7] != 0) EXPECT_EQ(types[i], -1);
        else EXPECT_TRUE(types[i] >= 0 && taxonomy.leaf(static_cast<std::size_t>(types[i])));
    }
    EXPECT_EQ(matches.int_attribute("unusable_images"), 2);
    EXPECT_FALSE(fs::exists(run::Paths(shared / "together").parts("match"))) << "parts are removed once gathered";
}

TEST(embed_images, decodes_small_what_it_may_and_says_almost_the_same) {
    const SharedFolder shared;
    if (world().is_root()) storage::publish_text(shared / "broken" / "empty.jpg", "");
    std::vector<float> rows[2];
    Pipeline pipeline(shared / "broken");
    for (const bool fast : {false, true}) {
        const auto folder = shared / (fast ? "fast" : "exact");
        if (world().is_root()) fs::create_directories(folder);
        world().barrier();
        pipeline.pool.decode_fast = fast;
        pipeline.prepare(folder);
        run::StageContext context{world(), run::Paths(folder), "fingerprint"};
        matching::make_embed_images_stage(pipeline.embed, pipeline.pool)->run(context);
        if (world().is_root())
            rows[fast] = storage::Hdf5File::open(folder / "image_embeddings.h5").read<float>("embedding");
    }
    if (!world().is_root()) return;
    const pool::Pool pool(shared / "fast" / "pool.h5", pipeline.pool);
    const auto dim = rows[0].size() / pool.size();
    int decoded_small = 0;
    for (std::uint64_t i = 0; i < pool.size(); ++i) {
        if (!pool.usable(i)) continue;
        const auto exact = std::span(rows[0]).subspan(i * dim, dim), fast = std::span(rows[1]).subspan(i * dim, dim);
        EXPECT_GT(std::inner_product(exact.begin(), exact.end(), fast.begin(), 0.0), 0.99) << pool.uri(i);
        const auto picture = pictures::decode(pool.read(i));
        const bool has_half =
            pool.uri(i).ends_with(".jpg") && std::min(picture.width, picture.height) / 2 >= 32;  // the model's size
        EXPECT_NE(std::ranges::equal(exact, fast), has_half) << pool.uri(i);
        decoded_small += has_half;
    }
    EXPECT_GT(decoded_small, 0);
}

}  // namespace
}  // namespace tg
