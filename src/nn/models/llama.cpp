#include "taskgalaxy/nn/models/llama.hpp"

#include <fmt/format.h>

#include "taskgalaxy/core/error.hpp"
#include "taskgalaxy/core/json.hpp"
#include "taskgalaxy/nn/layers/ops.hpp"

namespace tg::models {

using nlohmann::json;
using torch::Tensor;

namespace {

void refuse(const std::string& where, const std::string& name, const std::string& value, const std::string& known) {
    throw InputError(fmt::format("{}: {} = {} is not supported", where, name, value), "known here: " + known);
}

// transformers 4 writes rope_theta and rope_scaling, transformers 5 rope_parameters.
double read_rope(const json& config, const std::string& where) {
    double theta = field(config, "rope_theta", 1e4);
    for (const auto* name : {"rope_scaling", "rope_parameters"}) {
        const auto found = config.find(name);
        if (found == config.end() || found->is_null()) continue;
        const auto type = field<std::string>(*found, "rope_type", field<std::string>(*found, "type", "default"));
        if (type != "default" && type != "dynamic")
            refuse(where, fmt::format("{}.rope_type", name), type, "default, dynamic");
        theta = field(*found, "rope_theta", theta);
    }
    return theta;
}

}  // namespace

LanguageConfig LanguageConfig::read(const json& config, const std::string& where) {
    const auto type = field<std::string>(config, "model_type", "llama");
    const bool qwen2 = type == "qwen2", internlm2 = type == "internlm2";
    if (!qwen2 && !internlm2 && type != "llama" && type != "llava_llama" && type != "llava" && type != "mistral")
        refuse(where, "model_type", type, "llama, qwen2, internlm2");
    LanguageConfig c;
    c.hidden = field(config, "hidden_size", c.hidden);
    c.intermediate = field(config, "intermediate_size", qwen2 ? std::int64_t{22016} : c.intermediate);
    c.layers = field(config, "num_hidden_layers", c.layers);
    c.heads = field(config, "num_attention_heads", c.heads);
    c.kv_heads = field(config, "num_key_value_heads", c.heads);
    c.head_dim = field(config, "head_dim", c.heads > 0 ? c.hidden / c.heads : 0);
    c.vocabulary = field(config, "vocab_size", c.vocabulary);
    c.context = field(config, "max_position_embeddings", c.context);
    c.norm_eps = field(config, "rms_norm_eps", c.norm_eps);
    c.rope_theta = read_rope(config, where);
    c.tied_embeddings = field(config, "tie_word_embeddings", false);
    if (const auto pad = config.find("pad_token_id"); pad != config.end() && !pad->is_null()) {
        c.pad_token = pad->get<std::int64_t>();
        if (c.pad_token < 0) c.pad_token += c.vocabulary;  // as padding_idx counts
    }
    c.qkv_bias = qwen2;
    c.grouped_qkv = internlm2;
    if (internlm2 && field(config, "bias", true)) refuse(where, "bias", "true", "false");
    const std::pair<const char*, std::int64_t> sizes[] = {
        {"hidden_size", c.hidden},        {"intermediate_size", c.intermediate}, {"num_hidden_layers", c.layers},
        {"num_attention_heads", c.heads}, {"num_key_value_heads", c.kv_heads},   {"head_dim", c.head_dim},
        {"vocab_size", c.vocabulary},     {"max_position_embeddings", c.context}};
    for (const auto& [name, size] : sizes)
        if (size < 1 || size > (std::int64_t{1} << 24))
            throw InputError(fmt::format("{}: {} = {} is not a sensible size", where, name, size));
    if (const auto act = field<std::string>(config, "hidden_act", "silu"); act != "silu")
        refuse(where, "hidden_act", act, "silu");
    for (const auto* name : {"attention_bias", "mlp_bias", "use_sliding_window"})
        if (field(config, name, false)) refuse(where, name, "true", "false");
    if (type == "mistral" && config.contains("sliding_window") && !config["sliding_window"].is_null())
        refuse(where, "sliding_window", config["sliding_window"].dump(), "null");
    if (c.heads % c.kv_heads != 0)
        throw InputError(fmt::format("{}: num_attention_heads {} is no multiple of num_key_value_heads {}", where,
                                     c.heads, c.kv_heads));
    return c;
}

namespace {

layers::ops::Heads heads_of(const LanguageConfig& c) { return {c.heads, c.kv_heads, c.head_dim}; }

// x W^T (+ bias)
Tensor linear(const Tensor& x, const layers::Parameter& weight, const layers::Parameter* bias = nullptr) {
    return bias ? layers::ops::multiply_add(bias->value, x, weight.value.t())
                : layers::ops::multiply(x, weight.value.t());
}

// Gradients of linear: into the parameter, returns d(x).
Tensor linear_backward(const Tensor& d_y, const Tensor& x, layers::Parameter& weight,
                       layers::Parameter* bias = nullptr) {
    if (weight.grad.defined()) layers::ops::add_product(weight.grad, d_y.t(), x);
    if (bias && bias->grad.defined()) bias->grad.add_(d_y.sum(0, false, torch::kFloat32));
    return layers::ops::multiply(d_y, weight.value);
}

std::vector<layers::FilePiece> qkv_pieces(const LanguageConfig& c, const std::string& attention) {
    const auto queries = c.heads * c.head_dim, keys = c.kv_heads * c.head_dim;
    if (!c.grouped_qkv)
        return {{attention + "q_proj.weight", queries},
                {attention + "k_proj.weight", keys},
                {attention + "v_proj.weight", keys}};
    auto rows = std::make_shared<std::vector<std::int64_t>>();
    const auto per_group = c.heads / c.kv_heads;
    const auto put = [&](std::int64_t group, std::int64_t place) {
        for (std::int64_t d = 0; d < c.head_dim; ++d)
            rows->push_back((group * (per_group + 2) + place) * c.head_dim + d);
    };
    for (std::int64_t head = 0; head < c.heads; ++head) put(head / per_group, head % per_group);
    for (const auto place : {per_group, per_group + 1})
        for (std::int64_t group = 0; group < c.kv_heads; ++group) put(group, place);
    return {{attention + "qkv_proj.weight", c.qkv_rows(), std::move(rows)}};
}

layers::Parameter* bias_of(layers::Unit& unit, const LanguageConfig& c, const std::string& attention) {
    if (!c.qkv_bias) return nullptr;
    return &unit.add({c.qkv_rows()},
                     {{attention + "q_proj.bias", c.heads * c.head_dim},
                      {attention + "k_proj.bias", c.kv_heads * c.head_dim},
                      {attention + "v_proj.bias", c.kv_heads * c.head_dim}},
                     false);
}

}  // namespace

DecoderLayer::DecoderLayer(const LanguageConfig& c, const std::string& prefix, std::string name)
    : config_(c),
      unit_{std::move(name)},
      norm1_(unit_.add({c.hidden}, {{prefix + "input_layernorm.weight", c.hidden}}, false)),
      qkv_(unit_.add({c.qkv_rows(), c.hidden}, qkv_pieces(c, prefix + "self_attn."), true)),
      qkv_bias_(bias_of(unit_, c, prefix + "self_attn.")),
      out_(unit_.add({c.hidden, c.heads * c.head_dim}, {{prefix + "self_attn.o_proj.weight", c.hidden}}, true)),
      norm2_(unit_.add({c.hidden}, {{prefix + "post_attention_layernorm.weight", c.hidden}}, false)),
      gate_up_(unit_.add(
          {2 * c.intermediate, c.hidden},
          {{prefix + "mlp.gate_proj.weight", c.intermediate}, {prefix + "mlp.up_proj.weight", c.intermediate}}, true)),
      down_(unit_.add({c.hidden, c.intermediate}, {{prefix + "mlp.down_proj.weight", c.hidden}}, true)) {}

void DecoderLayer::add_adapters(const layers::LoraOptions& options) {
    layers::Unit unit{unit_.name + " adapters"};
    layers::LinearAdapters qkv(unit, qkv_, options), out(unit, out_, options), gate_up(unit, gate_up_, options),
        down(unit, down_, options);
    lora_ = std::make_unique<Lora>(
        Lora{std::move(unit), std::move(qkv), std::move(out), std::move(gate_up), std::move(down)});
}

Tensor DecoderLayer::merged(const layers::Parameter& parameter) const {
    if (!lora_) return {};
    for (const auto* adapters : {&lora_->qkv, &lora_->out, &lora_->gate_up, &lora_->down})
        if (adapters->belongs_to(parameter) && !adapters->empty()) return adapters->merged();
    return {};
}

Tensor DecoderLayer::project_qkv(const Tensor& normed, const Tensor& cos, const Tensor& sin) const {
    auto qkv = linear(normed, qkv_, qkv_bias_);
    if (lora_) lora_->qkv.forward(normed, qkv);
    layers::ops::rotate(qkv, cos, sin, config_.heads + config_.kv_heads);
    return qkv;
}

Tensor DecoderLayer::finish(const Tensor& x, const Tensor& attended, Kept* keep) const {
    auto middle = layers::ops::multiply_add(x, attended, out_.value.t());
    if (lora_) lora_->out.forward(attended, middle);
    Tensor rstd;
    const auto normed = layers::ops::rms_norm(middle, norm2_.value, config_.norm_eps, &rstd);
    auto gate_up = linear(normed, gate_up_);
    if (lora_) lora_->gate_up.forward(normed, gate_up);
    const auto activated = layers::ops::swiglu(gate_up);
    auto y = layers::ops::multiply_add(middle, activated, down_.value.t());
    if (lora_) lora_->down.forward(activated, y);
    if (keep) keep->middle = middle, keep->normed2 = normed, keep->rstd2 = rstd, keep->gate_up = gate_up;
    return y;
}

Tensor DecoderLayer::forward(const Tensor& x, const Packing& packing, Kept* keep) const {
    Tensor rstd;
    const auto normed = layers::ops::rms_norm(x, norm1_.value, config_.norm_eps, &rstd);
    const auto qkv = project_qkv(normed, packing.cos, packing.sin);
    if (keep) keep->log_sum_exp.clear();
    const auto attended =
        layers::ops::attend(qkv, heads_of(config_), packing.starts, keep ? &keep->log_sum_exp : nullptr);
    if (keep) keep->normed1 = normed, keep->rstd1 = rstd, keep->qkv = qkv, keep->attended = attended;
    return finish(x, attended, keep);
}

Tensor DecoderLayer::backward(const Tensor& d_out, const Tensor& x, const Packing& packing, const Kept& kept) {
    Tensor d_gate_up;
    {
        const auto activated = layers::ops::swiglu(kept.gate_up);
        auto d_act = linear_backward(d_out, activated, down_);
        if (lora_) lora_->down.backward(d_out, activated, d_act);
        d_gate_up = layers::ops::swiglu_backward(d_act, kept.gate_up);
    }
    auto d_normed2 = linear_backward(d_gate_up, kept.normed2, gate_up_);
    if (lora_) lora_->gate_up.backward(d_gate_up, kept.normed2, d_normed2);
    const auto d_middle =
        layers::ops::rms_norm_backward(d_normed2, kept.middle, norm2_.value, kept.rstd2, d_out, norm2_.grad);

    auto d_attended = linear_backward(d_middle, kept.attended, out_);
    if (lora_) lora_->out.backward(d_middle, kept.attended, d_attended);
    auto d_qkv = layers::ops::attend_backward(d_attended, kept.qkv, kept.attended, heads_of(config_), packing.starts,
                                              kept.log_sum_exp);
    layers::ops::rotate(d_qkv, packing.cos, packing.sin, config_.heads + config_.kv_heads, true);
    auto d_normed1 = linear_backward(d_qkv, kept.normed1, qkv_, qkv_bias_);
    if (lora_) lora_->qkv.backward(d_qkv, kept.normed1, d_normed1);
    return layers::ops::rms_norm_backward(d_normed1, x, norm1_.value, kept.rstd1, d_middle, norm1_.grad);
}

Tensor DecoderLayer::prefill(const Tensor& x, const Packing& packing, KeyValues& cache,
                             std::span<const std::int64_t> slots) const {
    const auto qkv = project_qkv(layers::ops::rms_norm(x, norm1_.value, config_.norm_eps), packing.cos, packing.sin);
    for (std::size_t s = 0; s < slots.size(); ++s) {
        const auto rows = qkv.slice(0, packing.starts[s], packing.starts[s + 1]);
        const auto length = rows.size(0);
        const auto store = [&](Tensor& to, std::int64_t first_head) {
            to[slots[s]]
                .narrow(1, 0, length)
                .copy_(rows.narrow(1, first_head * config_.head_dim, config_.kv_heads * config_.head_dim)
                           .view({length, config_.kv_heads, config_.head_dim})
                           .transpose(0, 1));
        };
        store(cache.keys, config_.heads);
        store(cache.values, config_.heads + config_.kv_heads);
    }
    return finish(x, layers::ops::attend(qkv, heads_of(config_), packing.starts), nullptr);
}

Tensor DecoderLayer::step(const Tensor& x, const Tensor& cos, const Tensor& sin, KeyValues& cache,
                          std::span<const std::int64_t> slots, std::span<const std::int64_t> lengths) const {
    const auto qkv = project_qkv(layers::ops::rms_norm(x, norm1_.value, config_.norm_eps), cos, sin);
    const auto B = x.size(0), D = config_.head_dim;
    const auto slot =
        torch::tensor(std::vector<std::int64_t>(slots.begin(), slots.end()), torch::kInt64).to(x.device());
    const auto position =
        torch::tensor(std::vector<std::int64_t>(lengths.begin(), lengths.end()), torch::kInt64).to(x.device());
    const auto store = [&](Tensor& to, std::int64_t first_head) {
        to.index_put_({slot, torch::indexing::Slice(), position},
                      qkv.narrow(1, first_head * D, config_.kv_heads * D).view({B, config_.kv_heads, D}));
    };
    store(cache.keys, config_.heads);
    store(cache.values, config_.heads + config_.kv_heads);
    std::vector<std::int64_t> with_this(lengths.begin(), lengths.end());
    for (auto& length : with_this) ++length;
    return finish(x,
                  layers::ops::attend_cached(qkv.narrow(1, 0, config_.heads * D).contiguous(), cache.keys, cache.values,
                                             heads_of(config_), slots, with_this),
                  nullptr);
}

LanguageModel::LanguageModel(const LanguageConfig& c, const std::string& prefix)
    : config(c), embeddings{"embeddings"}, head{"head"} {
    embeddings.add({c.vocabulary, c.hidden}, {{prefix + "model.embed_tokens.weight", c.vocabulary}}, true);
    for (std::int64_t i = 0; i < c.layers; ++i)
        layers.emplace_back(c, fmt::format("{}model.layers.{}.", prefix, i), fmt::format("layer {}", i));
    head.add({c.hidden}, {{prefix + "model.norm.weight", c.hidden}}, false);
    if (!c.tied_embeddings) head.add({c.vocabulary, c.hidden}, {{prefix + "lm_head.weight", c.vocabulary}}, true);
}

std::vector<layers::Unit*> LanguageModel::units() {
    std::vector<layers::Unit*> all{&embeddings};
    for (auto& layer : layers) all.push_back(&layer.unit());
    all.push_back(&head);
    return all;
}

void LanguageModel::add_adapters(const layers::LoraOptions& options) {
    for (auto& layer : layers) layer.add_adapters(options);
}

const layers::Parameter& LanguageModel::output_matrix() const {
    return config.tied_embeddings ? embeddings.parameters.front() : head.parameters.back();
}

Tensor LanguageModel::embed(const Tensor& ids) const {
    return embeddings.parameters.front().value.index_select(0, ids);
}

void LanguageModel::rotations(const Tensor& positions, Tensor& cos, Tensor& sin) const {
    const auto half = config.head_dim / 2;
    const auto exponent = torch::arange(0, 2 * half, 2, torch::dtype(torch::kFloat32).device(positions.device())) /
                          static_cast<double>(config.head_dim);
    const auto frequency = 1.0 / torch::pow(config.rope_theta, exponent);  // in fp32 as the reference
    const auto angle = positions.to(torch::kFloat32).unsqueeze(1) * frequency;
    const auto both = torch::cat({angle, angle}, 1);
    cos = both.cos().to(dtype());
    sin = both.sin().to(dtype());
}

Packing LanguageModel::pack(std::vector<std::int64_t> starts) const {
    Packing packing;
    auto positions = torch::empty({starts.back()}, torch::kInt64);
    for (std::size_t s = 0; s + 1 < starts.size(); ++s)
        for (auto t = starts[s]; t < starts[s + 1]; ++t) positions.data_ptr<std::int64_t>()[t] = t - starts[s];
    rotations(positions.to(device()), packing.cos, packing.sin);
    packing.starts = std::move(starts);
    return packing;
}

Tensor LanguageModel::logits(const Tensor& hidden) const {
    return layers::ops::multiply(layers::ops::rms_norm(hidden, head.parameters.front().value, config.norm_eps),
                                 output_matrix().value.t(), torch::kFloat32);
}

LossSums LanguageModel::loss(const Tensor& hidden, const Tensor& labels, std::optional<double> scale,
                             std::int64_t chunk) {
    LossSums sums;
    const auto rows = torch::nonzero(labels.ne(-100)).squeeze(1);
    sums.tokens = rows.size(0);
    if (scale) sums.d_hidden = torch::zeros_like(hidden);
    auto& norm = head.parameters.front();
    auto& matrix = const_cast<layers::Parameter&>(output_matrix());  // ours, of this non-const object
    // The same memory for every chunk: blocks of this size would come from the system, page by page, each time.
    const auto room =
        torch::empty({std::min(chunk, sums.tokens), matrix.value.size(0)}, hidden.options().dtype(torch::kFloat32));
    const auto room_of_gradient =
        hidden.scalar_type() == torch::kFloat32 || !scale ? Tensor() : torch::empty_like(room, hidden.options());
    for (std::int64_t first = 0; first < sums.tokens; first += chunk) {
        const auto index = rows.slice(0, first, first + chunk);
        const auto x = hidden.index_select(0, index);
        Tensor rstd;
        const auto normed = layers::ops::rms_norm(x, norm.value, config.norm_eps, &rstd);
        auto logits = room.narrow(0, 0, index.size(0));
        layers::ops::multiply_into(logits, normed, matrix.value.t());
        sums.loss += layers::ops::cross_entropy(logits, labels.index_select(0, index), scale.value_or(0));
        if (!scale) continue;
        const auto d_logits =
            room_of_gradient.defined() ? room_of_gradient.narrow(0, 0, index.size(0)).copy_(logits) : logits;
        const auto d_normed = linear_backward(d_logits, normed, matrix);
        sums.d_hidden.index_copy_(0, index,
                                  layers::ops::rms_norm_backward(d_normed, x, norm.value, rstd, {}, norm.grad));
    }
    return sums;
}

void LanguageModel::embed_backward(const Tensor& ids, const Tensor& d_embedded) {
    auto& table = embeddings.parameters.front();
    if (!table.grad.defined()) return;
    const auto learnt = torch::nonzero(ids.ne(config.pad_token)).squeeze(1);
    if (learnt.size(0) == ids.size(0)) layers::ops::add_rows(table.grad, ids, d_embedded);
    else layers::ops::add_rows(table.grad, ids.index_select(0, learnt), d_embedded.index_select(0, learnt));
}

}  // namespace tg::models
