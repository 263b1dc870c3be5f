#include "step_guard.hpp"

#include <algorithm>
#include <cmath>

namespace tg::training {

StepGuard::StepGuard(const GuardOptions& options, const std::vector<LogRow>& log) : options_(options) {
    for (const auto& row : log) add(row);
}

double StepGuard::median(const std::deque<double>& values) {
    std::vector<double> sorted(values.begin(), values.end());
    const auto middle = sorted.begin() + static_cast<std::ptrdiff_t>(sorted.size() / 2);
    std::nth_element(sorted.begin(), middle, sorted.end());
    return *middle;
}

StepVerdict StepGuard::judge(double loss, double gradient_norm) const {
    if (!std::isfinite(loss) || !std::isfinite(gradient_norm)) return options_.on_nan;
    if (options_.spike <= 0 || losses_.size() < least) return StepVerdict::learn;
    const bool spike = loss > options_.spike * median(losses_) || gradient_norm > options_.spike * median(norms_);
    return spike ? options_.on_spike : StepVerdict::learn;
}

void StepGuard::add(const LogRow& row) {
    if (row.skipped != 0) return;
    for (auto [values, value] : {std::pair{&losses_, row.loss}, std::pair{&norms_, row.grad_norm}}) {
        values->push_back(value);
        if (values->size() > window) values->pop_front();
    }
}

}  // namespace tg::training
