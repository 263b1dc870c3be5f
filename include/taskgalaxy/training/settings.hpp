// Settings of fine-tuning, section [train]. The defaults are LLaVA-v1.5's second stage.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "taskgalaxy/core/settings.hpp"
#include "taskgalaxy/nn/layers/device_words.hpp"

namespace tg::training {

enum class GroupBy { none, modality };
enum class RateSchedule { cosine, constant };  // what follows the warm-up
enum class Decay { matrices, all };            // all: norms and biases too
enum class TrainParts { all, projector, language };
enum class Precision { fp32, bf16 };              // of weights and activations
enum class Sharding { optimizer, full, hybrid };  // what is cut over the ranks: see sharded_unit.hpp
enum class MomentFormat { fp32, int8, host };     // of AdamW's moments: see moments.hpp
enum class StepVerdict { learn, stop, skip, roll_back };

// The words of a job file for what log lines name.
const Words<Sharding>& sharding_words();

struct TrainSettings {
    std::filesystem::path model;       // Hugging Face folder of the base model
    std::vector<std::string> data;     // files of samples, each with its weight; empty: the run's export/train.json
    std::filesystem::path image_root;  // pictures named by `data`; empty: the pool's uris
    std::string style = "auto";        // conversation style; auto: the model family's
    std::optional<bool> pad_images;    // empty: as the model's configuration says

    double epochs = 1;
    std::int64_t max_steps = 0;  // 0: by epochs
    GroupBy group_by = GroupBy::none;
    int global_batch = 128;  // samples an optimiser step, over all ranks
    int micro_batch = 16;    // samples at once on one rank
    int max_length = 2048;   // positions of a sample, pictures included; what is longer is cut at its end
    int max_tiles = 0;       // of a picture, its thumbnail not counted; 0: as the model says

    double learning_rate = 2e-5;
    double projector_learning_rate = 0;  // 0: the same
    double warmup_ratio = 0.03;
    RateSchedule schedule = RateSchedule::cosine;
    double weight_decay = 0;
    Decay decay = Decay::matrices;
    double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8;
    double clip_norm = 0;  // 0: no clipping
    TrainParts train_parts = TrainParts::all;
    int lora_rank = 0;  // 0: no adapters
    double lora_alpha = 256;
    std::vector<std::string> lora_targets;  // empty: every linear of the language model's layers
    bool lora_merge = true;

    Precision precision = Precision::fp32;
    layers::DeviceChoice device = layers::DeviceChoice::automatic;
    Sharding sharding = Sharding::optimizer;
    int shard_ranks = 0;  // of Sharding::hybrid; 0: those of a node
    bool shard_vision = false;
    int plan_ranks = 0;  // that `plan` is asked about; 0: those of its own launch
    bool activation_checkpointing = false;
    int loss_chunk = 1024;
    MomentFormat moments = MomentFormat::fp32;

    std::vector<std::string> validation;  // a share of the samples, or files; empty: none
    std::int64_t validation_steps = 0;    // 0: at the end alone
    StepVerdict on_nan = StepVerdict::stop, on_spike = StepVerdict::skip;
    double spike = 0;  // times the median; 0: never
    int max_roll_backs = 3;
    bool tensorboard = false;
    double peak_tflops = 0;  // of one rank's device; 0: as its name says

    std::int64_t seed = 1;
    std::int64_t checkpoint_steps = 500;
    double checkpoint_minutes = 20;
    int keep_checkpoints = 2;
    int checkpoint_buffer_mib = 0;  // 0: a twentieth of the state
    int decode_threads = 1;
    int feature_cache_mib = 512;

    void describe(SettingsVisitor& v);
};

}  // namespace tg::training
