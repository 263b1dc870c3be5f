// Content digests (XXH3, 128 bit, xxHash library): of pictures, prompts, settings. Not for secrets or against forgery.
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace tg {

struct Digest {
    std::array<std::uint8_t, 16> bytes{};
    auto operator<=>(const Digest&) const = default;
    std::string hex() const;  // 32 lower-case digits
};

Digest digest_of(std::span<const std::byte> bytes);
Digest digest_of(std::string_view text);
// Streams the file; throws InputError naming it when it cannot be read.
Digest digest_of_file(const std::filesystem::path& path);

// Digest of a sequence of fields; each is framed by its length, so ("ab","c") and ("a","bc") differ.
class DigestBuilder {
public:
    DigestBuilder();
    ~DigestBuilder();
    DigestBuilder(DigestBuilder&&) noexcept;
    DigestBuilder& operator=(DigestBuilder&&) noexcept;
    DigestBuilder& add(std::string_view field);
    DigestBuilder& add(const Digest& field);
    DigestBuilder& add(std::uint64_t field);
    Digest finish() const;

private:
    struct State;
    std::unique_ptr<State> state_;
};

// For hash maps: a digest is already uniformly spread.
struct DigestHash {
    std::size_t operator()(const Digest& d) const noexcept {
        std::size_t value;
        std::memcpy(&value, d.bytes.data(), sizeof value);
        return value;
    }
};

}  // namespace tg
