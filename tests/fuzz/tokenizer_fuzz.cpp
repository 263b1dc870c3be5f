// Fuzz target for tokenizers: any bytes as a tokenizer.json. Only InputError may come out; a tokenizer that is accepted
// must cut any text into tokens whose bytes lie inside it. clang: libFuzzer; otherwise replay.hpp's main replays and
// mutates the files it is given.
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string_view>

#include "replay.hpp"
#include "taskgalaxy/core/error.hpp"
#include "taskgalaxy/nn/text/language_tokenizer.hpp"

namespace {

// A model folder of this process, in memory where there is such a place.
const std::filesystem::path& folder() {
    static const std::filesystem::path made = [] {
        std::string name =
            (std::filesystem::exists("/dev/shm") ? "/dev/shm" : std::filesystem::temp_directory_path().string()) +
            "/tg_tokenizer_fuzz_XXXXXX";
        if (!::mkdtemp(name.data())) __builtin_trap();
        std::ofstream(name + "/tokenizer_config.json") << R"({"eos_token": "<|im_end|>"})";
        std::atexit([] { std::filesystem::remove_all(folder()); });
        return std::filesystem::path(name);
    }();
    return made;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    std::ofstream(folder() / "tokenizer.json", std::ios::binary)
        .write(reinterpret_cast<const char*>(data), static_cast<std::streamsize>(size));
    try {
        const tg::text::ByteBpeTokenizer tokenizer(folder());
        for (const std::string_view text :
             {"How many birds?<|im_end|>\n", "", "  3.14 na\xC3\xAFve \xE6\x9D\xB1\xE4\xBA\xAC", "\xFF\xC0 broken \xE6",
              "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}) {
            try {
                std::vector<std::int64_t> ids;
                for (const auto& token : tokenizer.tokenize(text)) {
                    if (token.begin > token.end || token.end > text.size()) __builtin_trap();
                    ids.push_back(token.id);
                }
                tokenizer.decode(ids);
            } catch (const tg::InputError&) {  // this vocabulary cannot say it
            }
        }
    } catch (const tg::InputError&) {  // no tokenizer
    }
    return 0;
}
