// Model folders that lie, are cut, or contradict themselves: an InputError of one line each, never a crash, and never a
// model.
#include <filesystem>
#include <fstream>
#include <functional>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <unistd.h>

#include "taskgalaxy/core/error.hpp"
#include "taskgalaxy/nn/models/vlm.hpp"
#include "unit/nn/fixtures.hpp"

namespace {

namespace fs = std::filesystem;
using nlohmann::json;

void write_file(const fs::path& file, const std::string& bytes) { std::ofstream(file, std::ios::binary) << bytes; }

void edit_json(const fs::path& file, const std::function<void(json&)>& change) {
    auto value = json::parse(std::ifstream(file));
    change(value);
    write_file(file, value.dump());
}

// A safetensors file: header (any text) with an honest or given length, then `payload` bytes.
std::string weights_file(const std::string& header, std::size_t payload, std::uint64_t length) {
    return std::string(reinterpret_cast<const char*>(&length), 8) + header + std::string(payload, '\0');
}
std::string weights_file(const std::string& header, std::size_t payload) {
    return weights_file(header, payload, header.size());
}

struct Harm {
    const char* name;
    const char* base;  // folder under tests/fixtures
    std::function<void(const fs::path&)> apply;
    const char* said;
};

std::vector<Harm> harms() {
    const auto weights = [](const std::string& bytes) {
        return [bytes](const fs::path& f) { write_file(f / "model.safetensors", bytes); };
    };
    const auto tokenizer = [](std::function<void(json&)> change) {
        return [change](const fs::path& f) { edit_json(f / "tokenizer.json", change); };
    };
    const auto config = [](std::function<void(json&)> change) {
        return [change](const fs::path& f) { edit_json(f / "config.json", change); };
    };
    const char *bpe = "language/tiny-qwen2", *llava = "vlm/tiny-llava";
    return {
        {"empty weights", bpe, weights(""), "model.safetensors"},
        {"a cut header", bpe, [](const fs::path& f) { fs::resize_file(f / "model.safetensors", 100); },
         "model.safetensors"},
        {"cut data", bpe,
         [](const fs::path& f) {
             fs::resize_file(f / "model.safetensors", fs::file_size(f / "model.safetensors") - 1);
         },
         "model.safetensors"},
        {"a header longer than the file", bpe, weights(weights_file("{}", 8, std::uint64_t{1} << 40)),
         "model.safetensors"},
        {"a header length that overflows", bpe, weights(weights_file("{}", 8, ~std::uint64_t{0})), "model.safetensors"},
        {"overlapping offsets", bpe,
         weights(weights_file(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[2],)"
                              R"("data_offsets":[4,12]}})",
                              12)),
         "model.safetensors"},
        {"a gap between tensors", bpe,
         weights(weights_file(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],)"
                              R"("data_offsets":[8,12]}})",
                              12)),
         "model.safetensors"},
        {"a shape that overflows", bpe,
         weights(weights_file(
             R"({"a":{"dtype":"F32","shape":[4294967296,4294967296,4294967296],"data_offsets":[0,4]}})", 4)),
         "model.safetensors"},
        {"a header that is no JSON", bpe, weights(weights_file("{\"a\":", 4)), "model.safetensors"},
        {"tensors of nobody", bpe,
         weights(weights_file(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", 4)),
         "no layout of this family"},
        {"an index of files that are not there", bpe,
         [](const fs::path& f) {
             fs::remove(f / "model.safetensors");
             write_file(f / "model.safetensors.index.json",
                        R"({"weight_map": {"model.embed_tokens.weight": "model-00001-of-00002.safetensors"}})");
         },
         "model-00001-of-00002.safetensors"},
        {"an index that leaves the folder", bpe,
         [](const fs::path& f) {
             fs::remove(f / "model.safetensors");
             write_file(f / "model.safetensors.index.json",
                        R"({"weight_map": {"model.embed_tokens.weight": "../../etc/passwd"}})");
         },
         "passwd"},
        {"an index of numbers", bpe,
         [](const fs::path& f) {
             fs::remove(f / "model.safetensors");
             write_file(f / "model.safetensors.index.json", R"({"weight_map": 7})");
         },
         "index.json"},
        {"no weights", bpe, [](const fs::path& f) { fs::remove(f / "model.safetensors"); }, "safetensors"},
        {"config that is no JSON", bpe, [](const fs::path& f) { write_file(f / "config.json", "{\"model_type\": "); },
         "config.json is not JSON"},
        {"config that is a list", bpe, [](const fs::path& f) { write_file(f / "config.json", "[1]"); },
         "not a JSON object"},
        {"config of another model", bpe, config([](json& c) { c["hidden_size"] = 96; }), "config.json asks for"},
        {"a size in words", bpe, config([](json& c) { c["num_hidden_layers"] = "two"; }), "config.json"},
        {"no heads", bpe, config([](json& c) { c["num_attention_heads"] = 0; }), "num_attention_heads = 0"},
        {"a million layers more than the files have", bpe, config([](json& c) { c["num_hidden_layers"] = 100000000; }),
         "num_hidden_layers = 100000000"},
        {"vision in words", llava, config([](json& c) { c["vision_config"]["patch_size"] = "small"; }), "patch_size"},
        {"a merge of one", bpe, tokenizer([](json& t) { t["model"]["merges"][0] = "alone"; }), "merge 0"},
        {"a merge of what is not there", bpe, tokenizer([](json& t) {
             t["model"]["merges"][3] = json::array({"nobody", "knows"});
         }),
         "merge 3"},
        {"a merge of numbers", bpe, tokenizer([](json& t) { t["model"]["merges"][0] = 5; }), "tokenizer.json"},
        {"a token number past all vocabularies", bpe, tokenizer([](json& t) { t["model"]["vocab"]["a"] = 99999999; }),
         "99999999"},
        {"a negative token number", bpe, tokenizer([](json& t) { t["model"]["vocab"]["a"] = -1; }), "has id -1"},
        {"a pattern that is none", bpe, tokenizer([](json& t) {
             t["pre_tokenizer"] = {{"type", "Split"}, {"behavior", "Isolated"}, {"pattern", {{"Regex", "(((("}}}};
         }),
         "pre_tokenizer"},
        {"pre-tokenizers inside pre-tokenizers", bpe, tokenizer([](json& t) {
             json nested = {{"type", "ByteLevel"}};
             for (int i = 0; i < 20; ++i)
                 nested = {{"type", "Sequence"}, {"pretokenizers", json::array({std::move(nested)})}};
             t["pre_tokenizer"] = std::move(nested);
         }),
         "inside each other"},
        {"lists without end", bpe,
         [](const fs::path& f) {
             write_file(f / "tokenizer.json",
                        R"({"pre_tokenizer":)" + std::string(1000000, '[') + std::string(1000000, ']') + "}");
         },
         "more than 64 levels"},
        {"a normalizer that is not known", bpe, tokenizer([](json& t) {
             t["normalizer"] = {{"type", "Replace"}};
         }),
         "normalizer Replace"},
        {"a tokenizer that is no JSON", bpe, [](const fs::path& f) { fs::resize_file(f / "tokenizer.json", 500); },
         "tokenizer.json is not JSON"},
        {"no tokenizer", bpe, [](const fs::path& f) { fs::remove(f / "tokenizer.json"); }, "holds no tokenizer"},
        {"an end token of nobody", bpe,
         [](const fs::path& f) { write_file(f / "tokenizer_config.json", R"({"eos_token": "<nobody>"})"); },
         "eos_token"},
        {"a SentencePiece model that is none", llava,
         [](const fs::path& f) { write_file(f / "tokenizer.model", std::string(3000, 'x')); }, "tokenizer.model"},
        {"a cut SentencePiece model", llava, [](const fs::path& f) { fs::resize_file(f / "tokenizer.model", 4001); },
         "tokenizer.model"},
        {"added tokens without numbers", llava,
         [](const fs::path& f) {
             write_file(f / "tokenizer_config.json", R"({"added_tokens_decoder": {"first": {"content": "<x>"}}})");
         },
         "'first' is no token id"},
        {"added tokens of another kind", llava,
         [](const fs::path& f) { write_file(f / "added_tokens.json", R"({"<x>": "one"})"); }, "tokenizer"},
    };
}

TEST(HostileFolders, are_refused_in_one_line) {
    const auto folder = fs::temp_directory_path() / ("tg_hostile_" + std::to_string(::getpid()));
    for (const auto& harm : harms()) {
        fs::remove_all(folder);
        fs::copy(tg::test::fixtures("") / harm.base, folder, fs::copy_options::recursive);
        harm.apply(folder);
        try {
            tg::models::VisionLanguageModel::load(folder);
            ADD_FAILURE() << harm.name << " was taken for a model";
        } catch (const tg::InputError& error) {
            EXPECT_THAT(error.what(), testing::HasSubstr(harm.said)) << harm.name;
            EXPECT_THAT(error.what(), testing::Not(testing::HasSubstr("\n"))) << harm.name;
            EXPECT_LT(std::string_view(error.what()).size(), 1000u) << harm.name;
        } catch (const std::exception& error) {
            ADD_FAILURE() << harm.name << ": not an input error: " << error.what();
        }
    }
    fs::remove_all(folder);
}

}  // namespace
