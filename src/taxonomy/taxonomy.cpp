#include "taskgalaxy/taxonomy/taxonomy.hpp"

#include <fmt/format.h>

#include "taskgalaxy/core/error.hpp"
#include "taskgalaxy/taxonomy/path.hpp"

namespace tg::taxonomy {

Taxonomy::Taxonomy(const std::vector<std::string>& paths) {
    TaxonomyDraft draft;
    for (const auto& path : paths) draft.add(path);
    paths_ = draft.paths();
    index();
}

void Taxonomy::index() {
    levels_.assign(paths_.size(), 0);
    parents_.assign(paths_.size(), -1);
    leaf_.assign(paths_.size(), 1);
    rows_.reserve(paths_.size());
    for (std::size_t row = 0; row < paths_.size(); ++row) {
        rows_.emplace(paths_[row], row);
        levels_[row] = static_cast<std::uint8_t>(level_of(paths_[row]));
        if (levels_[row] == 1) continue;
        const auto parent = rows_.find(parent_of(paths_[row]));
        if (parent == rows_.end())
            throw InputError(fmt::format("task type '{}' stands before its parent", paths_[row]));
        parents_[row] = static_cast<std::int64_t>(parent->second);
        leaf_[parent->second] = 0;
    }
}

Taxonomy Taxonomy::read(const std::filesystem::path& taxonomy_h5) {
    const auto file = storage::Hdf5File::open(taxonomy_h5);
    Taxonomy taxonomy;
    taxonomy.paths_ = file.read_texts("path");
    taxonomy.index();
    if (file.read<std::uint8_t>("level") != taxonomy.levels_ ||
        file.read<std::int64_t>("parent") != taxonomy.parents_ || file.read<std::uint8_t>("leaf") != taxonomy.leaf_)
        throw StorageError(
            fmt::format("{}: the columns level, parent and leaf do not agree with the paths", taxonomy_h5.string()),
            "make it again with --redo expand");
    return taxonomy;
}

void Taxonomy::write(storage::Hdf5File& file) const {
    file.write_texts("path", paths_);
    file.write("level", levels_);
    file.write("parent", parents_);
    file.write("leaf", leaf_);
    file.set_attribute("format", "taskgalaxy taxonomy 1");
}

std::string Taxonomy::as_text() const {
    std::string text;
    for (const auto& path : paths_) text += path + '\n';
    return text;
}

std::vector<std::size_t> Taxonomy::leaves() const {
    std::vector<std::size_t> rows;
    for (std::size_t row = 0; row < size(); ++row)
        if (leaf(row)) rows.push_back(row);
    return rows;
}

std::array<std::size_t, 3> Taxonomy::level_counts() const {
    std::array<std::size_t, 3> counts{};
    for (const auto level : levels_) ++counts[level - 1u];
    return counts;
}

std::optional<std::size_t> Taxonomy::find(std::string_view path) const {
    const auto at = rows_.find(path);
    return at == rows_.end() ? std::nullopt : std::optional(at->second);
}

bool TaxonomyDraft::add(const std::string& path) {
    if (contains(path)) return false;
    const std::string parent(parent_of(path));
    if (!parent.empty()) add(parent);
    children_[parent].push_back(path);
    children_[path];
    ++counts_[static_cast<std::size_t>(level_of(path) - 1)];
    return true;
}

const std::vector<std::string>& TaxonomyDraft::children(const std::string& path) const { return children_.at(path); }

std::vector<std::string> TaxonomyDraft::at_level(int level) const {
    std::vector<std::string> here{""};
    for (int depth = 0; depth < level; ++depth) {
        std::vector<std::string> below;
        for (const auto& parent : here) {
            const auto& more = children(parent);
            below.insert(below.end(), more.begin(), more.end());
        }
        here = std::move(below);
    }
    return here;
}

void TaxonomyDraft::remove(const std::string& path) {
    if (!contains(path)) return;
    for (const auto& child : std::vector(children(path))) remove(child);
    std::erase(children_[std::string(parent_of(path))], path);
    children_.erase(path);
    --counts_[static_cast<std::size_t>(level_of(path) - 1)];
}

std::vector<std::string> TaxonomyDraft::paths() const {
    std::vector<std::string> all;
    const auto visit = [&](const auto& self, const std::string& path) -> void {
        for (const auto& child : children(path)) {
            all.push_back(child);
            self(self, child);
        }
    };
    visit(visit, "");
    return all;
}

}  // namespace tg::taxonomy
