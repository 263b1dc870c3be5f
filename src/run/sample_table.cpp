#include "taskgalaxy/run/sample_table.hpp"

#include <fmt/format.h>

#include "taskgalaxy/core/text.hpp"
#include "taskgalaxy/storage/dataset.hpp"

namespace tg::run {
namespace {

namespace sample_sets {
constexpr storage::Dataset<std::int64_t> image{"image"}, type{"type"};
constexpr storage::Dataset<std::string> question{"question"}, answer{"answer"};
constexpr storage::Dataset<std::uint8_t> votes{"votes"}, kept{"kept"}, state{"state"};
constexpr storage::Dataset<std::uint8_t> refine_state{"refine/state"}, refine_kept{"refine/kept"};
constexpr storage::Dataset<std::int64_t> notes_of_part{"part/notes"};
constexpr storage::Dataset<std::int64_t> image_states{"figures/image_states"}, sample_states{"figures/sample_states"};
constexpr storage::Dataset<std::int64_t> votes_for{"figures/votes_for"}, judge_votes{"figures/judge_votes"};
constexpr storage::Dataset<double> agreement{"figures/agreement"};
constexpr storage::Dataset<std::string> level1_name{"figures/level1/name"}, note_name{"figures/notes/name"};
constexpr storage::Dataset<std::int64_t> level1_counts{"figures/level1/counts"}, note_counts{"figures/notes/counts"};
}  // namespace sample_sets

constexpr auto judges_attribute = "judges";

RefineRows read_refined(const storage::Hdf5File& file) {
    return {sample_sets::refine_kept.width(file), sample_sets::refine_state.read(file),
            sample_sets::refine_kept.read(file)};
}

}  // namespace

void write_samples(storage::Hdf5File& file, const SampleRows& samples, const RefineRows& refined,
                   const std::vector<std::int64_t>& notes) {
    sample_sets::image.write(file, samples.image);
    sample_sets::type.write(file, samples.type);
    sample_sets::question.write(file, samples.question);
    sample_sets::answer.write(file, samples.answer);
    sample_sets::votes.write(file, samples.votes, {samples.image.size(), samples.judges});
    sample_sets::kept.write(file, samples.kept);
    sample_sets::state.write(file, samples.state);
    sample_sets::refine_state.write(file, refined.state);
    sample_sets::refine_kept.write(file, refined.kept, {refined.state.size(), refined.k});
    sample_sets::notes_of_part.write(file, notes, {1, notes.size()});
}

void write_sample_figures(storage::Hdf5File& file, const SampleFigures& f, bool writes) {
    const std::uint64_t judges = f.judges.size(), level1 = f.level1.size(), notes = f.notes.size();
    sample_sets::image_states.write_together(file, f.image_states, {f.image_states.size()}, writes);
    sample_sets::sample_states.write_together(file, f.sample_states, {f.sample_states.size()}, writes);
    sample_sets::votes_for.write_together(file, f.votes_for, {judges + 1}, writes);
    sample_sets::judge_votes.write_together(file, f.judge_votes, {judges, 3}, writes);
    sample_sets::agreement.write_together(file, f.agreement, {judges, judges}, writes);
    sample_sets::level1_name.write_together(file, f.level1, writes);
    sample_sets::level1_counts.write_together(file, f.level1_counts, {level1, 4}, writes);
    sample_sets::note_name.write_together(file, f.notes, writes);
    sample_sets::note_counts.write_together(file, f.note_counts, {3, notes}, writes);
    file.set_attribute(judges_attribute, join(f.judges, ", "));
    file.set_attribute("none_rate", f.none_rate);
    file.set_attribute("kept_rate", f.kept_rate);
    file.set_attribute("fleiss_kappa", f.fleiss_kappa);
    file.set_attribute("kept", f.kept);
    file.set_attribute("format", "taskgalaxy samples 1");
    file.set_attribute("keep_votes", f.keep_votes);
    file.set_attribute("limit_items", f.limit_items);
}

SampleMarks read_sample_marks(const std::filesystem::path& part) {
    const auto file = storage::Hdf5File::open(part);
    return {read_refined(file), sample_sets::state.read(file), sample_sets::kept.read(file),
            sample_sets::votes.read(file), sample_sets::notes_of_part.read(file)};
}

RefineRows read_refined(const std::filesystem::path& samples_h5) {
    return read_refined(storage::Hdf5File::open(samples_h5));
}

std::vector<std::int64_t> read_image_states(const std::filesystem::path& samples_h5) {
    return sample_sets::image_states.read(storage::Hdf5File::open(samples_h5));
}

SampleTable::SampleTable(const std::filesystem::path& samples_h5) {
    const auto file = storage::Hdf5File::open(samples_h5);
    image_ = sample_sets::image.read(file);
    type_ = sample_sets::type.read(file);
    kept_ = sample_sets::kept.read(file);
    state_ = sample_sets::state.read(file);
    votes_ = sample_sets::votes.read(file);
    question_ = sample_sets::question.column(file);
    answer_ = sample_sets::answer.column(file);
    for (const auto& judge : split(file.text_attribute(judges_attribute), ','))
        if (!trimmed(judge).empty()) judges_.emplace_back(trimmed(judge));
    const auto rows = image_.size();
    for (const auto& [name, length] :
         {std::pair{sample_sets::type.name, type_.size()},
          {sample_sets::kept.name, kept_.size()},
          {sample_sets::state.name, state_.size()},
          {sample_sets::question.name, question_.size()},
          {sample_sets::answer.name, answer_.size()},
          {sample_sets::votes.name, judges_.empty() ? rows : votes_.size() / judges_.size()}})
        if (length != rows)
            throw StorageError(
                fmt::format("{}: {} rows of {} beside {} of image", samples_h5.string(), length, name, rows),
                "remove the file and run stage curate again");
}

}  // namespace tg::run
