#include "taskgalaxy/pool/decode_ahead.hpp"

#include <atomic>
#include <bit>
#include <thread>

#include "taskgalaxy/ingest/ingest_stage.hpp"
#include "unit/pictures/fixtures.hpp"

namespace tg::pool {
namespace {

using namespace test;

// A small pool of good and bad pictures.
class DecodeAheadTest : public ::testing::Test {
protected:
    DecodeAheadTest() {
        for (const auto* name : {"jpeg_420.jpg", "jpeg_progressive.jpg", "png_rgb.png", "png_palette.png",
                                 "webp_lossy.webp", "gif_palette.gif", "bmp_24.bmp"})
            folder_.write(name, file_bytes(picture_folder / name));
        folder_.write("bad.jpg", "<html>");
        settings_.sources = {folder_.path().string()};
        settings_.threads = 1;
        const auto solo = parallel::make_solo();
        run::StageContext context{*solo, run::Paths(run_.path()), "f"};
        ingest::make_ingest_stage(settings_)->run(context);
        pool_ = std::make_unique<Pool>(run_.path() / "pool.h5", settings_);
        recipe_.size = recipe_.shortest_edge = 24;
    }
    std::vector<std::uint64_t> many(std::size_t count) const {
        std::vector<std::uint64_t> indices;
        for (std::size_t i = 0; i < count; ++i) indices.push_back(i * 5 % pool_->size());
        return indices;
    }
    ScratchFolder folder_, run_;
    PoolSettings settings_;
    std::unique_ptr<Pool> pool_;
    pictures::ImageRecipe recipe_;
};

TEST_F(DecodeAheadTest, delivers_in_order_what_direct_decoding_gives_whatever_the_threads) {
    for (const std::size_t threads : {1, 2, 5}) {
        const auto indices = many(61);
        DecodeAhead ahead(*pool_, indices, recipe_, {.batch = 8, .batches_ahead = 3, .threads = threads});
        std::size_t position = 0, failed = 0;
        while (auto* batch = ahead.next()) {
            EXPECT_EQ(batch->first, position);
            for (std::size_t i = 0; i < batch->indices.size(); ++i, ++position) {
                ASSERT_EQ(batch->indices[i], indices[position]);
                std::vector<float> wanted(recipe_.values());
                if (pool_->usable(indices[position])) {
                    EXPECT_EQ(batch->failures[i], "");
                    pictures::decode_to_pixels(pool_->read(indices[position]), {}, recipe_, std::span(wanted));
                } else {
                    EXPECT_NE(batch->failures[i].find("bad.jpg"), std::string::npos);
                    ++failed;
                }
                const auto* got = batch->floats() + i * recipe_.values();
                EXPECT_TRUE(std::equal(wanted.begin(), wanted.end(), got)) << position;
            }
            ahead.release(batch);
        }
        EXPECT_EQ(position, indices.size());
        EXPECT_GT(failed, 0u);
        EXPECT_EQ(ahead.figures().failed, failed);
        EXPECT_EQ(ahead.next(), nullptr);
    }
}

TEST_F(DecodeAheadTest, gives_bfloat16_and_uses_the_callers_memory) {
    std::atomic<int> taken = 0, given = 0;
    const AheadOptions options{.batch = 4,
                               .batches_ahead = 2,
                               .threads = 2,
                               .bf16 = true,
                               .allocate =
                                   [&](std::size_t bytes) {
                                       ++taken;
                                       return new std::byte[bytes];
                                   },
                               .release =
                                   [&](std::byte* memory) {
                                       ++given;
                                       delete[] memory;
                                   }};
    {
        DecodeAhead ahead(*pool_, many(9), recipe_, options);
        auto* batch = ahead.next();
        std::vector<std::uint16_t> wanted(recipe_.values());
        for (std::size_t i = 0; i < 4; ++i) {
            if (!pool_->usable(batch->indices[i])) continue;
            pictures::decode_to_pixels(pool_->read(batch->indices[i]), {}, recipe_, std::span(wanted));
            EXPECT_EQ(std::memcmp(wanted.data(), batch->pixels + i * recipe_.values() * 2, recipe_.values() * 2), 0);
        }
    }
    EXPECT_EQ(taken, 2);
    EXPECT_EQ(given, 2);
}

TEST_F(DecodeAheadTest, never_works_further_ahead_than_allowed_and_takes_batches_back_in_any_order) {
    DecodeAhead ahead(*pool_, many(40), recipe_, {.batch = 4, .batches_ahead = 3, .threads = 2});
    auto* a = ahead.next();
    auto* b = ahead.next();
    auto* c = ahead.next();
    EXPECT_THROW(ahead.next(), std::logic_error);
    EXPECT_LE(ahead.figures().pictures, 12u);
    ahead.release(c);
    ahead.release(a);
    auto* d = ahead.next();
    EXPECT_EQ(d->first, 12u);
    ahead.release(b);
    ahead.release(d);
    std::size_t last = 0;
    while (auto* batch = ahead.next()) {
        last = batch->first;
        ahead.release(batch);
    }
    EXPECT_EQ(last, 36u);
}

TEST_F(DecodeAheadTest, serves_several_consumers_each_batch_to_one_of_them) {
    for (const std::size_t consumers :
         {2, 5}) {  // five of them are more than there are batches at once: some wait for the others
        const auto indices = many(97);
        DecodeAhead ahead(*pool_, indices, recipe_, {.batch = 4, .batches_ahead = 3, .threads = 2});
        std::vector<std::atomic<int>> seen(indices.size());
        {
            std::vector<std::jthread> threads;
            for (std::size_t c = 0; c < consumers; ++c)
                threads.emplace_back([&] {
                    while (auto* batch = ahead.next()) {
                        for (std::size_t i = 0; i < batch->indices.size(); ++i)
                            if (batch->indices[i] == indices[batch->first + i] &&
                                batch->failures[i].empty() == pool_->usable(batch->indices[i]))
                                ++seen[batch->first + i];
                        ahead.release(batch);
                    }
                });
        }
        for (std::size_t i = 0; i < seen.size(); ++i) EXPECT_EQ(seen[i], 1) << i;
    }
}

TEST_F(DecodeAheadTest, can_be_left_at_any_moment) {
    for (int i = 0; i < 20; ++i) {
        DecodeAhead ahead(*pool_, many(100), recipe_, {.batch = 4, .batches_ahead = 2, .threads = 3});
        for (int taken = 0; taken < i % 3; ++taken) ahead.release(ahead.next());
    }
    DecodeAhead nothing(*pool_, {}, recipe_);
    EXPECT_EQ(nothing.next(), nullptr);
}

}  // namespace
}  // namespace tg::pool
