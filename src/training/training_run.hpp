// One training from its first step, or its newest checkpoint, to the exported model: what happens around the trainer's
// step. Samples are fed ahead, the loss of those held out is measured when it is due, steps that must not be learnt
// from are refused, skipped or rolled back over, checkpoints are begun, and the log is kept. All ranks make one
// together and call it in the same order; all of it is collective.
//
//   TrainingRun training(settings, options, parts, samples, reader, ranks, paths, fingerprint);
//   while (training.next_step() < training.steps()) training.step();
//   figures = training.finish();
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "checkpoint.hpp"
#include "flops.hpp"
#include "sample_feed.hpp"
#include "schedule.hpp"
#include "step_guard.hpp"
#include "step_order.hpp"
#include "taskgalaxy/core/progress.hpp"
#include "taskgalaxy/run/stage.hpp"
#include "taskgalaxy/training/settings.hpp"
#include "tensorboard.hpp"
#include "trainer.hpp"
#include "training_log.hpp"
#include "validation.hpp"

namespace tg::training {

class TrainingRun {
public:
    // Loads the weights of `parts` (describe_model()) and goes on from the newest checkpoint of the same `fingerprint`.
    // `options`: trainer_options(settings), which may fail on one rank and is made before for that.
    // `parts`, `samples` and `ranks` must outlive this.
    TrainingRun(const TrainSettings& settings, const TrainerOptions& options, models::VlmParts& parts,
                const SampleSet& samples, PictureReader reader, const parallel::Communicator& ranks,
                const run::Paths& paths, const std::string& fingerprint);

    std::int64_t steps() const { return steps_; }  // in all
    std::int64_t next_step() const { return step_; }
    const TrainingLog& log() const { return log_; }

    // Computes step next_step(), after a validation that is due before it. next_step() is one more then, or less after
    // a roll back, so that a step may be passed twice. A stop that was asked for writes a checkpoint and throws
    // AgreedFailure(requeue); a step that the job refuses throws AgreedFailure(input).
    void step();
    // After the last step: export/model or export/adapter, training_log.h5 and .csv; the checkpoints go.
    run::Figures finish();

private:
    using Clock = std::chrono::steady_clock;
    struct Learnt {
        StepResult result;
        StepSize size;  // of this rank's samples
        StepVerdict verdict = StepVerdict::learn;
    };
    // Over all ranks, and over feeds that were given up.
    struct Counts {
        std::int64_t left_out = 0, cut = 0, skipped = 0;
    };

    std::int64_t go_on();
    std::unique_ptr<SampleFeed> feed_from(std::int64_t step);
    void begin_tensorboard();
    bool is_validation_due() const;
    void validate();
    Learnt learn(double rate);
    [[noreturn]] void refuse(const StepResult& bad) const;
    void roll_back(const StepResult& bad);
    void record(const Learnt& learnt, double rate, double seconds, double data_wait);
    void keep_state();
    Counts count_samples();
    void publish_log(const Counts& counts);
    run::Figures figures(const Counts& counts) const;

    const TrainSettings settings_;
    models::VlmParts& parts_;
    const SampleSet& samples_;
    const PictureReader reader_;
    const parallel::Communicator& ranks_;
    const run::Paths paths_;

    const TrainerOptions options_;
    Trainer trainer_;
    const StepOrder order_;
    const std::int64_t steps_;
    const Schedule schedule_;
    const FeedOptions feed_options_;
    TrainingLog log_;
    Checkpoints checkpoints_;
    std::int64_t step_;      // the next one
    std::int64_t furthest_;  // steps of the progress line, which does not go back
    std::unique_ptr<SampleFeed> feed_;
    FeedFigures fed_;  // of feeds that were given up
    std::optional<Validation> validation_;
    StepGuard guard_;
    const FlopCount flops_;
    const double peak_;  // TFLOP/s of this rank's device; 0: not known
    TensorBoard tensorboard_;
    Progress progress_;
    Clock::time_point last_checkpoint_ = Clock::now();
};

}  // namespace tg::training
