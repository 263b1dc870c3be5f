// One unit's parameters in one flat buffer, cut over the ranks: every rank keeps the fp32 master weights, both moments and the summed
// gradient of its slice only. With Sharding::optimizer the weights themselves lie whole on every rank; with Sharding::full they are
// gathered for the moment they are used, and gradients are reduced as soon as they are there.
// As ZeRO-1 and ZeRO-3 (Rajbhandari et al. 2020) cut memory; reductions in fp32.
#pragma once

#include <cstdint>
#include <string>

#include "collectives.hpp"
#include "moments.hpp"
#include "taskgalaxy/nn/torch.hpp"
#include "taskgalaxy/nn/unit.hpp"

namespace tg {

enum class Sharding { optimizer, full };

class ShardedUnit {
public:
    // `trained`: has gradients and moments; else the weights alone are kept.
    ShardedUnit(Unit& unit, Collectives& ranks, torch::Device device, torch::Dtype dtype, Sharding sharding, bool trained, MomentFormat moments = MomentFormat::fp32);

    // Fills the master slices and the weights from the files; each rank keeps its slice. Collective with Sharding::full only in gather().
    void load(const SafetensorsFolder& files, const WeightNames& names);

    const std::string& name() const { return unit_.name; }
    bool trained() const { return trained_; }
    std::int64_t elements() const { return elements_; }             // without padding
    std::int64_t slice_begin() const { return begin_; }             // this rank's slice of the unit's flat index,
    std::int64_t slice_size() const { return count_; }              // without padding; may be 0
    // fp32 [slice_size()] of this rank's memory: a view of the masters, and of moments that are kept so. Of trained units.
    torch::Tensor master() const { return master_.narrow(0, 0, count_); }
    torch::Tensor first_moment() const { return moments_.first(count_); }
    torch::Tensor second_moment() const { return moments_.second(count_); }
    void set_master(const torch::Tensor& values) { master().copy_(values); }
    void set_first_moment(const torch::Tensor& values) { moments_.set_first(values); }
    void set_second_moment(const torch::Tensor& values) { moments_.set_second(values); }
    // The master slices were changed (step, or a checkpoint was read): the weights follow. Collective.
    void publish_weights();

    void gather();           // the unit's values may be used after this; collective with Sharding::full
    void release();          // they may be forgotten
    void begin_gradients();  // before a backward of this unit
    void end_gradients();    // after it; collective with Sharding::full

    void zero_gradients();                            // before the first micro-batch of a step
    void reduce_gradients();                          // after the last: the slice holds the sum over ranks. Collective
    double squared_norm() const;                      // of the slice
    void step(const AdamW& adam, double rate, double gradient_scale, std::int64_t step_number);  // from 1; changes the master slice

    std::int64_t bytes() const;  // held by this rank between steps

private:
    void bind(const torch::Tensor& values, const torch::Tensor& gradients);

    Unit& unit_;
    Collectives& ranks_;
    torch::Device device_;
    torch::Dtype dtype_;
    Sharding sharding_;
    bool trained_;
    std::int64_t elements_ = 0, slice_ = 0, begin_ = 0, count_ = 0;  // slice_ with padding
    torch::Tensor values_;        // [ranks * slice_] dtype: whole, or only while gathered
    torch::Tensor value_slice_;   // [slice_] dtype, Sharding::full only
    torch::Tensor gradients_;     // [ranks * slice_] fp32: whole, or only during a backward
    torch::Tensor gradient_slice_, master_;  // [slice_] fp32
    Moments moments_;
    int users_ = 0;               // gather() without release() yet
};

}  // namespace tg
