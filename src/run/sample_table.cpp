#include "taskgalaxy/run/sample_table.hpp"

#include <fmt/format.h>

#include "taskgalaxy/core/text.hpp"

namespace tg::run {

SampleTable::SampleTable(const std::filesystem::path& samples_h5) {
    const auto file = storage::Hdf5File::open(samples_h5);
    image_ = file.read<std::int64_t>("image");
    type_ = file.read<std::int64_t>("type");
    kept_ = file.read<std::uint8_t>("kept");
    state_ = file.read<std::uint8_t>("state");
    votes_ = file.read<std::uint8_t>("votes");
    question_ = storage::TextColumn(file, "question");
    answer_ = storage::TextColumn(file, "answer");
    for (const auto& judge : split(file.text_attribute("judges"), ','))
        if (!trimmed(judge).empty()) judges_.emplace_back(trimmed(judge));
    const auto rows = image_.size();
    for (const auto& [name, length] : {std::pair<const char*, std::size_t>{"type", type_.size()},
                                       {"kept", kept_.size()},
                                       {"state", state_.size()},
                                       {"question", question_.size()},
                                       {"answer", answer_.size()},
                                       {"votes", judges_.empty() ? rows : votes_.size() / judges_.size()}})
        if (length != rows)
            throw StorageError(
                fmt::format("{}: {} rows of {} beside {} of image", samples_h5.string(), length, name, rows),
                "remove the file and run stage curate again");
}

}  // namespace tg::run
