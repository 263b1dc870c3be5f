// JPEG for endpoints and reports, through TurboJPEG.
#include <fmt/format.h>
#include <memory>

#include <turbojpeg.h>

#include "taskgalaxy/pictures/image.hpp"

namespace tg::pictures {

std::vector<std::byte> encode_jpeg(const Image& image, int quality) {
    if (image.width < 1 || image.height < 1)
        throw InputError(fmt::format("a picture of {} x {} pixels cannot be encoded", image.width, image.height));
    const std::unique_ptr<void, int (*)(tjhandle)> encoder(tjInitCompress(), tjDestroy);
    unsigned char* buffer = nullptr;
    unsigned long size = 0;
    const int subsampling = quality >= 90 ? TJSAMP_444 : TJSAMP_420;
    const int result = tjCompress2(encoder.get(), image.rgb.data(), image.width, 0, image.height, TJPF_RGB, &buffer,
                                   &size, subsampling, quality, TJFLAG_ACCURATEDCT);
    const std::unique_ptr<unsigned char, void (*)(unsigned char*)> owned(buffer, tjFree);
    if (result != 0)
        throw InputError(fmt::format("JPEG encoding of {} x {} pixels failed: {}", image.width, image.height,
                                     tjGetErrorStr2(encoder.get())));
    const auto* begin = reinterpret_cast<const std::byte*>(buffer);
    return {begin, begin + size};
}

}  // namespace tg::pictures
