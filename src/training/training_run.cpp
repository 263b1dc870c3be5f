#include "training_run.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "export_model.hpp"
#include "memory_plan.hpp"
#include "taskgalaxy/core/costs.hpp"
#include "taskgalaxy/core/log.hpp"
#include "taskgalaxy/core/stop.hpp"
#include "taskgalaxy/nn/layers/device.hpp"
#include "taskgalaxy/storage/publish.hpp"
#include "train_options.hpp"

namespace tg::training {

namespace {

double seconds_since(std::chrono::steady_clock::time_point start) {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

double peak_of(const TrainSettings& settings, const TrainerOptions& options) {
    if (settings.peak_tflops > 0) return settings.peak_tflops;
    return options.dtype == torch::kBFloat16 ? peak_tflops(layers::card_name(options.device)) : 0;
}

std::int64_t room_for_copies(const TrainSettings& settings, const Trainer& trainer) {
    return settings.checkpoint_buffer_mib > 0 ? std::int64_t{settings.checkpoint_buffer_mib} << 20
                                              : trainer.bytes() / 20;
}

StepSize over_ranks(const StepSize& mine, const parallel::Communicator& ranks) {
    std::int64_t sums[] = {mine.tokens, mine.padded, mine.supervised, mine.picture_rows, mine.squares};
    ranks.all_reduce_sum(std::span<std::int64_t>(sums));
    return {sums[0], sums[1], sums[2], sums[3], sums[4]};
}

}  // namespace

TrainingRun::TrainingRun(const TrainSettings& settings, const TrainerOptions& options, models::VlmParts& parts,
                         const SampleSet& samples, PictureReader reader, const parallel::Communicator& ranks,
                         const run::Paths& paths, const std::string& fingerprint)
    : settings_(settings),
      parts_(parts),
      samples_(samples),
      reader_(std::move(reader)),
      ranks_(ranks),
      paths_(paths),
      options_(options),
      trainer_(parts, ranks, options),
      order_(step_order(settings, samples)),
      steps_(steps_of(settings, order_)),
      schedule_{settings.learning_rate, settings.warmup_ratio, steps_, settings.schedule},
      feed_options_(feed_options(settings, parts, ranks)),
      checkpoints_(paths.checkpoints(), fingerprint, settings.keep_checkpoints, ranks,
                   room_for_copies(settings, trainer_)),
      step_(go_on()),
      furthest_(step_),
      feed_(feed_from(step_)),
      guard_(guard_options(settings), log_.rows()),
      flops_(parts, options.train_language, options.train_projector),
      peak_(peak_of(settings, options)),
      tensorboard_(paths.root() / "tensorboard", settings.tensorboard && ranks.is_root()),
      progress_("train", static_cast<std::uint64_t>(steps_), "steps", static_cast<std::uint64_t>(step_)) {
    if (!settings.validation.empty()) validation_.emplace(settings, samples, parts, reader_, feed_options_, ranks);
    begin_tensorboard();
}

// The step to begin with. Where the job may roll back there must be something to go back to from the start.
std::int64_t TrainingRun::go_on() {
    const auto first = checkpoints_.read_newest(trainer_, log_);
    if (first > 0 && ranks_.is_root()) log::info("train: goes on after step {} of {}", first, steps_);
    if (first == 0 && may_roll_back(settings_)) checkpoints_.begin(0, trainer_, log_);
    return first;
}

std::unique_ptr<SampleFeed> TrainingRun::feed_from(std::int64_t step) {
    auto options = feed_options_;
    options.steps = log_.data_step(steps_);
    const auto features = [this](const torch::Tensor& pixels) { return trainer_.features(pixels); };
    return std::make_unique<SampleFeed>(samples_, order_, parts_, reader_, features, options, log_.data_step(step));
}

void TrainingRun::begin_tensorboard() {
    parallel::together(ranks_, [&] { tensorboard_.begin(log_); });
}

bool TrainingRun::is_validation_due() const {
    if (!validation_ || log_.is_validated(step_)) return false;
    return step_ == 0 || step_ == steps_ || (settings_.validation_steps > 0 && step_ % settings_.validation_steps == 0);
}

void TrainingRun::validate() {
    const auto row = validation_->measure(step_, trainer_);
    log_.add_validation(row);
    tensorboard_.add(row);
    if (ranks_.is_root())
        log::info("train: validation loss {:.4f} after {} steps ({} tokens)", row.loss, step_, row.tokens);
}

void TrainingRun::step() {
    if (is_validation_due()) validate();
    const auto start = Clock::now();
    const auto waited = feed_->figures().waited_s;
    const auto rate = schedule_.rate(step_);
    const auto learnt = learn(rate);
    if (learnt.verdict == StepVerdict::stop) refuse(learnt.result);
    if (learnt.verdict == StepVerdict::roll_back) return roll_back(learnt.result);
    record(learnt, rate, seconds_since(start), feed_->figures().waited_s - waited);
    ++step_;
    keep_state();
}

TrainingRun::Learnt TrainingRun::learn(double rate) {
    const CostPhase phase("step");
    Learnt learnt;
    std::vector<MicroBatch> batches;
    parallel::together(ranks_, [&] { batches = feed_->next(); });
    for (const auto& batch : batches) learnt.size.add(batch);
    learnt.result = trainer_.step(batches, rate, step_, [&](const StepResult& seen) {
        learnt.verdict = guard_.judge(seen.loss, seen.gradient_norm);
        return learnt.verdict == StepVerdict::learn;
    });
    if (!learnt.result.finite)  // the trainer asked nobody
        learnt.verdict = guard_.judge(learnt.result.loss, learnt.result.gradient_norm);
    return learnt;
}

void TrainingRun::refuse(const StepResult& bad) const {
    throw parallel::AgreedFailure(
        ExitCode::input, 0,
        fmt::format("train: loss {} and gradient norm {} at step {}; lower train.learning_rate, set "
                    "train.clip_norm, or train.{} = skip",
                    bad.loss, bad.gradient_norm, step_, bad.finite ? "on_spike" : "on_nan"));
}

// Back to the last checkpoint, and on behind the data that led here: the step we go back to takes what would have
// followed this one.
void TrainingRun::roll_back(const StepResult& bad) {
    fed_ += feed_->figures();
    auto rows = log_.roll_backs();
    const auto next_data = log_.data_step(step_) + 1;
    if (std::ssize(rows) >= settings_.max_roll_backs)
        throw parallel::AgreedFailure(ExitCode::input, 0,
                                      fmt::format("train: loss {} and gradient norm {} at step {}, after {} roll "
                                                  "backs; lower train.learning_rate, or raise train.max_roll_backs",
                                                  bad.loss, bad.gradient_norm, step_, rows.size()));
    checkpoints_.finish();  // it may be reading what is about to change
    const auto to = checkpoints_.read_newest(trainer_, log_);
    rows.push_back({static_cast<double>(step_), static_cast<double>(to), static_cast<double>(next_data)});
    log_.set_roll_backs(std::move(rows));
    if (ranks_.is_root())
        log::warn(
            "train: loss {:.4g} and gradient norm {:.4g} at step {}: back to step {}, which goes on with the data "
            "behind it",
            bad.loss, bad.gradient_norm, step_, to);
    step_ = to;
    guard_ = StepGuard(guard_options(settings_), log_.rows());
    feed_ = feed_from(to);
    begin_tensorboard();
}

void TrainingRun::record(const Learnt& learnt, double rate, double seconds, double data_wait) {
    const auto& result = learnt.result;
    const auto size = over_ranks(learnt.size, ranks_);
    const double tflops = flops_.of(size) / seconds / static_cast<double>(ranks_.size()) * 1e-12;
    log_.add({.step = static_cast<double>(step_),
              .epoch = static_cast<double>(log_.data_step(step_)) / static_cast<double>(order_.steps_per_epoch()),
              .loss = result.loss,
              .lr = rate,
              .grad_norm = result.gradient_norm,
              .tokens = static_cast<double>(result.tokens),
              .supervised = static_cast<double>(result.supervised),
              .seconds = seconds,
              .tokens_per_s = static_cast<double>(result.tokens) / seconds,
              .data_wait_s = data_wait,
              .communication_s = result.communication.waited_s(),
              .gather_wait_s = result.communication.gather_wait_s,
              .reduce_wait_s = result.communication.reduce_wait_s,
              .compute_s = seconds - data_wait - result.communication.waited_s(),
              .sent_mib = static_cast<double>(result.communication.sent_bytes()) / (1 << 20),
              .memory_mib = resident_mib(),
              .padded_tokens_per_s = static_cast<double>(size.padded) / seconds,
              .tflops = tflops,
              .mfu = peak_ > 0 ? tflops / peak_ : 0,
              .skipped = learnt.verdict == StepVerdict::skip ? 1.0 : 0.0});
    const auto& row = log_.rows().back();
    guard_.add(row);
    tensorboard_.add(row);
    if (step_ >= furthest_) progress_.add(), furthest_ = step_ + 1;
    progress_.note(fmt::format("loss {:.3f}, {:.0f} tokens/s", result.loss, row.tokens_per_s));
}

// Between two steps: checkpoints that are due, and the stop that was asked for.
void TrainingRun::keep_state() {
    const bool stop = ranks_.any(stop_requested());
    const bool due = (settings_.checkpoint_steps > 0 && step_ % settings_.checkpoint_steps == 0) ||
                     ranks_.any(ranks_.is_root() && settings_.checkpoint_minutes > 0 &&
                                seconds_since(last_checkpoint_) > settings_.checkpoint_minutes * 60);
    checkpoints_.poll();
    if (stop || (due && step_ < steps_)) {
        checkpoints_.begin(step_, trainer_, log_);
        last_checkpoint_ = Clock::now();
    }
    if (stop) checkpoints_.finish();
    if (stop && step_ < steps_) throw parallel::AgreedFailure(ExitCode::requeue, 0, Stopped("train").what());
}

run::Figures TrainingRun::finish() {
    if (is_validation_due()) validate();
    progress_.finish();
    const auto counts = count_samples();
    if (settings_.lora_rank > 0)
        export_adapters(parts_, trainer_, lora_options(settings_), ranks_, paths_.exported() / "adapter");
    if (settings_.lora_rank == 0 || settings_.lora_merge)
        export_model(parts_, trainer_, ranks_, paths_.exported() / "model");
    publish_log(counts);
    checkpoints_.remove_all();
    return figures(counts);
}

TrainingRun::Counts TrainingRun::count_samples() {
    fed_ += feed_->figures();
    Counts counts;
    counts.skipped = std::ranges::count_if(log_.rows(), [](const LogRow& row) { return row.skipped != 0; });
    counts.left_out = ranks_.sum(static_cast<std::int64_t>(fed_.failed));
    counts.cut = ranks_.sum(static_cast<std::int64_t>(fed_.cut));
    for (const auto& [reason, count] : fed_.reasons) log::warn("train: {} samples left out: {}", count, reason);
    return counts;
}

void TrainingRun::publish_log(const Counts& counts) {
    parallel::together(ranks_, [&] {
        if (!ranks_.is_root()) return;
        run::write_training_log(paths_.file(run::files::training_log), log_.table(),
                                {.samples = order_.samples_per_epoch(),
                                 .samples_left_out = counts.left_out,
                                 .samples_cut = counts.cut,
                                 .steps_skipped = counts.skipped,
                                 .peak_tflops = peak_,
                                 .ranks = ranks_.size()});
        storage::publish_text(paths_.file("training_log.csv"), log_.csv());
    });
}

run::Figures TrainingRun::figures(const Counts& counts) const {
    run::Figures figures{{"steps", static_cast<double>(steps_)},
                         {"samples", static_cast<double>(order_.samples_per_epoch())},
                         {"samples_left_out", static_cast<double>(counts.left_out)},
                         {"samples_cut", static_cast<double>(counts.cut)},
                         {"steps_skipped", static_cast<double>(counts.skipped)},
                         {"roll_backs", static_cast<double>(log_.roll_backs().size())}};
    if (const auto& rows = log_.rows(); !rows.empty()) {
        double tokens = 0, seconds = 0, mfu = 0;
        for (const auto& row : rows) tokens += row.tokens, seconds += row.seconds, mfu += row.mfu * row.seconds;
        seconds = std::max(seconds, 1e-9);
        figures.emplace_back("loss_first", rows.front().loss);
        figures.emplace_back("loss_last", rows.back().loss);
        figures.emplace_back("tokens_per_s", tokens / seconds);
        if (peak_ > 0) figures.emplace_back("mfu", mfu / seconds);
        figures.emplace_back("memory_mib", ranks_.max(rows.back().memory_mib));
    }
    if (const auto& held_out = log_.validation(); !held_out.empty()) {
        figures.emplace_back("validation_first", held_out.front().loss);
        figures.emplace_back("validation_last", held_out.back().loss);
    }
    return figures;
}

}  // namespace tg::training
