#include "taskgalaxy/training/settings.hpp"

#include "taskgalaxy/nn/layers/lora.hpp"
#include "taskgalaxy/nn/text/conversation.hpp"

namespace tg::training {

const Words<Sharding>& sharding_words() {
    static const Words<Sharding> words{
        {"optimizer", Sharding::optimizer}, {"full", Sharding::full}, {"hybrid", Sharding::hybrid}};
    return words;
}

void TrainSettings::describe(SettingsVisitor& v) {
    const Words<StepVerdict> verdicts{
        {"stop", StepVerdict::stop}, {"skip", StepVerdict::skip}, {"roll_back", StepVerdict::roll_back}};
    auto styles = text::conversation_styles();
    styles.insert(styles.begin(), "auto");
    v.option("model", &model, "Hugging Face folder of the base vision-language model");
    v.option("data", &data,
             "files of samples, LLaVA's JSON or InternVL's JSONL or data list; file*2 takes each twice an epoch, "
             "file*0.25 a quarter of them; empty: what this run exported");
    v.option("image_root", &image_root,
             "folder that the samples' pictures are relative to; empty: they are names in the run's pool");
    v.option("style", &style, "how turns are written; auto: as the model's family was trained", one_of(styles));
    v.option("pad_images", choice(&pad_images, {{"auto", std::nullopt}, {"yes", true}, {"no", false}}),
             "paste pictures on a square canvas; auto: as the model's configuration says");
    v.option("epochs", &epochs, "passes over the samples", at_least(0));
    v.option("max_steps", &max_steps, "optimiser steps; 0: as many as the epochs take", at_least(0));
    v.option("group_by", choice(&group_by, {{"none", GroupBy::none}, {"modality", GroupBy::modality}}),
             "modality: steps of pictures and steps of text alone, as LLaVA's recipe");
    v.option("global_batch", &global_batch, "samples an optimiser step, over all ranks", at_least(1));
    v.tuning("micro_batch", &micro_batch, "samples at once on one rank; memory grows with it", at_least(1));
    v.option("max_length", &max_length, "positions of a sample, its picture's included; the end of longer ones is cut",
             at_least(8));
    v.option("max_tiles", &max_tiles,
             "tiles of a picture, its thumbnail not counted, where the model sees tiles; 0: as the model says",
             at_least(0));
    v.option("learning_rate", &learning_rate, "peak learning rate", at_least(0));
    v.option("projector_learning_rate", &projector_learning_rate, "peak learning rate of the projector; 0: the same",
             at_least(0));
    v.option("warmup_ratio", &warmup_ratio, "share of the steps in which the rate rises from zero", between(0, 1));
    v.option("schedule", choice(&schedule, {{"cosine", RateSchedule::cosine}, {"constant", RateSchedule::constant}}),
             "how the rate falls after the warm-up");
    v.option("weight_decay", &weight_decay, "decoupled weight decay", at_least(0));
    v.option("decay", choice(&decay, {{"matrices", Decay::matrices}, {"all", Decay::all}}),
             "what decays: matrices (LLaVA's groups), or norms and biases too (all, as InternVL)");
    v.option("beta1", &beta1, "AdamW: decay of the first moment", between(0, 1));
    v.option("beta2", &beta2, "AdamW: decay of the second moment", between(0, 1));
    v.option("epsilon", &epsilon, "AdamW: added to the root of the second moment", at_least(0));
    v.option("clip_norm", &clip_norm, "largest global gradient norm; 0: no clipping, as LLaVA's recipe", at_least(0));
    v.option(
        "train_parts",
        choice(&train_parts,
               {{"all", TrainParts::all}, {"projector", TrainParts::projector}, {"language", TrainParts::language}}),
        "what learns; the vision tower never does");
    v.option("lora_rank", &lora_rank,
             "rank of adapters (LoRA) that learn in the language model's place, the projector beside them; 0: none; "
             "LLaVA's recipe: 128, with learning_rate = 2e-4 and projector_learning_rate = 2e-5",
             at_least(0));
    v.option("lora_alpha", &lora_alpha, "adapters count alpha / rank times", at_least(0));
    v.option("lora_targets", &lora_targets, "matrices with an adapter; empty: all of the layers'",
             one_of(layers::lora_target_names()));
    v.option("lora_merge", &lora_merge,
             "besides export/adapter, which peft loads, make export/model with the adapters added in: what evaluate "
             "and chat read");
    v.option("precision", choice(&precision, {{"fp32", Precision::fp32}, {"bf16", Precision::bf16}}),
             "format of weights and activations; masters and sums are always fp32");
    v.tuning("device", choice(&device, layers::device_words()), "where to compute");
    v.tuning("sharding", choice(&sharding, sharding_words()),
             "optimizer: moments and master weights over the ranks; full: weights and gradients too; hybrid: full "
             "inside a node, copies across");
    v.tuning("shard_ranks", &shard_ranks, "sharding = hybrid: ranks that share one copy; 0: those of a node",
             at_least(0));
    v.tuning(
        "shard_vision", &shard_vision,
        "cut a frozen InternViT over the ranks too: its blocks are gathered as they compute, for every micro-batch");
    v.tuning("plan_ranks", &plan_ranks,
             "ranks for which the command plan says the memory; 0: those that plan itself is started with",
             at_least(0));
    v.tuning("activation_checkpointing", &activation_checkpointing,
             "keep only each layer's input and compute the rest again: less memory, a third more work");
    v.tuning("loss_chunk", &loss_chunk, "supervised positions whose logits exist at once", at_least(1));
    v.option(
        "moments",
        choice(&moments, {{"fp32", MomentFormat::fp32}, {"8bit", MomentFormat::int8}, {"host", MomentFormat::host}}),
        "AdamW's two moments: fp32; 8bit (block-wise, a quarter of the memory); host (fp32 in the host's memory)");
    v.option("validation", &validation,
             "a share of the samples to hold out (0.01), or files as in train.data, whose loss is measured without "
             "learning; empty: none");
    v.option("validation_steps", &validation_steps,
             "steps between such measurements, of which one comes before the first step and one behind the last; 0: "
             "only those two",
             at_least(0));
    v.option("on_nan", choice(&on_nan, verdicts),
             "a loss or gradient norm that is no number: stop, skip the step, or roll back to the last checkpoint and "
             "go on behind the data of the bad stretch");
    v.option("spike", &spike,
             "a loss or gradient norm so many times the median of the last 64 steps is a spike; 0: none is",
             at_least(0));
    v.option("on_spike", choice(&on_spike, verdicts), "what is done about a spike");
    v.option("max_roll_backs", &max_roll_backs, "times to roll back before giving up", at_least(0));
    v.tuning("tensorboard", &tensorboard, "also write RUN/tensorboard, event files of every column of the log");
    v.tuning("peak_tflops", &peak_tflops,
             "bf16 peak of one rank's device, for MFU; 0: known cards by their name, none for a CPU", at_least(0));
    v.option("seed", &seed, "decides the order of the samples");
    v.tuning("checkpoint_steps", &checkpoint_steps, "steps between checkpoints; 0: none by steps", at_least(0));
    v.tuning("checkpoint_minutes", &checkpoint_minutes, "minutes between checkpoints; 0: none by time", at_least(0));
    v.tuning("keep_checkpoints", &keep_checkpoints, "how many of the last are kept", at_least(1));
    v.tuning("checkpoint_buffer_mib", &checkpoint_buffer_mib,
             "memory a rank may take for copies of its state so that training need not wait for the disk; 0: a "
             "twentieth of that state",
             at_least(0));
    v.tuning("decode_threads", &decode_threads, "threads a rank that read and decode pictures ahead", at_least(1));
    v.tuning("feature_cache_mib", &feature_cache_mib,
             "memory a rank for the tower's features of pictures that come again; 0: none", at_least(0));
}

}  // namespace tg::training
