#include "trainer.hpp"

#include <cmath>

#include "taskgalaxy/core/heap.hpp"

namespace tg::training {

using torch::Tensor;

namespace {

RankGrid grid_of(const TrainerOptions& options) {
    return {options.sharding != Sharding::hybrid ? 0 : options.shard_ranks > 0 ? options.shard_ranks : -1};
}

// The order in which units are used. While one is used the next is gathered, and no further one.
class Walk {
public:
    explicit Walk(std::vector<ShardedUnit*> order) : order_(std::move(order)) { order_.front()->start_gather(); }
    // The next unit of the order, which the caller releases.
    void use(ShardedUnit& unit) {
        unit.gather();
        if (++at_ < order_.size()) order_[at_]->start_gather();
    }

private:
    std::vector<ShardedUnit*> order_;
    std::size_t at_ = 0;
};

Collectives::Figures operator-(const Collectives::Figures& a, const Collectives::Figures& b) {
    return {a.gather_wait_s - b.gather_wait_s, a.reduce_wait_s - b.reduce_wait_s,
            a.sum_wait_s - b.sum_wait_s,       a.gathered_bytes - b.gathered_bytes,
            a.reduced_bytes - b.reduced_bytes, a.replicated_bytes - b.replicated_bytes};
}

}  // namespace

Trainer::Trainer(models::VlmParts& parts, const parallel::Communicator& ranks, const TrainerOptions& options)
    : parts_(parts), options_(options), collectives_(make_collectives(ranks, options.device, grid_of(options))) {
    keep_freed_memory();
    if (parts.language.has_adapters()) options_.train_language = false;  // they learn in its place
    const auto add = [&](layers::Unit& unit, bool trained) {
        units_.push_back(std::make_unique<ShardedUnit>(unit, *collectives_, options_.device, options_.dtype,
                                                       options_.sharding, trained, options_.moments));
        return units_.back().get();
    };
    parallel::together(ranks, [&] {
        if (parts.projector) projector_ = add(parts.projector->unit(), options_.train_projector);
        embeddings_ = add(parts.language.embeddings, options_.train_language);
        for (auto& layer : parts.language.layers) layers_.push_back(add(layer.unit(), options_.train_language));
        head_ = add(parts.language.head, options_.train_language);
        // Adapters are small: whole on every rank whatever the sharding, their masters and moments in slices.
        for (auto& layer : parts.language.layers)
            if (auto* unit = layer.adapters())
                adapters_.push_back(units_
                                        .emplace_back(std::make_unique<ShardedUnit>(
                                            *unit, *collectives_, options_.device, options_.dtype, Sharding::optimizer,
                                            true, options_.moments))
                                        .get());
        for (auto& unit : units_) unit->load(parts.files, parts.names);
        if (options_.shard_vision && parts.vision)
            tower_ = std::make_unique<ShardedTower>(*parts.vision, *collectives_);
        parts.load_vision(options_.device, options_.dtype);
    });
}

Tensor Trainer::features(const Tensor& pixels) const {
    return parts_.vision->features(pixels.to(options_.device))
        .reshape({-1, parts_.vision->channels})
        .to(options_.dtype);
}

// What the tower makes of a micro-batch's pictures; a sharded one is passed by all ranks as soon as one has a picture.
Tensor Trainer::seen(const MicroBatch& batch, bool pictures) {
    if (!tower_)
        return !pictures                  ? Tensor()
               : batch.features.defined() ? batch.features.to(options_.device, options_.dtype)
                                          : features(batch.pixels);
    double any = pictures;
    collectives_->sum({&any, 1});
    if (any == 0) return {};
    const auto features = tower_->features(pictures ? batch.pixels.to(options_.device) : Tensor());
    return pictures ? features.reshape({-1, parts_.vision->channels}).to(options_.dtype) : Tensor();
}

// The reduction of the unit before this one is over by now, or is waited for: two are never alive.
void Trainer::begin_reduction(ShardedUnit& unit, bool last) {
    if (options_.sharding != Sharding::optimizer && reducing_) reducing_->finish_gradients();
    unit.end_gradients(last);
    reducing_ = &unit;
}

Trainer::Sums Trainer::forward_backward(const MicroBatch& batch, std::optional<double> scale, bool last) {
    auto& language = parts_.language;
    const bool some = batch.tokens() > 0, learn = scale.has_value();
    const bool through_language = learn;  // gradients pass the language model even where only the projector learns
    const bool pictures = some && batch.image_rows.numel() > 0;
    const auto device = options_.device;
    const auto ids = batch.ids.to(device), image_rows = batch.image_rows.to(device);

    Tensor x;
    models::Packing packing;
    layers::Projector::Kept projector_kept;
    std::vector<ShardedUnit*> order{embeddings_};
    if (projector_) order.push_back(projector_);
    order.insert(order.end(), layers_.begin(), layers_.end());
    order.push_back(head_);
    if (through_language) {
        order.insert(order.end(), layers_.rbegin(), layers_.rend());
        if (projector_) order.push_back(projector_);
    }
    const auto features =
        projector_ ? seen(batch, pictures) : Tensor();  // before any gather: a sharded tower has its own
    Walk walk(std::move(order));
    walk.use(*embeddings_);  // stays until the end where it is the output matrix too
    if (some) x = language.embed(ids), packing = language.pack(batch.starts);
    const bool tied = language.config.tied_embeddings;
    if (!tied) embeddings_->release();
    if (projector_) {
        walk.use(*projector_);
        if (pictures)
            x.index_copy_(0, image_rows, parts_.projector->forward(features, learn ? &projector_kept : nullptr));
        projector_->release();
    }

    std::vector<Tensor> inputs(layers_.size());
    std::vector<models::DecoderLayer::Kept> kept(layers_.size());
    for (std::size_t i = 0; i < layers_.size(); ++i) {
        walk.use(*layers_[i]);
        if (some) {
            if (learn) inputs[i] = x;
            x = language.layers[i].forward(x, packing,
                                           learn && !options_.activation_checkpointing ? &kept[i] : nullptr);
        }
        layers_[i]->release();
    }

    walk.use(*head_);
    if (learn) {
        head_->begin_gradients();
        if (tied) embeddings_->begin_gradients();
    }
    models::LossSums sums;
    if (some) sums = language.loss(x, batch.labels.to(device), scale, options_.loss_chunk);
    x = Tensor();
    if (learn) begin_reduction(*head_, last);
    head_->release();

    if (through_language) {
        auto d = sums.d_hidden;
        for (std::size_t i = layers_.size(); i-- > 0;) {
            walk.use(*layers_[i]);
            layers_[i]->begin_gradients();
            if (some) {
                if (options_.activation_checkpointing) language.layers[i].forward(inputs[i], packing, &kept[i]);
                d = language.layers[i].backward(d, inputs[i], packing, kept[i]);
                inputs[i] = Tensor();
                kept[i] = {};
            }
            begin_reduction(*layers_[i], last);
            if (!adapters_.empty()) adapters_[i]->end_gradients(last);
            layers_[i]->release();
        }
        if (projector_) {
            walk.use(*projector_);
            projector_->begin_gradients();
            if (pictures) {
                parts_.projector->backward(d.index_select(0, image_rows), projector_kept);
                d.index_fill_(0, image_rows, 0);  // these rows were not looked up
            }
            begin_reduction(*projector_, last);
            projector_->release();
        }
        embeddings_->begin_gradients();
        if (some) language.embed_backward(ids, d);
        begin_reduction(*embeddings_, last);
        if (options_.sharding != Sharding::optimizer) embeddings_->finish_gradients();
    }
    reducing_ = nullptr;
    if (tied) embeddings_->release();
    return {sums.loss, batch.tokens()};
}

StepResult Trainer::step(const std::vector<MicroBatch>& batches, double rate, std::int64_t number,
                         const std::function<bool(const StepResult&)>& accept) {
    const torch::NoGradGuard no_grad;
    const auto before = collectives_->figures();
    StepResult result;
    double supervised = 0;
    for (const auto& batch : batches) supervised += static_cast<double>(batch.supervised);
    collectives_->sum({&supervised, 1});
    result.supervised = static_cast<std::int64_t>(supervised);
    const double scale = 1.0 / std::max(1.0, supervised);

    for (auto& unit : units_) unit->zero_gradients();
    Sums sums;
    for (const auto& batch : batches) {
        const auto part = forward_backward(batch, scale, &batch == &batches.back());
        sums.loss += part.loss;
        sums.tokens += part.tokens;
    }
    for (auto& unit : units_) unit->finish_gradients();
    for (auto& unit : units_) unit->start_replica_sum();

    double squares = 0;
    for (auto& unit : units_) {
        unit->finish_replica_sum();
        squares += unit->squared_norm();
    }
    double over_ranks[] = {sums.loss, static_cast<double>(sums.tokens), squares / collectives_->replicas()};
    collectives_->sum(over_ranks);
    result.loss = over_ranks[0] * scale;
    result.tokens = static_cast<std::int64_t>(over_ranks[1]);
    result.gradient_norm = std::sqrt(over_ranks[2]);
    result.finite =
        std::isfinite(result.loss) && std::isfinite(result.gradient_norm);  // the same on every rank: made of sums
    result.applied = result.finite && (!accept || accept(result));
    if (result.applied) {
        const bool clip = options_.clip_norm > 0 && result.gradient_norm > options_.clip_norm;
        const double shrink = clip ? options_.clip_norm / (result.gradient_norm + 1e-6) : 1.0;
        for (std::size_t i = 0; i < units_.size(); ++i) {
            if (on_update_ && units_[i]->trained()) on_update_(i);
            units_[i]->step(options_.adam, units_[i].get() == projector_ ? rate * options_.projector_rate : rate,
                            shrink, number + 1);
            units_[i]->start_publish();
        }
        for (auto& unit : units_) unit->finish_publish();
    }
    result.communication = collectives_->figures() - before;
    return result;
}

double Trainer::evaluate(const std::vector<MicroBatch>& batches) {
    const torch::NoGradGuard no_grad;
    double sums[] = {0, 0};  // loss, supervised
    for (const auto& batch : batches) {
        sums[0] += forward_backward(batch, std::nullopt, false).loss;
        sums[1] += static_cast<double>(batch.supervised);
    }
    collectives_->sum(sums);
    return sums[0] / std::max(1.0, sums[1]);
}

void Trainer::publish_weights() {
    for (auto& unit : units_) unit->start_publish();
    for (auto& unit : units_) unit->finish_publish();
}

std::int64_t Trainer::bytes() const {
    std::int64_t sum = 0;
    for (const auto& unit : units_) sum += unit->bytes();
    return sum;
}

}  // namespace tg::training
