#include "taskgalaxy/core/digest.hpp"

#include <fmt/format.h>
#include <fstream>
#include <vector>
#include <xxhash.h>

#include "taskgalaxy/core/error.hpp"

namespace tg {
namespace {

Digest from_xxh(XXH128_hash_t hash) {
    XXH128_canonical_t canonical;  // big-endian: the same bytes on every machine
    XXH128_canonicalFromHash(&canonical, hash);
    Digest digest;
    std::memcpy(digest.bytes.data(), canonical.digest, digest.bytes.size());
    return digest;
}

}  // namespace

std::string Digest::hex() const { return fmt::format("{:02x}", fmt::join(bytes, "")); }

Digest digest_of(std::span<const std::byte> bytes) { return from_xxh(XXH3_128bits(bytes.data(), bytes.size())); }
Digest digest_of(std::string_view text) { return digest_of(std::as_bytes(std::span(text))); }

struct DigestBuilder::State {
    XXH3_state_t* xxh = XXH3_createState();
    State() { XXH3_128bits_reset(xxh); }
    ~State() { XXH3_freeState(xxh); }
    State(const State&) = delete;
    State& operator=(const State&) = delete;
};

DigestBuilder::DigestBuilder() : state_(std::make_unique<State>()) {}
DigestBuilder::~DigestBuilder() = default;
DigestBuilder::DigestBuilder(DigestBuilder&&) noexcept = default;
DigestBuilder& DigestBuilder::operator=(DigestBuilder&&) noexcept = default;

DigestBuilder& DigestBuilder::add(std::string_view field) {
    add(static_cast<std::uint64_t>(field.size()));
    XXH3_128bits_update(state_->xxh, field.data(), field.size());
    return *this;
}

DigestBuilder& DigestBuilder::add(const Digest& field) {
    XXH3_128bits_update(state_->xxh, field.bytes.data(), field.bytes.size());
    return *this;
}

DigestBuilder& DigestBuilder::add(std::uint64_t field) {
    XXH3_128bits_update(state_->xxh, &field, sizeof field);
    return *this;
}

Digest DigestBuilder::finish() const { return from_xxh(XXH3_128bits_digest(state_->xxh)); }

Digest digest_of_file(const std::filesystem::path& path) {
    std::ifstream in(path, std::ios::binary);
    if (!in) throw InputError(path.string() + ": cannot be read");
    XXH3_state_t* state = XXH3_createState();
    XXH3_128bits_reset(state);
    std::vector<char> buffer(1 << 20);
    while (in.read(buffer.data(), static_cast<std::streamsize>(buffer.size())) || in.gcount() > 0)
        XXH3_128bits_update(state, buffer.data(), static_cast<std::size_t>(in.gcount()));
    const bool bad = in.bad();
    const auto digest = from_xxh(XXH3_128bits_digest(state));
    XXH3_freeState(state);
    if (bad) throw InputError(path.string() + ": a read failed");
    return digest;
}

}  // namespace tg
