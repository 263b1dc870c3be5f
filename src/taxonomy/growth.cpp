#include "taskgalaxy/taxonomy/growth.hpp"

#include <fmt/format.h>

#include "taskgalaxy/storage/dataset.hpp"
#include "taskgalaxy/storage/publish.hpp"

namespace tg::taxonomy {
namespace {

using Pair = DuplicateFilter::Pair;

constexpr std::tuple dropped_columns{storage::Column{"dropped", &Pair::text}, storage::Column{"kept", &Pair::other},
                                     storage::Column{"cosine", &Pair::cosine}};
constexpr std::tuple nearest_columns{storage::Column{"a", &Pair::text}, storage::Column{"b", &Pair::other},
                                     storage::Column{"cosine", &Pair::cosine}};

}  // namespace

void write_grown(const std::filesystem::path& taxonomy_h5, const Taxonomy& taxonomy, const Growth& growth,
                 const std::string& fingerprint) {
    storage::publish_hdf5(taxonomy_h5, [&](storage::Hdf5File& file) {
        taxonomy.write(file);
        storage::write_table(file, "near_duplicates/", dropped_columns, growth.dropped);
        storage::write_table(file, "nearest_pairs/", nearest_columns, growth.nearest);
        file.set_attribute("given", growth.given);
        file.set_attribute("requests", growth.requests);
        file.set_attribute("failed", growth.failed);
        file.set_attribute("exact_duplicates", growth.exact_duplicates);
        file.set_attribute("near_duplicates", growth.dropped.size());
        for (std::size_t level = 0; level < 3; ++level) {
            file.set_attribute(fmt::format("rounds_level{}", level + 1), growth.rounds[level]);
            file.set_attribute(fmt::format("parents_exhausted_level{}", level + 1), growth.exhausted[level]);
        }
        for (const auto& [name, count] : growth.answers) file.set_attribute("answers_" + name, count);
        file.set_attribute("fingerprint", fingerprint);
    });
}

}  // namespace tg::taxonomy
