// What may still be among the k best of one query, while approximate scores of all types pass by.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

namespace tg {

struct Nominee {
    float score;  // approximate
    std::int32_t type;
};

// Everything whose approximate score comes within `slack` of the k-th best so far is kept: slack is twice the largest error of a
// score, so that none of the true k best is ever dropped. When the list is full, what has fallen behind goes and the bar rises.
class Nominees {
public:
    void begin(int k, float slack) {
        k_ = static_cast<std::size_t>(k);
        slack_ = slack;
        bar_ = -std::numeric_limits<float>::infinity();
        full_at_ = room();
        list_.clear();
        list_.reserve(room());
    }
    // Scores below it are of no interest; never falls.
    float bar() const { return bar_; }
    void add(float score, std::int32_t type) {
        list_.push_back({score, type});
        if (list_.size() >= full_at_) prune();
    }
    const std::vector<Nominee>& finish() {
        prune();
        return list_;
    }

private:
    std::size_t room() const { return 4 * k_ + 64; }
    void prune() {
        if (list_.size() >= k_) {
            std::nth_element(list_.begin(), list_.begin() + static_cast<std::ptrdiff_t>(k_ - 1), list_.end(), [](const Nominee& a, const Nominee& b) { return a.score > b.score; });
            bar_ = list_[k_ - 1].score - slack_;
            std::erase_if(list_, [this](const Nominee& n) { return n.score < bar_; });
        }
        full_at_ = std::max(room(), 2 * list_.size());  // many equal scores: let the list grow rather than prune at every step
    }

    std::size_t k_ = 1, full_at_ = 0;
    float slack_ = 0, bar_ = 0;
    std::vector<Nominee> list_;
};

}  // namespace tg
