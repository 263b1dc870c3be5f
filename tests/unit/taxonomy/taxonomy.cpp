#include "taskgalaxy/taxonomy/taxonomy.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "taskgalaxy/core/error.hpp"
#include "taskgalaxy/storage/publish.hpp"

using namespace tg;
using namespace tg::taxonomy;
using testing::ElementsAre;

TEST(a_taxonomy, puts_parents_before_their_children_and_adds_missing_ancestors) {
    const Taxonomy tree({"b~x~1", "a", "b~y", "a~z", "b~x~2", "b~x~1"});
    std::vector<std::string> paths;
    for (std::size_t row = 0; row < tree.size(); ++row) paths.push_back(tree.path(row));
    EXPECT_THAT(paths, ElementsAre("b", "b~x", "b~x~1", "b~x~2", "b~y", "a", "a~z"));
    EXPECT_THAT(tree.leaves(), ElementsAre(2u, 3u, 4u, 6u));
    EXPECT_THAT(tree.level_counts(), ElementsAre(2u, 3u, 2u));
    EXPECT_EQ(tree.parent(0), -1);
    EXPECT_EQ(tree.parent(3), 1);
    EXPECT_EQ(tree.level(2), 3);
    EXPECT_EQ(tree.find("b~y"), 4u);
    EXPECT_FALSE(tree.find("c"));
}

TEST(a_taxonomy, comes_back_from_its_file_and_from_its_text) {
    const auto file = std::filesystem::path(testing::TempDir()) / "taxonomy.h5";
    const Taxonomy tree({"b~x~1", "a", "b~y"});
    storage::publish_hdf5(file, [&](storage::Hdf5File& out) { tree.write(out); });
    const auto read = Taxonomy::read(file);
    ASSERT_EQ(read.size(), tree.size());
    EXPECT_EQ(read.as_text(), tree.as_text());
    for (std::size_t row = 0; row < tree.size(); ++row) {
        EXPECT_EQ(read.parent(row), tree.parent(row));
        EXPECT_EQ(read.leaf(row), tree.leaf(row));
        EXPECT_EQ(read.find(tree.path(row)), row);
    }
}

TEST(a_taxonomy, keeps_its_index_when_it_is_moved) {
    Taxonomy tree({"a~b"});
    const auto moved = std::move(tree);
    EXPECT_EQ(moved.find("a~b"), 1u);
}

TEST(a_taxonomy_file, whose_columns_disagree_is_refused) {
    const auto file = std::filesystem::path(testing::TempDir()) / "broken.h5";
    storage::publish_hdf5(file, [&](storage::Hdf5File& out) {
        out.write_texts("path", {"a", "a~b"});
        out.write("level", std::vector<std::uint8_t>{1, 2});
        out.write("parent", std::vector<std::int64_t>{-1, -1});
        out.write("leaf", std::vector<std::uint8_t>{0, 1});
    });
    EXPECT_THROW(Taxonomy::read(file), StorageError);
}

TEST(a_draft, adds_each_path_once_and_removes_whole_branches) {
    TaxonomyDraft draft;
    EXPECT_TRUE(draft.add("a~b~c"));
    EXPECT_FALSE(draft.add("a~b"));
    EXPECT_TRUE(draft.add("a~d"));
    EXPECT_TRUE(draft.add("e~f"));
    EXPECT_EQ(draft.count(2), 3u);
    EXPECT_THAT(draft.at_level(2), ElementsAre("a~b", "a~d", "e~f"));
    draft.remove("a~b");
    EXPECT_EQ(draft.count(2), 2u);
    EXPECT_EQ(draft.count(3), 0u);
    EXPECT_FALSE(draft.contains("a~b~c"));
    EXPECT_THAT(draft.paths(), ElementsAre("a", "a~d", "e", "e~f"));
}
