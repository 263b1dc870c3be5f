#include "taskgalaxy/run/match_table.hpp"

#include <fmt/format.h>

#include "taskgalaxy/storage/dataset.hpp"

namespace tg::run {
namespace {

namespace match_sets {
constexpr storage::Dataset<std::int64_t> type{"type"};
constexpr storage::Dataset<float> score{"score"};
constexpr storage::Dataset<std::int64_t> diagnosed_type{"diagnostics/type"};
constexpr storage::Dataset<std::int64_t> images_per_type{"diagnostics/images_per_type"};
constexpr storage::Dataset<std::int64_t> images_per_type_and_rank{"diagnostics/images_per_type_and_rank"};
constexpr storage::Dataset<std::int64_t> types_matched{"diagnostics/types_matched"};
constexpr storage::Dataset<std::int64_t> score_histogram{"diagnostics/score_histogram"};
}  // namespace match_sets

namespace match_attributes {
constexpr auto k = "k", unmatched_types = "unmatched_types", unusable_images = "unusable_images";
}  // namespace match_attributes

}  // namespace

void write_matches(storage::Hdf5File& file, const MatchRows& rows) {
    match_sets::type.write(file, rows.type, {rows.images, rows.k});
    match_sets::score.write(file, rows.score, {rows.images, rows.k});
}

void write_match_diagnostics(storage::Hdf5File& file, const MatchDiagnostics& d, bool writes) {
    const std::uint64_t types = d.type.size(), k = d.k;
    match_sets::diagnosed_type.write_together(file, d.type, {types}, writes);
    match_sets::images_per_type.write_together(file, d.images_per_type, {types}, writes);
    match_sets::images_per_type_and_rank.write_together(file, d.images_per_type_and_rank, {types, k}, writes);
    match_sets::types_matched.write_together(file, d.types_matched, {k}, writes);
    match_sets::score_histogram.write_together(file, d.score_histogram, {k, d.score_bins}, writes);
    file.set_attribute(match_attributes::k, k);
    file.set_attribute(match_attributes::unmatched_types, d.unmatched_types);
    file.set_attribute(match_attributes::unusable_images, d.unusable_images);
}

MatchTable::MatchTable(const std::filesystem::path& matches_h5) : file_(storage::Hdf5File::open(matches_h5)) {
    const auto shape = file_.shape(match_sets::type.name);
    if (shape.size() != 2)
        throw StorageError(fmt::format("{}: '{}' has {} dimensions instead of 2", matches_h5.string(),
                                       match_sets::type.name, shape.size()),
                           "make it again with --redo match");
    images_ = shape[0], k_ = shape[1];
}

std::vector<std::int64_t> MatchTable::types(parallel::Slice images) const {
    return match_sets::type.read(file_, images.begin, images.size());
}

MatchRows MatchTable::rows() const {
    return {images_, k_, match_sets::type.read(file_), match_sets::score.read(file_)};
}

MatchDiagnostics MatchTable::diagnostics() const {
    return {k_,
            match_sets::diagnosed_type.read(file_),
            match_sets::images_per_type.read(file_),
            match_sets::images_per_type_and_rank.read(file_),
            match_sets::types_matched.read(file_),
            match_sets::score_histogram.read(file_),
            file_.int_attribute(match_attributes::unmatched_types),
            file_.int_attribute(match_attributes::unusable_images)};
}

}  // namespace tg::run
