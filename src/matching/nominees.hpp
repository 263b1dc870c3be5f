// What may still be among the k best of one query, while approximate scores of all types pass by.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <vector>

namespace tg {

struct Nominee {
    float score;  // approximate
    std::int32_t type;
};

// Everything whose approximate score comes within `slack` of the k-th best so far is kept: slack is twice the largest error of a
// score, so that none of the true k best is ever dropped. The bar rises with every score that becomes one of the k best.
class Nominees {
public:
    void begin(int k, float slack) {
        k_ = static_cast<std::size_t>(k);
        slack_ = slack;
        bar_ = -std::numeric_limits<float>::infinity();
        full_at_ = room();
        best_.clear();
        list_.clear();
        list_.reserve(room());
    }
    // Scores below it are of no interest; never falls.
    float bar() const { return bar_; }
    void add(float score, std::int32_t type) {
        list_.push_back({score, type});
        if (best_.size() < k_) {
            best_.push_back(score);
            std::push_heap(best_.begin(), best_.end(), std::greater<>());
        } else if (score > best_.front()) {
            std::pop_heap(best_.begin(), best_.end(), std::greater<>());
            best_.back() = score;
            std::push_heap(best_.begin(), best_.end(), std::greater<>());
        }
        if (best_.size() == k_) bar_ = best_.front() - slack_;
        if (list_.size() >= full_at_) drop_fallen();
    }
    const std::vector<Nominee>& finish() {
        drop_fallen();
        return list_;
    }

private:
    std::size_t room() const { return 4 * k_ + 64; }
    void drop_fallen() {
        std::erase_if(list_, [this](const Nominee& n) { return n.score < bar_; });
        full_at_ = std::max(room(), 2 * list_.size());  // many equal scores: let the list grow rather than search it at every step
    }

    std::size_t k_ = 1, full_at_ = 0;
    float slack_ = 0, bar_ = 0;
    std::vector<float> best_;  // the k best scores, the least in front
    std::vector<Nominee> list_;
};

}  // namespace tg
