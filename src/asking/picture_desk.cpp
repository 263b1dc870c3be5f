#include "taskgalaxy/asking/picture_desk.hpp"

#include <algorithm>
#include <cmath>
#include <exception>

#include "taskgalaxy/core/base64.hpp"

namespace tg::asking {

llm::ChatImage encode_for_chat(const pictures::Image& image, const SentPicture& as) {
    const auto longest = std::max(image.width, image.height);
    std::vector<std::byte> jpeg;
    llm::ChatImage out{"image/jpeg", {}, image.width, image.height};
    if (longest > as.longest_side) {
        const auto shrunk = [&](int side) {
            return std::max(1, static_cast<int>(std::lround(static_cast<double>(side) * as.longest_side / longest)));
        };
        out.width = shrunk(image.width), out.height = shrunk(image.height);
        jpeg = pictures::encode_jpeg(pictures::resized(image, out.width, out.height), as.quality);
    } else {
        jpeg = pictures::encode_jpeg(image, as.quality);
    }
    out.base64 = to_base64(jpeg);
    return out;
}

Digest digest_as_sent(const Digest& file, const SentPicture& as) {
    return DigestBuilder()
        .add(file)
        .add(static_cast<std::uint64_t>(as.longest_side))
        .add(static_cast<std::uint64_t>(as.quality))
        .finish();
}

std::shared_ptr<const llm::ChatImage> PictureDesk::get(std::uint64_t image) {
    std::promise<std::shared_ptr<const llm::ChatImage>> made;
    Future found;
    {
        const std::lock_guard lock(mutex_);
        if (const auto at = entries_.find(image); at != entries_.end()) {
            recent_.splice(recent_.begin(), recent_, at->second.place);
            found = at->second.picture;
        } else {
            recent_.push_front(image);
            entries_.emplace(image, Entry{made.get_future().share(), recent_.begin()});
            while (entries_.size() > remembered_) {
                entries_.erase(recent_.back());
                recent_.pop_back();
            }
        }
    }
    if (found.valid()) return found.get();  // waits where another thread is at it; its failure is ours too
    try {
        auto picture = std::make_shared<const llm::ChatImage>(encode_for_chat(picture_(image), as_));
        made.set_value(picture);
        return picture;
    } catch (...) {  // for those who wait, and for this caller
        made.set_exception(std::current_exception());
        throw;
    }
}

}  // namespace tg::asking
