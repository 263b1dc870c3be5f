#include "taskgalaxy/dataset/export_stage.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "taskgalaxy/core/text.hpp"
#include "taskgalaxy/ingest/ingest_stage.hpp"
#include "taskgalaxy/pictures/image.hpp"
#include "taskgalaxy/run/sample_table.hpp"
#include "taskgalaxy/storage/publish.hpp"
#include "taskgalaxy/taxonomy/taxonomy.hpp"
#include "sample_figures.hpp"
#include "temporary_folder.hpp"

namespace tg::dataset {
namespace {

// A run directory as the stages before export leave it: three pictures, two task types, five samples.
struct Export : ::testing::Test {
    test::TemporaryFolder folder;
    pool::PoolSettings pool;
    ExportSettings settings;
    std::unique_ptr<parallel::Communicator> solo = parallel::make_solo();
    run::Paths paths{folder / "run"};

    Export() {
        for (const char* name : {"a", "b", "c"}) {
            pictures::Image image{8, 6, std::vector<std::uint8_t>(8 * 6 * 3, static_cast<std::uint8_t>(name[0]))};
            const auto bytes = pictures::encode_jpeg(image, 90);
            storage::publish_text(folder / "pictures" / (std::string(name) + ".jpg"),
                                  {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
        }
        pool.sources = {(folder / "pictures").string()};
        run::StageContext context{*solo, paths, "f"};
        ingest::make_ingest_stage(pool)->run(context);
        storage::publish_hdf5(paths.file(run::files::taxonomy), [](storage::Hdf5File& out) {
            taxonomy::Taxonomy({"animals~birds", "animals~fish"}).write(out);
        });
        const auto types = taxonomy::Taxonomy::read(paths.file(run::files::taxonomy));
        const auto birds = static_cast<std::int64_t>(*types.find("animals~birds")),
                   fish = static_cast<std::int64_t>(*types.find("animals~fish"));
        storage::publish_hdf5(paths.file(run::files::samples), [&](storage::Hdf5File& out) {
            run::write_samples(out,
                               {.judges = 3,
                                .image = {0, 0, 1, 2, 2},
                                .type = {birds, fish, birds, fish, birds},
                                .question = {"Which \"bird\"?", "q1", "q2", "q3\nline", ""},
                                .answer = {"a crow", "a1", "a2 \xff", "a3", ""},
                                .votes = {1, 1, 0, 0, 0, 1, 1, 1, 1, 1, 1, 255, 255, 255, 255},
                                .kept = {1, 0, 1, 1, 0},
                                .state = {0, 0, 0, 0, 1}},
                               {.k = 2, .state = {0, 0, 0}, .kept = {1, 1, 1, 0, 1, 1}}, {});
            run::write_sample_figures(out, test::sample_figures({"j1", "j2", "j3"}));
        });
    }

    nlohmann::json exported(const char* file) { return nlohmann::json::parse(read_text_file(paths.exported() / file)); }
    void run() {
        run::StageContext context{*solo, paths, "f"};
        make_export_stage(settings, pool)->run(context);
    }
};

TEST_F(Export, writes_what_the_judges_kept_in_llavas_layout) {
    run();
    const auto samples = exported("train.json");
    ASSERT_EQ(samples.size(), 3u);
    EXPECT_EQ(samples[0]["image"], "a.jpg");
    EXPECT_EQ(samples[0]["task_type"], "animals~birds");
    EXPECT_EQ(samples[0]["conversations"],
              nlohmann::json::parse(
                  R"([{"from": "human", "value": "<image>\nWhich \"bird\"?"}, {"from": "gpt", "value": "a crow"}])"));
    EXPECT_THAT(samples[0]["id"].get<std::string>(),
                testing::MatchesRegex("[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"));
    EXPECT_EQ(exported("held_out.json").size(), 0u);
}

TEST_F(Export, keeps_held_out_pictures_out_of_every_training_file) {
    storage::publish_text(folder / "held.txt", "c.jpg\n\n# a note\n");
    settings.hold_out = folder / "held.txt";
    run();
    EXPECT_EQ(exported("train.json").size(), 2u);
    ASSERT_EQ(exported("held_out.json").size(), 1u);
    EXPECT_EQ(exported("held_out.json")[0]["image"], "c.jpg");
    EXPECT_EQ(read_text_file(paths.exported() / "train.internvl.jsonl").find("c.jpg"), std::string::npos);
}

TEST_F(Export, writes_internvls_lines_with_sizes_and_a_data_list) {
    run();
    const auto lines = split(read_text_file(paths.exported() / "train.internvl.jsonl"), '\n');
    ASSERT_EQ(lines.size(), 4u);
    const auto first = nlohmann::json::parse(lines[0]);
    EXPECT_EQ(first["width"], 8);
    EXPECT_EQ(first["height"], 6);
    EXPECT_EQ(exported("internvl_data.json")["taskgalaxy"]["length"], 3);
}

TEST_F(Export, without_screening_takes_every_generated_sample) {
    settings.screened = false;
    run();
    EXPECT_EQ(exported("train.json").size(), 4u);
}

TEST_F(Export, gives_the_same_bytes_each_time) {
    run();
    const auto first = read_text_file(paths.exported() / "train.json");
    run();
    EXPECT_EQ(read_text_file(paths.exported() / "train.json"), first);
}

}  // namespace
}  // namespace tg::dataset
