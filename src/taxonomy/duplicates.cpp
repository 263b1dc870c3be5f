#include "taskgalaxy/taxonomy/duplicates.hpp"

#include <algorithm>
#include <cmath>
#include <fmt/format.h>

#include "taskgalaxy/core/error.hpp"
#include "taskgalaxy/core/random.hpp"
#include "taskgalaxy/core/threads.hpp"
#include "taskgalaxy/taxonomy/path.hpp"

namespace tg::taxonomy {
namespace {

constexpr std::size_t lexical_width = 512;

// Trigrams of each word with its edges marked; words weigh alike in any order.
void add_trigrams(std::span<float> row, std::string_view name, float weight) {
    std::string marked = " ";
    marked += name;
    marked += ' ';
    for (std::size_t i = 0; i + 3 <= marked.size(); ++i) {
        std::uint64_t gram = 0;
        for (std::size_t j = 0; j < 3; ++j) gram = gram << 8 | static_cast<unsigned char>(marked[i + j]);
        const auto bits = mix64(gram);
        row[bits % lexical_width] +=
            (bits >> 63) != 0 ? weight : -weight;  // signed hashing: collisions cancel on average
    }
}

void make_unit(std::span<float> row) {
    double sum = 0;
    for (const float x : row) sum += static_cast<double>(x) * x;
    if (sum <= 0) return;
    const auto scale = static_cast<float>(1 / std::sqrt(sum));
    for (float& x : row) x *= scale;
}

// Sixteen partial sums: the compiler can keep them in vector registers, and the order of addition is fixed.
float dot(const float* a, const float* b, std::size_t width) {
    constexpr std::size_t lanes = 16;
    float sums[lanes]{};
    std::size_t i = 0;
    for (; i + lanes <= width; i += lanes)
        for (std::size_t lane = 0; lane < lanes; ++lane) sums[lane] += a[i + lane] * b[i + lane];
    float rest = 0;
    for (; i < width; ++i) rest += a[i] * b[i];
    for (const float sum : sums) rest += sum;
    return rest;
}

}  // namespace

Embedder lexical_embedder() {
    return [](const std::vector<std::string>& texts) {
        std::vector<float> rows(texts.size() * lexical_width, 0.0f);
        for (std::size_t i = 0; i < texts.size(); ++i) {
            const std::span row(rows.data() + i * lexical_width, lexical_width);
            add_trigrams(row, last_name(texts[i]), 1.0f);
            // The parents say what the last name is about, but they are the same for all siblings: they must not drown
            // it.
            for (auto parent = parent_of(texts[i]); !parent.empty(); parent = parent_of(parent))
                add_trigrams(row, last_name(parent), 0.3f);
            make_unit(row);
        }
        return rows;
    };
}

std::vector<bool> DuplicateFilter::accept(const std::vector<std::string>& texts, const Comparable& comparable) {
    return add(texts, comparable, threshold_);
}

void DuplicateFilter::keep(const std::vector<std::string>& texts, const Comparable& comparable) {
    add(texts, comparable, 2.0);
}

std::vector<bool> DuplicateFilter::add(const std::vector<std::string>& texts, const Comparable& comparable,
                                       double threshold) {
    std::vector<bool> stays(texts.size(), true);
    if (texts.empty()) return stays;
    const auto rows = embedder_(texts);
    if (width_ == 0) width_ = rows.size() / texts.size();
    if (width_ == 0 || rows.size() != texts.size() * width_)
        throw InputError(fmt::format("the embedding of {} task types has {} values instead of {} a row", texts.size(),
                                     rows.size(), width_));

    struct Best {
        std::size_t other = 0;
        float cosine = -2;
    };
    // Against everything accepted before: independent for each text, so in parallel.
    std::vector<Best> best(texts.size());
    const auto before = kept_.size();
    const auto closest = [&](std::size_t i, std::size_t first, std::size_t last) {
        for (auto row = first; row < last; ++row) {
            if (comparable && !comparable(texts[i], kept_[row])) continue;
            const auto cosine = dot(rows.data() + i * width_, vectors_.data() + row * width_, width_);
            if (cosine > best[i].cosine) best[i] = {row, cosine};
        }
    };
    if (before * texts.size() > 100'000) {
        ThreadPool pool(std::max<std::size_t>(1, usable_cores()));
        std::vector<std::future<void>> waits;
        constexpr std::size_t block = 64;
        for (std::size_t first = 0; first < texts.size(); first += block)
            waits.push_back(pool.submit([&, first] {
                for (auto i = first; i < std::min(first + block, texts.size()); ++i) closest(i, 0, before);
            }));
        for (auto& wait : waits) wait.get();
    } else {
        for (std::size_t i = 0; i < texts.size(); ++i) closest(i, 0, before);
    }
    // Then in order against those of this call that were accepted: what is kept depends on the order of the texts
    // alone.
    for (std::size_t i = 0; i < texts.size(); ++i) {
        closest(i, before, kept_.size());
        if (best[i].cosine >= threshold) {
            stays[i] = false;
            dropped_.push_back({texts[i], kept_[best[i].other], best[i].cosine});
            continue;
        }
        if (best[i].cosine > -2) neighbours_.push_back({kept_.size(), best[i].other, best[i].cosine});
        kept_.push_back(texts[i]);
        vectors_.insert(vectors_.end(), rows.begin() + static_cast<std::ptrdiff_t>(i * width_),
                        rows.begin() + static_cast<std::ptrdiff_t>((i + 1) * width_));
    }
    return stays;
}

std::vector<DuplicateFilter::Pair> DuplicateFilter::nearest(std::size_t count) const {
    auto order = neighbours_;
    std::sort(order.begin(), order.end(), [](const Neighbour& a, const Neighbour& b) {
        return a.cosine != b.cosine ? a.cosine > b.cosine : a.row < b.row;
    });
    order.resize(std::min(order.size(), count));
    std::vector<Pair> pairs;
    for (const auto& at : order) pairs.push_back({kept_[at.row], kept_[at.other], at.cosine});
    return pairs;
}

}  // namespace tg::taxonomy
