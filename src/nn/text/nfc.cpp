#include "nfc.hpp"

#include <fmt/format.h>
#include <stdexcept>
#include <unicode/bytestream.h>
#include <unicode/normalizer2.h>
#include <unicode/uniset.h>

namespace tg::text {
namespace {

void check(UErrorCode status) {
    if (U_FAILURE(status))
        throw std::runtime_error(fmt::format("Unicode normalisation failed: {}", u_errorName(status)));
}

const icu::FilteredNormalizer2& of_unicode_9() {
    static const icu::UnicodeSet characters = [] {
        UErrorCode status = U_ZERO_ERROR;
        icu::UnicodeSet set(u"[:age=9.0:]", status);
        check(status);
        set.freeze();
        return set;
    }();
    static const icu::FilteredNormalizer2 normalizer = [] {
        UErrorCode status = U_ZERO_ERROR;
        const auto* whole = icu::Normalizer2::getNFCInstance(status);
        check(status);
        return icu::FilteredNormalizer2(*whole, characters);
    }();
    return normalizer;
}

}  // namespace

std::string nfc(std::string_view text) {
    std::string composed;
    icu::StringByteSink<std::string> sink(&composed);
    UErrorCode status = U_ZERO_ERROR;
    of_unicode_9().normalizeUTF8(0, icu::StringPiece(text.data(), static_cast<std::int32_t>(text.size())), sink,
                                 nullptr, status);
    check(status);
    return composed;
}

}  // namespace tg::text
