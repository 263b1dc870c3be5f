// The tree of task types and its file taxonomy.h5: text column `path`, u8 `level` (1..3), i64 `parent` (row or -1), u8
// `leaf`. Rows stand parents first, then their children, in the order of insertion: the same input gives the same rows.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "taskgalaxy/storage/hdf5.hpp"

namespace tg::taxonomy {

class Taxonomy {
public:
    Taxonomy() = default;
    // Of normalised paths (read_path); missing ancestors are added, repeated paths count once.
    explicit Taxonomy(const std::vector<std::string>& paths);
    Taxonomy(Taxonomy&&) = default;  // a moved vector keeps its strings where they are, so the views of rows_ stay good
    Taxonomy& operator=(Taxonomy&&) = default;
    Taxonomy(const Taxonomy&) = delete;
    Taxonomy& operator=(const Taxonomy&) = delete;
    // Throws StorageError when the file's columns disagree.
    static Taxonomy read(const std::filesystem::path& taxonomy_h5);
    void write(storage::Hdf5File& file) const;
    // One path a line, every row: what `expand.taxonomy_file` reads back.
    std::string as_text() const;

    std::size_t size() const { return paths_.size(); }
    const std::string& path(std::size_t row) const { return paths_[row]; }
    int level(std::size_t row) const { return levels_[row]; }
    std::int64_t parent(std::size_t row) const { return parents_[row]; }  // -1 at level 1
    bool leaf(std::size_t row) const { return leaf_[row] != 0; }
    std::vector<std::size_t> leaves() const;
    std::array<std::size_t, 3> level_counts() const;
    std::optional<std::size_t> find(std::string_view path) const;

private:
    void index();

    std::vector<std::string> paths_;
    std::vector<std::uint8_t> levels_, leaf_;
    std::vector<std::int64_t> parents_;
    std::unordered_map<std::string_view, std::size_t> rows_;  // views into paths_
};

// A tree that grows: what expansion works on. Children keep the order in which they came.
class TaxonomyDraft {
public:
    // False when the path is there already. Missing ancestors are added.
    bool add(const std::string& path);
    bool contains(std::string_view path) const { return children_.contains(std::string(path)); }
    const std::vector<std::string>& children(const std::string& path) const;  // of "": the level-1 names
    std::vector<std::string> at_level(int level) const;                       // parents' order, then insertion order
    std::size_t count(int level) const { return counts_[static_cast<std::size_t>(level - 1)]; }
    // With everything below it.
    void remove(const std::string& path);
    std::vector<std::string> paths() const;  // parents first
    Taxonomy finished() const { return Taxonomy(paths()); }

private:
    std::unordered_map<std::string, std::vector<std::string>> children_{{"", {}}};
    std::array<std::size_t, 3> counts_{};
};

}  // namespace tg::taxonomy
