// One unit's parameters in one flat buffer, cut over the ranks: every rank keeps the fp32 master weights, both moments
// and the summed gradient of its slice only. With Sharding::optimizer the weights themselves lie whole on every rank;
// with Sharding::full they are gathered for the moment they are used, and gradients are reduced as soon as they are
// there. Sharding::hybrid is full inside a group of ranks, with the gradient slices summed over the groups once a step.
// As ZeRO-1 and ZeRO-3 (Rajbhandari et al. 2020) cut memory, and PyTorch's FSDP its HYBRID_SHARD; reductions in fp32.
// What begins a collective and what waits for it are calls of their own, so that the trainer puts work between them.
#pragma once

#include <cstdint>
#include <string>

#include "collectives.hpp"
#include "moments.hpp"
#include "taskgalaxy/nn/layers/torch.hpp"
#include "taskgalaxy/nn/layers/unit.hpp"
#include "taskgalaxy/training/settings.hpp"

namespace tg::training {

// Elements of a rank's slice of a unit, padding included: slices begin on cache lines.
std::int64_t slice_elements(std::int64_t unit_elements, std::int64_t shards);

// Of fp32 [N]. Rows have sums of their own, added in fp64: one fp32 sum over the 28 million elements of an embedding
// table is wrong by 1e-3.
double sum_of_squares(const torch::Tensor& values);

class ShardedUnit {
public:
    // `trained`: has gradients and moments; else the weights alone are kept.
    ShardedUnit(layers::Unit& unit, Collectives& ranks, torch::Device device, torch::Dtype dtype, Sharding sharding,
                bool trained, MomentFormat moments = MomentFormat::fp32);

    // Fills the master slices and the weights from the files; each rank keeps its slice. Local.
    void load(const storage::SafetensorsFolder& files, const layers::WeightNames& names);

    const std::string& name() const { return unit_.name; }
    bool trained() const { return trained_; }
    std::int64_t elements() const { return elements_; }  // without padding
    std::int64_t slice_begin() const { return begin_; }  // this rank's slice of the unit's flat index,
    std::int64_t slice_size() const { return count_; }   // without padding; may be 0
    // fp32 [slice_size()] of this rank's memory: a view of the masters, and of moments that are kept so. Of trained
    // units.
    torch::Tensor master() const { return master_.narrow(0, 0, count_); }
    torch::Tensor first_moment() const { return moments_.first(count_); }
    torch::Tensor second_moment() const { return moments_.second(count_); }
    void set_master(const torch::Tensor& values) { master().copy_(values); }
    void set_first_moment(const torch::Tensor& values) { moments_.set_first(values); }
    void set_second_moment(const torch::Tensor& values) { moments_.set_second(values); }
    // The master slices were changed (step, or a checkpoint was read): the weights follow. Collective with
    // Sharding::optimizer.
    void start_publish();
    void finish_publish();

    // The values: begin to gather them (may be left out), use them between gather() and release(). Collective but with
    // Sharding::optimizer.
    void start_gather();
    void gather();
    void release();

    // The gradients of a micro-batch: made between begin and end. end_gradients() begins their reduction, with
    // Sharding::optimizer only those of a step's `last` micro-batch; finish_gradients() waits for it and forgets the
    // unreduced ones. Collective.
    void begin_gradients();
    void end_gradients(bool last);
    void finish_gradients();

    void zero_gradients();     // before the first micro-batch of a step
    void start_replica_sum();  // after the last: the slice becomes the sum over all ranks. Collective with several
                               // replicas
    void finish_replica_sum();
    double squared_norm() const;  // of the slice
    void step(const AdamW& adam, double rate, double gradient_scale,
              std::int64_t step_number);  // from 1; changes the master slice

    std::int64_t bytes() const;  // held by this rank between steps

private:
    void bind(const torch::Tensor& values, const torch::Tensor& gradients);

    layers::Unit& unit_;
    Collectives& ranks_;
    torch::Device device_;
    torch::Dtype dtype_;
    bool trained_, whole_;  // whole_: every rank holds all values (and gradients) all the time
    std::int64_t elements_ = 0, slice_ = 0, begin_ = 0, count_ = 0;  // slice_ with padding
    torch::Tensor values_;  // [shards * slice_] dtype: whole, or only while gathered
    torch::Tensor
        value_slice_;          // [slice_] dtype, where not whole; the masters themselves where those have the same type
    torch::Tensor gradients_;  // [shards * slice_] fp32: whole, or only during a backward
    torch::Tensor gradient_slice_, master_;  // [slice_] fp32
    Moments moments_;
    torch::Tensor sent_, reduced_;  // of collectives under way
    Ticket gathering_, reducing_;
    int users_ = 0;  // gather() without release() yet
};

}  // namespace tg::training
