// The LLaMA family of language models (Vicuna, SmolLM2, Qwen2 by its biases, InternLM2 by its names), as units with
// forward and backward written out: no autograd, so that memory, reduction and recomputation are decided by who trains.
// Sequences lie behind each other in one long row (no padding is ever computed). Equal to transformers'
// modeling_llama.py and modeling_qwen2.py. Letters: T tokens of all sequences, H hidden size, D head size, V
// vocabulary.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "taskgalaxy/nn/layers/lora.hpp"
#include "taskgalaxy/nn/layers/torch.hpp"
#include "taskgalaxy/nn/layers/unit.hpp"

namespace tg::models {

struct LanguageConfig {
    std::int64_t hidden = 4096, intermediate = 11008, layers = 32, heads = 32, kv_heads = 32, head_dim = 128,
                 vocabulary = 32000, context = 2048;
    double norm_eps = 1e-6, rope_theta = 1e4;
    bool qkv_bias = false, tied_embeddings = false;
    std::int64_t pad_token = -1;  // its row of the embeddings does not learn where it is looked up
                                  // (torch.nn.Embedding's padding_idx, as transformers sets it); -1: none
    bool grouped_qkv =
        false;  // InternLM2: one tensor, in which each key head lies behind its queries, its value head behind it
    std::int64_t qkv_rows() const { return (heads + 2 * kv_heads) * head_dim; }
    // `text_config`, or a whole config.json of a language model; absent fields are LLaMA-7B's as in transformers.
    // Throws InputError for what we do not compute (scaled rope, sliding windows, other activations) and for sizes that
    // make no sense, naming the field and `where`. Rope that is scaled beyond `context` only ("dynamic") is taken:
    // nothing longer than `context` is ever computed.
    static LanguageConfig read(const nlohmann::json& config, const std::string& where);
};

// Sequences packed into one row, and the rotation of each token (positions start at 0 in each sequence).
struct Packing {
    std::vector<std::int64_t> starts;  // sequences + 1; starts[0] = 0, the last is T
    torch::Tensor cos, sin;            // [T, D] in the dtype of the activations
    std::int64_t tokens() const { return starts.back(); }
    std::size_t sequences() const { return starts.size() - 1; }
};

// Keys and values of the sequences in the making: [slots, kv heads, room, D] a layer.
struct KeyValues {
    torch::Tensor keys, values;
};

class DecoderLayer {
public:
    // What backward needs of forward; without `kept` it is computed again (activation checkpointing).
    struct Kept {
        torch::Tensor normed1, rstd1;            // [T,H], [T]
        torch::Tensor qkv, attended;             // [T, rows] after rope, [T, heads*D]
        std::vector<torch::Tensor> log_sum_exp;  // of attention, see kernels::attend
        torch::Tensor middle, normed2, rstd2;    // [T,H] after attention
        torch::Tensor gate_up;                   // [T, 2*intermediate]
    };

    // `prefix` of its tensors' names: "language_model.model.layers.3."
    DecoderLayer(const LanguageConfig& config, const std::string& prefix, std::string name);
    DecoderLayer(DecoderLayer&&) = default;

    layers::Unit& unit() { return unit_; }
    const layers::Unit& unit() const { return unit_; }
    // Puts low-rank adapters beside the matrices; their parameters are a unit of their own. Null without.
    void add_adapters(const layers::LoraOptions& options);
    layers::Unit* adapters() { return lora_ ? &lora_->unit : nullptr; }
    // fp32 [shape] of a parameter with its adapters added in; undefined where it has none.
    torch::Tensor merged(const layers::Parameter& parameter) const;

    // x [T,H] -> [T,H].
    torch::Tensor forward(const torch::Tensor& x, const Packing& packing, Kept* keep = nullptr) const;
    // d(output) -> d(x); adds into the gradients of the parameters that have one.
    torch::Tensor backward(const torch::Tensor& d_out, const torch::Tensor& x, const Packing& packing,
                           const Kept& kept);

    // Generation. `prefill` computes whole prompts and stores their keys and values in `slots`; `step` one token a
    // sequence: x [B,H], its sequence in slots[b], at position lengths[b].
    torch::Tensor prefill(const torch::Tensor& x, const Packing& packing, KeyValues& cache,
                          std::span<const std::int64_t> slots) const;
    torch::Tensor step(const torch::Tensor& x, const torch::Tensor& cos, const torch::Tensor& sin, KeyValues& cache,
                       std::span<const std::int64_t> slots, std::span<const std::int64_t> lengths) const;

private:
    torch::Tensor project_qkv(const torch::Tensor& normed, const torch::Tensor& cos, const torch::Tensor& sin) const;
    torch::Tensor finish(const torch::Tensor& x, const torch::Tensor& attended, Kept* keep) const;

    struct Lora {
        layers::Unit unit;
        layers::LinearAdapters qkv, out, gate_up, down;
    };

    LanguageConfig config_;
    layers::Unit unit_;
    std::unique_ptr<Lora> lora_;
    layers::Parameter &norm1_, &qkv_, *qkv_bias_, &out_, &norm2_, &gate_up_, &down_;
};

struct LossSums {
    double loss = 0;           // sum of -log p over the supervised positions
    std::int64_t tokens = 0;   // how many those are
    torch::Tensor d_hidden{};  // [T,H], scaled; only with a gradient
};

struct LanguageModel {
    LanguageConfig config;
    layers::Unit embeddings;  // embed_tokens
    std::deque<DecoderLayer> layers;
    layers::Unit head;  // norm, and lm_head unless the embeddings serve

    LanguageModel(const LanguageConfig& config, const std::string& prefix);  // prefix: "language_model."
    std::vector<layers::Unit*> units();                                      // in the order of use, without adapters
    void add_adapters(const layers::LoraOptions& options);                   // to every layer
    bool has_adapters() { return !layers.empty() && layers.front().adapters(); }

    torch::Tensor embed(const torch::Tensor& ids) const;  // [T] -> [T,H]
    Packing pack(std::vector<std::int64_t> starts) const;
    void rotations(const torch::Tensor& positions, torch::Tensor& cos, torch::Tensor& sin) const;  // [T] -> [T,D] each
    torch::Tensor logits(const torch::Tensor& hidden) const;  // [T,H] -> [T,V] fp32, through the final norm

    // Cross-entropy of labels[t] against the logits at t (labels already shifted; -100: not supervised), `chunk` rows
    // of logits alive at once. With `scale` set, adds scale * gradient to the head's parameters and returns scale *
    // d_hidden.
    LossSums loss(const torch::Tensor& hidden, const torch::Tensor& labels, std::optional<double> scale,
                  std::int64_t chunk = 1024);
    // Adds the gradient of the rows of `ids` ([T], d [T,H]) into the embedding table's, but for the padding token's.
    void embed_backward(const torch::Tensor& ids, const torch::Tensor& d_embedded);

    torch::Dtype dtype() const { return embeddings.parameters.front().value.scalar_type(); }
    torch::Device device() const { return embeddings.parameters.front().value.device(); }

private:
    const layers::Parameter& output_matrix() const;
};

}  // namespace tg::models
