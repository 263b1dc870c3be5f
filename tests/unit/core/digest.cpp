#include "taskgalaxy/core/digest.hpp"

#include <fstream>
#include <gtest/gtest.h>

#include "taskgalaxy/core/error.hpp"
#include "temporary_folder.hpp"

namespace tg {

// XXH3_128bits of the empty input and of "abc", as `xxhsum -H2` prints them.
TEST(digest, is_xxh3_of_128_bits_in_canonical_order) {
    EXPECT_EQ(digest_of("").hex(), "99aa06d3014798d86001c324468d497f");
    EXPECT_EQ(digest_of("abc").hex(), "06b05ab6733a618578af5f94892f3950");
}

TEST(digest, of_a_file_equals_that_of_its_bytes) {
    const test::TemporaryFolder folder;
    std::string bytes(3'000'000, 'x');
    bytes[1'500'000] = 'y';
    std::ofstream(folder / "a") << bytes;
    EXPECT_EQ(digest_of_file(folder / "a"), digest_of(bytes));
    EXPECT_THROW(digest_of_file(folder / "missing"), InputError);
}

TEST(digest, of_fields_tells_where_one_field_ends) {
    EXPECT_NE(DigestBuilder().add("ab").add("c").finish(), DigestBuilder().add("a").add("bc").finish());
    EXPECT_EQ(DigestBuilder().add("ab").add("c").finish(), DigestBuilder().add("ab").add("c").finish());
}

}  // namespace tg
