// Scalars as TensorBoard reads them: FOLDER/events.out.tfevents.*, records of TFRecord framing (length, masked CRC-32C,
// data, masked CRC-32C; tensorflow/core/lib/io/record_writer.cc) that hold Event messages of
// tensorflow/core/util/event.proto.
#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tg::training {

std::uint32_t crc32c(std::string_view bytes);

class EventFile {
public:
    // A new file in `folder`, beginning at `wall_time` (seconds since 1970); event files that lie there are of an
    // earlier life and go.
    EventFile(const std::filesystem::path& folder, double wall_time);
    // Whole in the file when this returns. Throws StorageError.
    void add(std::int64_t step, double wall_time, const std::vector<std::pair<std::string, double>>& scalars);

private:
    void record(const std::string& event);
    std::filesystem::path path_;
    std::ofstream out_;
};

}  // namespace tg::training
