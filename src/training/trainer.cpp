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

// One micro-batch through the model and, where it learns, back: the order of all gathers and reductions, whatever the
// batch holds (an empty one computes nothing and takes part in all of them).
class Trainer::Pass {
public:
    // `scale`: of the loss, for learning; empty: the loss alone. `last`: micro-batch of the step.
    Pass(Trainer& trainer, const MicroBatch& batch, std::optional<double> scale, bool last)
        : t_(trainer),
          language_(trainer.parts_.language),
          batch_(batch),
          scale_(scale),
          last_(last),
          ids_(batch.ids.to(trainer.options_.device)),
          image_rows_(batch.image_rows.to(trainer.options_.device)),
          features_(t_.projector_ ? t_.seen(batch, pictures_) : Tensor()),
          walk_(order()),
          inputs_(t_.layers_.size()),
          kept_(t_.layers_.size()) {}

    // The sum of the losses of this rank's tokens.
    double run() {
        embed();
        layers_forward();
        const double loss = head();
        if (learn_) {
            // Gradients pass the language model even where only the projector learns.
            layers_back();
            projector_back();
            embeddings_back();
        }
        t_.reducing_ = nullptr;
        if (tied_) t_.embeddings_->release();
        return loss;
    }

private:
    std::vector<ShardedUnit*> order() const {
        std::vector<ShardedUnit*> order{t_.embeddings_};
        if (t_.projector_) order.push_back(t_.projector_);
        order.insert(order.end(), t_.layers_.begin(), t_.layers_.end());
        order.push_back(t_.head_);
        if (!learn_) return order;
        order.insert(order.end(), t_.layers_.rbegin(), t_.layers_.rend());
        if (t_.projector_) order.push_back(t_.projector_);
        return order;
    }

    void embed() {
        walk_.use(*t_.embeddings_);  // stays until the end where it is the output matrix too
        if (some_) x_ = language_.embed(ids_), packing_ = language_.pack(batch_.starts);
        if (!tied_) t_.embeddings_->release();
        if (!t_.projector_) return;
        walk_.use(*t_.projector_);
        if (pictures_)
            x_.index_copy_(0, image_rows_,
                           t_.parts_.projector->forward(features_, learn_ ? &projector_kept_ : nullptr));
        t_.projector_->release();
    }

    void layers_forward() {
        const bool keep = learn_ && !t_.options_.activation_checkpointing;
        for (std::size_t i = 0; i < t_.layers_.size(); ++i) {
            walk_.use(*t_.layers_[i]);
            if (some_) {
                if (learn_) inputs_[i] = x_;
                x_ = language_.layers[i].forward(x_, packing_, keep ? &kept_[i] : nullptr);
            }
            t_.layers_[i]->release();
        }
    }

    double head() {
        walk_.use(*t_.head_);
        if (learn_) {
            t_.head_->begin_gradients();
            if (tied_) t_.embeddings_->begin_gradients();
        }
        models::LossSums sums;
        if (some_) sums = language_.loss(x_, batch_.labels.to(t_.options_.device), scale_, t_.options_.loss_chunk);
        x_ = Tensor();
        d_ = sums.d_hidden;
        if (learn_) t_.begin_reduction(*t_.head_, last_);
        t_.head_->release();
        return sums.loss;
    }

    void layers_back() {
        for (std::size_t i = t_.layers_.size(); i-- > 0;) {
            walk_.use(*t_.layers_[i]);
            t_.layers_[i]->begin_gradients();
            if (some_) {
                if (t_.options_.activation_checkpointing) language_.layers[i].forward(inputs_[i], packing_, &kept_[i]);
                d_ = language_.layers[i].backward(d_, inputs_[i], packing_, kept_[i]);
                inputs_[i] = Tensor();
                kept_[i] = {};
            }
            t_.begin_reduction(*t_.layers_[i], last_);
            if (!t_.adapters_.empty()) t_.adapters_[i]->end_gradients(last_);
            t_.layers_[i]->release();
        }
    }

    void projector_back() {
        if (!t_.projector_) return;
        walk_.use(*t_.projector_);
        t_.projector_->begin_gradients();
        if (pictures_) {
            t_.parts_.projector->backward(d_.index_select(0, image_rows_), projector_kept_);
            d_.index_fill_(0, image_rows_, 0);  // these rows were not looked up
        }
        t_.begin_reduction(*t_.projector_, last_);
        t_.projector_->release();
    }

    void embeddings_back() {
        t_.embeddings_->begin_gradients();
        if (some_) language_.embed_backward(ids_, d_);
        t_.begin_reduction(*t_.embeddings_, last_);
        if (t_.options_.sharding != Sharding::optimizer) t_.embeddings_->finish_gradients();
    }

    Trainer& t_;
    models::LanguageModel& language_;
    const MicroBatch& batch_;
    const std::optional<double> scale_;
    const bool last_;
    const bool learn_ = scale_.has_value();
    const bool some_ = batch_.tokens() > 0;
    const bool pictures_ = some_ && batch_.image_rows.numel() > 0;
    const bool tied_ = language_.config.tied_embeddings;
    const Tensor ids_, image_rows_;
    const Tensor features_;  // before the first gather: a sharded tower has its own
    Walk walk_;
    Tensor x_;  // activations on the way there,
    Tensor d_;  // and their gradients on the way back
    models::Packing packing_;
    layers::Projector::Kept projector_kept_;
    std::vector<Tensor> inputs_;  // of each layer
    std::vector<models::DecoderLayer::Kept> kept_;
};

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
    double loss = 0;
    std::int64_t tokens = 0;
    for (const auto& batch : batches) {
        loss += Pass(*this, batch, scale, &batch == &batches.back()).run();
        tokens += batch.tokens();
    }
    for (auto& unit : units_) unit->finish_gradients();
    for (auto& unit : units_) unit->start_replica_sum();

    double squares = 0;
    for (auto& unit : units_) {
        unit->finish_replica_sum();
        squares += unit->squared_norm();
    }
    double over_ranks[] = {loss, static_cast<double>(tokens), squares / collectives_->replicas()};
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
        sums[0] += Pass(*this, batch, std::nullopt, false).run();
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
