#include "taskgalaxy/asking/picture_desk.hpp"

#include <gtest/gtest.h>
#include <map>
#include <set>

#include "taskgalaxy/core/error.hpp"
#include "taskgalaxy/core/random.hpp"

namespace tg::asking {
namespace {

pictures::Image blotches(std::uint64_t seed, int width, int height) {
    pictures::Image image{width, height, {}};
    for (int y = 0; y < height; ++y)
        for (int x = 0; x < width; ++x)
            for (std::uint64_t c = 0; c < 3; ++c)
                image.rgb.push_back(static_cast<std::uint8_t>(
                    random_bits(seed, static_cast<std::uint64_t>(y / 15 * 100 + x / 15) * 3 + c)));
    return image;
}

}  // namespace

TEST(a_picture_to_send, is_shrunk_to_the_longest_side_and_never_enlarged) {
    const auto shrunk = encode_for_chat(blotches(1, 300, 200), {100, 80});
    EXPECT_EQ(shrunk.width, 100);
    EXPECT_EQ(shrunk.height, 67);
    EXPECT_EQ(shrunk.media_type, "image/jpeg");
    EXPECT_EQ(encode_for_chat(blotches(1, 30, 20), {100, 80}).width, 30);
    EXPECT_EQ(encode_for_chat(blotches(1, 500, 1), {100, 80}).height, 1);
}

TEST(the_picture_desk, makes_each_picture_once_while_it_is_remembered) {
    std::map<std::uint64_t, int> made;
    PictureDesk desk(
        [&](std::uint64_t image) {
            ++made[image];
            return blotches(image, 20, 20);
        },
        {100, 80}, 2);
    const auto first = desk.get(1);
    EXPECT_EQ(desk.get(1), first);
    desk.get(2), desk.get(1), desk.get(3);  // 2 was used longest ago
    desk.get(1), desk.get(2);
    EXPECT_EQ(made[1], 1);
    EXPECT_EQ(made[2], 2);
    PictureDesk broken([](std::uint64_t) -> pictures::Image { throw InputError("no such picture"); }, {100, 80});
    EXPECT_THROW(broken.get(1), InputError);
    EXPECT_THROW(broken.get(1), InputError);
}

TEST(the_digest_of_a_picture_as_sent, changes_with_size_and_quality) {
    const auto file = digest_of("some file");
    std::set<Digest> all{digest_as_sent(file, {100, 80}), digest_as_sent(file, {101, 80}),
                         digest_as_sent(file, {100, 81}), digest_as_sent(digest_of("other"), {100, 80})};
    EXPECT_EQ(all.size(), 4u);
}

}  // namespace tg::asking
