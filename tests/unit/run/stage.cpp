#include "taskgalaxy/run/stage.hpp"

#include <fstream>
#include <gtest/gtest.h>

#include "taskgalaxy/core/error.hpp"
#include "temporary_folder.hpp"

namespace tg::run {
namespace {

Digest identity_of(const std::filesystem::path& path) {
    DigestBuilder builder;
    add_file_identity(builder, path);
    return builder.finish();
}

}  // namespace

TEST(file_identity, changes_with_a_file_of_the_folder_and_not_without) {
    const test::TemporaryFolder folder;
    std::filesystem::create_directories(folder / "model/sub");
    std::ofstream(folder / "model/sub/weights") << "abc";
    const auto before = identity_of(folder / "model");
    EXPECT_EQ(identity_of(folder / "model"), before);
    std::ofstream(folder / "model/sub/weights") << "abcd";
    EXPECT_NE(identity_of(folder / "model"), before);
    EXPECT_THROW(identity_of(folder / "missing"), InputError);
}

}  // namespace tg::run
