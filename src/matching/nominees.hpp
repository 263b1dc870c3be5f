// What may still be among the k best of one query, while approximate scores of all types pass by.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

namespace tg::matching {

struct Nominee {
    float upper;  // the score is not above it
    std::int32_t type;
};

// A score is known to lie between two bounds. The bar is the k-th best lower bound so far and rises as scores pass;
// whatever may reach it is kept, so that none of the true k best is ever dropped.
class Nominees {
public:
    void begin(int k) {
        k_ = static_cast<std::size_t>(k);
        full_at_ = room();
        best_.assign(k_ + 1, -std::numeric_limits<float>::infinity());
        best_.front() = std::numeric_limits<float>::infinity();
        list_.clear();
        list_.reserve(room());
    }
    // Scores whose upper bound is below it are of no interest; never falls.
    float bar() const { return best_.back(); }
    void add(float lower, float upper, std::int32_t type) {
        list_.push_back({upper, type});
        // Into its place, without a branch that no processor could foresee.
        for (auto i = k_; i > 0; --i) best_[i] = std::max(best_[i], std::min(best_[i - 1], lower));
        if (list_.size() >= full_at_) drop_fallen();
    }

    // What is left behind the last add, the k highest upper bounds in front.
    std::vector<Nominee>& finish() {
        drop_fallen();
        if (list_.size() > k_)
            std::nth_element(list_.begin(), list_.begin() + static_cast<std::ptrdiff_t>(k_), list_.end(),
                             [](const Nominee& a, const Nominee& b) { return a.upper > b.upper; });
        return list_;
    }

private:
    std::size_t room() const { return 4 * k_ + 256; }
    void drop_fallen() {
        std::erase_if(list_, [this](const Nominee& n) { return n.upper < bar(); });
        full_at_ = std::max(
            room(), 2 * list_.size());  // many equal scores: let the list grow rather than search it at every step
    }

    std::size_t k_ = 1, full_at_ = 0;
    std::vector<float> best_;  // [1 + k] infinity, then the k best lower bounds, the best first
    std::vector<Nominee> list_;
};

}  // namespace tg::matching
