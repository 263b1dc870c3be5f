#include "tensorboard.hpp"

#include <chrono>

#include "taskgalaxy/core/error.hpp"
#include "taskgalaxy/core/log.hpp"

namespace tg::training {

namespace {

using Scalars = std::vector<std::pair<std::string, double>>;

double wall_time() {
    return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

Scalars scalars_of(const LogRow& row) {
    auto scalars = TrainingLog::scalars(row);
    for (auto& [name, value] : scalars) name = "train/" + name;
    return scalars;
}

Scalars scalars_of(const ValidationRow& row) { return {{"validation/loss", row.loss}}; }

}  // namespace

void TensorBoard::begin(const TrainingLog& log) {
    if (!enabled_) return;
    double time = wall_time();
    for (const auto& row : log.rows()) time -= row.seconds;
    events_.emplace(folder_, time);
    for (const auto& row : log.rows())
        events_->add(static_cast<std::int64_t>(row.step), time += row.seconds, scalars_of(row));
    for (const auto& row : log.validation()) events_->add(static_cast<std::int64_t>(row.step), time, scalars_of(row));
}

void TensorBoard::add(const LogRow& row) { add(row.step, scalars_of(row)); }
void TensorBoard::add(const ValidationRow& row) { add(row.step, scalars_of(row)); }

void TensorBoard::add(double step, const Scalars& scalars) {
    if (!events_) return;
    try {
        events_->add(static_cast<std::int64_t>(step), wall_time(), scalars);
    } catch (const StorageError& error) {
        log::warn("train: {}; no more events for TensorBoard", error.what());
        events_.reset();
    }
}

}  // namespace tg::training
