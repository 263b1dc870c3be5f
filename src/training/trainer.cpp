#include "trainer.hpp"

#include <cmath>

namespace tg {

using torch::Tensor;

Trainer::Trainer(VlmParts& parts, const Communicator& ranks, const TrainerOptions& options) : parts_(parts), options_(options), collectives_(make_collectives(ranks, options.device)) {
    if (options_.sharding == Sharding::full) options_.activation_checkpointing = true;
    if (parts.language.has_adapters()) options_.train_language = false;  // they learn in its place
    const auto add = [&](Unit& unit, bool trained) {
        units_.push_back(std::make_unique<ShardedUnit>(unit, *collectives_, options_.device, options_.dtype, options_.sharding, trained, options_.moments));
        return units_.back().get();
    };
    if (parts.projector) projector_ = add(parts.projector->unit(), options_.train_projector);
    embeddings_ = add(parts.language.embeddings, options_.train_language);
    for (auto& layer : parts.language.layers) layers_.push_back(add(layer.unit(), options_.train_language));
    head_ = add(parts.language.head, options_.train_language);
    // Adapters are small: whole on every rank whatever the sharding, their masters and moments in slices.
    for (auto& layer : parts.language.layers)
        if (auto* adapters = layer.adapters()) units_.push_back(std::make_unique<ShardedUnit>(*adapters, *collectives_, options_.device, options_.dtype, Sharding::optimizer, true, options_.moments));
    together(ranks, [&] {
        for (auto& unit : units_) unit->load(parts.files, parts.names);
        parts.load_vision(options_.device, options_.dtype);
    });
}

Tensor Trainer::features(const Tensor& pixels) const {
    return parts_.vision->features(pixels.to(options_.device)).reshape({-1, parts_.vision->channels}).to(options_.dtype);
}

Trainer::Sums Trainer::forward_backward(const MicroBatch& batch, std::optional<double> scale) {
    auto& language = parts_.language;
    const bool some = batch.tokens() > 0, learn = scale.has_value();
    const bool through_language = learn;  // gradients pass the language model even where only the projector learns
    const bool pictures = some && batch.image_rows.numel() > 0;
    const auto device = options_.device;
    const auto ids = batch.ids.to(device), image_rows = batch.image_rows.to(device);

    Tensor x;
    Packing packing;
    Projector::Kept projector_kept;
    embeddings_->gather();  // stays until the end where it is the output matrix too
    if (some) x = language.embed(ids), packing = language.pack(batch.starts);
    const bool tied = language.config.tied_embeddings;
    if (!tied) embeddings_->release();
    if (projector_) {
        projector_->gather();
        if (pictures) {
            const auto seen = batch.features.defined() ? batch.features.to(device, options_.dtype) : features(batch.pixels);
            x.index_copy_(0, image_rows, parts_.projector->forward(seen, learn ? &projector_kept : nullptr));
        }
        projector_->release();
    }

    std::vector<Tensor> inputs(layers_.size());
    std::vector<DecoderLayer::Kept> kept(layers_.size());
    for (std::size_t i = 0; i < layers_.size(); ++i) {
        layers_[i]->gather();
        if (some) {
            if (learn) inputs[i] = x;
            x = language.layers[i].forward(x, packing, learn && !options_.activation_checkpointing ? &kept[i] : nullptr);
        }
        layers_[i]->release();
    }

    head_->gather();
    if (learn) {
        head_->begin_gradients();
        if (tied) embeddings_->begin_gradients();
    }
    LossSums sums;
    if (some) sums = language.loss(x, batch.labels.to(device), scale, options_.loss_chunk);
    x = Tensor();
    if (learn) head_->end_gradients();
    head_->release();

    if (through_language) {
        auto d = sums.d_hidden;
        for (std::size_t i = layers_.size(); i-- > 0;) {
            layers_[i]->gather();
            layers_[i]->begin_gradients();
            if (some) {
                if (options_.activation_checkpointing) language.layers[i].forward(inputs[i], packing, &kept[i]);
                d = language.layers[i].backward(d, inputs[i], packing, kept[i]);
                inputs[i] = Tensor();
                kept[i] = {};
            }
            layers_[i]->end_gradients();
            layers_[i]->release();
        }
        if (projector_) {
            projector_->gather();
            projector_->begin_gradients();
            if (pictures) {
                parts_.projector->backward(d.index_select(0, image_rows), projector_kept);
                d.index_fill_(0, image_rows, 0);  // these rows were not looked up
            }
            projector_->end_gradients();
            projector_->release();
        }
        embeddings_->begin_gradients();
        if (some) language.embed_backward(ids, d);
        embeddings_->end_gradients();
    }
    if (tied) embeddings_->release();
    return {sums.loss, batch.tokens()};
}

StepResult Trainer::step(const std::vector<MicroBatch>& batches, double rate, std::int64_t number, const std::function<bool(const StepResult&)>& accept) {
    const torch::NoGradGuard no_grad;
    const auto waited = collectives_->figures().seconds;
    StepResult result;
    std::int64_t supervised = 0;
    for (const auto& batch : batches) supervised += batch.supervised;
    result.supervised = static_cast<std::int64_t>(collectives_->sum(static_cast<double>(supervised)));
    const double scale = 1.0 / static_cast<double>(std::max<std::int64_t>(1, result.supervised));

    for (auto& unit : units_) unit->zero_gradients();
    Sums sums;
    for (const auto& batch : batches) {
        const auto part = forward_backward(batch, scale);
        sums.loss += part.loss;
        sums.tokens += part.tokens;
    }
    for (auto& unit : units_) unit->reduce_gradients();

    double squares = 0;
    for (const auto& unit : units_) squares += unit->squared_norm();
    result.loss = collectives_->sum(sums.loss) * scale;
    result.tokens = static_cast<std::int64_t>(collectives_->sum(static_cast<double>(sums.tokens)));
    result.gradient_norm = std::sqrt(collectives_->sum(squares));
    result.finite = std::isfinite(result.loss) && std::isfinite(result.gradient_norm);  // the same on every rank: made of sums
    result.applied = result.finite && (!accept || accept(result));
    if (result.applied) {
        const bool clip = options_.clip_norm > 0 && result.gradient_norm > options_.clip_norm;
        const double shrink = clip ? options_.clip_norm / (result.gradient_norm + 1e-6) : 1.0;
        for (auto& unit : units_) unit->step(options_.adam, unit.get() == projector_ ? rate * options_.projector_rate : rate, shrink, number + 1);
        publish_weights();
    }
    result.communication_s = collectives_->figures().seconds - waited;
    return result;
}

double Trainer::evaluate(const std::vector<MicroBatch>& batches) {
    const torch::NoGradGuard no_grad;
    double loss = 0;
    std::int64_t supervised = 0;
    for (const auto& batch : batches) {
        loss += forward_backward(batch, std::nullopt).loss;
        supervised += batch.supervised;
    }
    return collectives_->sum(loss) / std::max(1.0, collectives_->sum(static_cast<double>(supervised)));
}

void Trainer::publish_weights() {
    for (auto& unit : units_) unit->publish_weights();
}

std::int64_t Trainer::bytes() const {
    std::int64_t sum = 0;
    for (const auto& unit : units_) sum += unit->bytes();
    return sum;
}

}  // namespace tg
