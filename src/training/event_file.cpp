#include "event_file.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>

#include <fmt/format.h>

#include "taskgalaxy/core/error.hpp"

namespace tg::training {

namespace fs = std::filesystem;

namespace {

constexpr auto crc_table = [] {
    std::array<std::uint32_t, 256> table{};
    for (std::uint32_t i = 0; i < 256; ++i) {
        table[i] = i;
        for (int bit = 0; bit < 8; ++bit) table[i] = table[i] >> 1 ^ (table[i] & 1 ? 0x82F63B78u : 0);
    }
    return table;
}();

std::string little_endian(std::uint64_t value, int bytes) {
    std::string text;
    for (int i = 0; i < bytes; ++i) text += static_cast<char>(value >> (8 * i) & 0xFF);
    return text;
}

std::string masked_crc(std::string_view bytes) {
    const auto crc = crc32c(bytes);
    return little_endian((crc >> 15 | crc << 17) + 0xA282EAD8u, 4);
}

// Protocol buffers: a field is its number and wire type, then its value.
std::string varint(std::uint64_t value) {
    std::string text;
    for (; value >= 0x80; value >>= 7) text += static_cast<char>((value & 0x7F) | 0x80);
    return text += static_cast<char>(value);
}
std::string number_field(int field, std::int64_t value) {
    return varint(static_cast<std::uint64_t>(field) << 3) + varint(static_cast<std::uint64_t>(value));
}
std::string double_field(int field, double value) {
    return varint(static_cast<std::uint64_t>(field) << 3 | 1) + little_endian(std::bit_cast<std::uint64_t>(value), 8);
}
std::string float_field(int field, float value) {
    return varint(static_cast<std::uint64_t>(field) << 3 | 5) + little_endian(std::bit_cast<std::uint32_t>(value), 4);
}
std::string bytes_field(int field, std::string_view bytes) {
    return varint(static_cast<std::uint64_t>(field) << 3 | 2) + varint(bytes.size()) + std::string(bytes);
}

constexpr std::string_view prefix = "events.out.tfevents.";

}  // namespace

std::uint32_t crc32c(std::string_view bytes) {
    std::uint32_t crc = ~0u;
    for (const char byte : bytes) crc = crc >> 8 ^ crc_table[(crc ^ static_cast<unsigned char>(byte)) & 0xFF];
    return ~crc;
}

EventFile::EventFile(const fs::path& folder, double wall_time) {
    fs::create_directories(folder);
    std::vector<fs::path> earlier;
    for (const auto& entry : fs::directory_iterator(folder))
        if (entry.path().filename().string().starts_with(prefix)) earlier.push_back(entry.path());
    for (const auto& file : earlier) fs::remove(file);
    // A name of its own each time, so that a TensorBoard that is looking sees a new file and no changed one.
    for (auto stamp = static_cast<std::int64_t>(wall_time);; ++stamp) {
        path_ = folder / fmt::format("{}{:010}.taskgalaxy", prefix, stamp);
        if (std::find(earlier.begin(), earlier.end(), path_) == earlier.end()) break;
    }
    out_.open(path_, std::ios::binary | std::ios::trunc);
    record(double_field(1, wall_time) +
           bytes_field(3, "brain.Event:2"));  // its version of the format, without which nothing is read
}

void EventFile::add(std::int64_t step, double wall_time, const std::vector<std::pair<std::string, double>>& scalars) {
    std::string summary;
    for (const auto& [tag, value] : scalars)
        if (std::isfinite(value))
            summary += bytes_field(1, bytes_field(1, tag) + float_field(2, static_cast<float>(value)));
    record(double_field(1, wall_time) + number_field(2, step) + bytes_field(5, summary));
}

void EventFile::record(const std::string& event) {
    const auto length = little_endian(event.size(), 8);
    out_ << length << masked_crc(length) << event << masked_crc(event) << std::flush;
    if (!out_) throw StorageError(fmt::format("{}: cannot write", path_.string()));
}

}  // namespace tg::training
