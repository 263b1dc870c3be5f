// Pictures as they are sent: read, decoded, shrunk, JPEG, base64. Each is made once and shared by all requests about it
// as long as it is among the last few used, so that memory stays bounded however many images wait. Any thread.
#pragma once

#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <future>
#include <unordered_map>
#include <vector>

#include "taskgalaxy/core/digest.hpp"
#include "taskgalaxy/llm/engine.hpp"
#include "taskgalaxy/pictures/image.hpp"

namespace tg::asking {

struct SentPicture {
    int longest_side = 1024;
    int quality = 90;
};

// Never enlarged; at least one pixel a side.
llm::ChatImage encode_for_chat(const pictures::Image& image, const SentPicture& as);
// What decides the bytes sent: the file and how it is shrunk and encoded.
Digest digest_as_sent(const Digest& file, const SentPicture& as);

class PictureDesk {
public:
    PictureDesk(std::function<pictures::Image(std::uint64_t)> picture, SentPicture as, std::size_t remembered = 256)
        : picture_(std::move(picture)), as_(as), remembered_(remembered) {}
    // Throws what reading or decoding throws.
    std::shared_ptr<const llm::ChatImage> get(std::uint64_t image);

private:
    using Future = std::shared_future<std::shared_ptr<const llm::ChatImage>>;
    struct Entry {
        Future picture;
        std::list<std::uint64_t>::iterator place;
    };
    std::function<pictures::Image(std::uint64_t)> picture_;
    SentPicture as_;
    std::size_t remembered_;
    std::mutex mutex_;
    std::list<std::uint64_t> recent_;  // last used first
    std::unordered_map<std::uint64_t, Entry> entries_;
};

}  // namespace tg::asking
