#include "taskgalaxy/ingest/ingest_stage.hpp"

#include <map>

#include "taskgalaxy/core/stop.hpp"
#include "taskgalaxy/pool/pool.hpp"
#include "unit/pictures/fixtures.hpp"

namespace tg::ingest {
namespace {

using namespace test;

const auto solo = parallel::make_solo();

pool::PoolSettings pool_of(const std::filesystem::path& folder) {
    pool::PoolSettings settings;
    settings.sources = {folder.string()};
    settings.threads = 2;
    settings.items_per_part = 16;
    return settings;
}

run::Figures ingest(const pool::PoolSettings& settings, const std::filesystem::path& run) {
    const auto stage = make_ingest_stage(settings);
    stage->check();
    run::StageContext context{*solo, run::Paths(run), "fingerprint"};
    stage->run(context);
    return context.figures;
}

double figure(const run::Figures& figures, const std::string& name) {
    for (const auto& [key, value] : figures)
        if (key == name) return value;
    ADD_FAILURE() << "no figure " << name;
    return -1;
}

// All fixtures, two of them twice, and some that are broken.
void fill(const ScratchFolder& folder) {
    for (const auto& entry : std::filesystem::directory_iterator(picture_folder))
        if (const auto name = entry.path().filename(); name.extension() != ".rgb" && name.extension() != ".f32")
            folder.write(name, file_bytes(entry.path()));
    folder.write("twin/a.jpg", file_bytes(picture_folder / "jpeg_420.jpg"));
    folder.write("twin/b.png", file_bytes(picture_folder / "png_rgb.png"));
    folder.write("bad/empty.jpg", "");
    folder.write("bad/empty.png", "");
    folder.write("bad/page.jpg", "<!DOCTYPE html>");
    const auto jpeg = file_bytes(picture_folder / "jpeg_420.jpg");
    folder.write("bad/cut.jpg", std::span(jpeg).first(jpeg.size() / 2));
    folder.write("bad/wrong_suffix.gif", jpeg);  // twin of jpeg_420.jpg: the content decides
    folder.write("caption.txt", "text");
}

TEST(ingest, accounts_for_every_file) {
    const ScratchFolder folder, run;
    fill(folder);
    const auto figures = ingest(pool_of(folder.path()), run.path());
    const pool::Pool pool(run.path() / "pool.h5", pool_of(folder.path()));
    std::size_t files = 0;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(folder.path()))
        files += entry.is_regular_file() ? 1 : 0;
    EXPECT_EQ(pool.size() + 1, files);
    EXPECT_EQ(figure(figures, "pictures"), static_cast<double>(pool.size()));
    EXPECT_EQ(figure(figures, "ignored_files"), 1);
    EXPECT_EQ(figure(figures, "duplicates"), 3);
    EXPECT_EQ(figure(figures, "empty"), 2);
    EXPECT_EQ(figure(figures, "truncated"), 1);
    EXPECT_EQ(figure(figures, "not_a_picture"), 1);
    EXPECT_EQ(figure(figures, "usable"), static_cast<double>(pool.size() - 4));

    std::map<std::string, std::uint64_t, std::less<>> row;
    for (std::uint64_t i = 0; i < pool.size(); ++i) {
        EXPECT_TRUE(i == 0 || pool.uri(i - 1) < pool.uri(i)) << pool.uri(i);
        row.emplace(pool.uri(i), i);
        const auto bytes = file_bytes(folder.path() / pool.uri(i));
        EXPECT_EQ(pool.bytes(i), bytes.size()) << pool.uri(i);
        EXPECT_EQ(pool.digest(i), digest_of(bytes)) << pool.uri(i);
        EXPECT_EQ(pool.reason(i).empty(), pool.usable(i)) << pool.uri(i);
        if (!pool.usable(i)) continue;
        EXPECT_EQ(pool.read(i), bytes);
        const auto image = pictures::decode(bytes);
        EXPECT_EQ(pool.width(i), image.width);
        EXPECT_EQ(pool.height(i), image.height);
    }
    EXPECT_EQ(pool.duplicate_of(row.at("twin/b.png")), static_cast<std::int64_t>(row.at("png_rgb.png")));
    // The first by index is the original: "bad/..." comes before "jpeg_420.jpg".
    EXPECT_EQ(pool.duplicate_of(row.at("bad/wrong_suffix.gif")), -1);
    EXPECT_EQ(pool.duplicate_of(row.at("jpeg_420.jpg")), static_cast<std::int64_t>(row.at("bad/wrong_suffix.gif")));
    EXPECT_EQ(pool.status(row.at("bad/cut.jpg")), pictures::PictureStatus::truncated);
    EXPECT_EQ(pool.status(row.at("bad/empty.png")), pictures::PictureStatus::empty);
    EXPECT_THROW(pool.read(row.at("bad/cut.jpg")), pictures::UnreadableImage);
}

TEST(ingest, drops_duplicates_when_told_to) {
    const ScratchFolder folder, run;
    fill(folder);
    auto settings = pool_of(folder.path());
    settings.drop_duplicates = true;
    const auto figures = ingest(settings, run.path());
    EXPECT_EQ(figure(figures, "duplicate"), 3);
    const pool::Pool pool(run.path() / "pool.h5", settings);
    std::size_t dropped = 0;
    for (std::uint64_t i = 0; i < pool.size(); ++i)
        if (pool.status(i) == pictures::PictureStatus::duplicate) {
            ++dropped;
            EXPECT_GE(pool.duplicate_of(i), 0);
            EXPECT_TRUE(pool.usable(static_cast<std::uint64_t>(pool.duplicate_of(i))));
            EXPECT_FALSE(pool.reason(i).empty());
        }
    EXPECT_EQ(dropped, 3u);
}

TEST(ingest, reads_headers_only_when_told_to) {
    const ScratchFolder folder, run;
    fill(folder);
    auto settings = pool_of(folder.path());
    settings.verify = pool::Verify::header;
    ingest(settings, run.path());
    const pool::Pool pool(run.path() / "pool.h5", settings);
    for (std::uint64_t i = 0; i < pool.size(); ++i)
        if (pool.uri(i) == "bad/cut.jpg") {
            EXPECT_TRUE(pool.usable(i)) << "its header is whole";
            EXPECT_EQ(pool.width(i), 97);
        }
}

TEST(Pool, notices_a_picture_that_changed_after_ingest) {
    const ScratchFolder folder, run;
    folder.write("a.jpg", file_bytes(picture_folder / "jpeg_420.jpg"));
    folder.write("b.jpg", file_bytes(picture_folder / "jpeg_422.jpg"));
    ingest(pool_of(folder.path()), run.path());
    const pool::Pool pool(run.path() / "pool.h5", pool_of(folder.path()));
    EXPECT_FALSE(pool.read(0).empty());
    auto changed = file_bytes(picture_folder / "jpeg_420.jpg");
    changed.back() ^= std::byte{1};
    folder.write("a.jpg", changed);
    std::filesystem::remove(folder.path() / "b.jpg");
    for (const std::uint64_t i : {0, 1}) {
        try {
            pool.read(i);
            FAIL();
        } catch (const pictures::UnreadableImage& error) {
            EXPECT_NE(std::string_view(error.what()).find(pool.uri(i)), std::string_view::npos);
            EXPECT_EQ(error.status(), i == 0 ? pictures::PictureStatus::corrupt : pictures::PictureStatus::missing);
        }
    }
}

TEST(ingest, says_in_the_plan_how_many_pictures_there_are) {
    const ScratchFolder folder, run;
    fill(folder);
    const auto stage = make_ingest_stage(pool_of(folder.path()));
    const auto before = stage->plan(run::Paths(run.path()));
    ASSERT_EQ(before.size(), 1u);
    ingest(pool_of(folder.path()), run.path());
    const auto after = stage->plan(run::Paths(run.path()));
    EXPECT_EQ(before[0].amount, after[0].amount);
    EXPECT_GT(before[0].amount, 50);
}

}  // namespace
}  // namespace tg::ingest
