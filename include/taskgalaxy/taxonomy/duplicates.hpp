// Near-duplicates by meaning: texts become unit vectors (CLIP text, another embedding, or letter trigrams where there
// is no model), and of two whose cosine reaches a threshold the later one goes. Which pairs, and how close the nearest
// kept ones are, is reported.
#pragma once

#include <cstddef>
#include <functional>
#include <span>
#include <string>
#include <vector>

namespace tg::taxonomy {

// texts -> one unit row each, all of one width, row-major [texts, width]. Deterministic. Called on one rank, by its
// main thread.
using Embedder = std::function<std::vector<float>(const std::vector<std::string>& texts)>;

// A word-form stand-in: hashed letter trigrams of the whole path, its last name counting most. Catches plurals, word
// order, "X recognition"/"recognition of X"; knows nothing of synonyms.
Embedder lexical_embedder();

// Grows with the taxonomy: each call judges new texts against everything accepted before and against each other.
class DuplicateFilter {
public:
    // `threshold` in (0, 1]; above 1 nothing is ever dropped, and only the nearest pairs are recorded.
    DuplicateFilter(Embedder embedder, double threshold) : embedder_(std::move(embedder)), threshold_(threshold) {}

    struct Pair {
        std::string text, other;
        float cosine;
    };
    using Comparable = std::function<bool(const std::string&, const std::string&)>;
    // One flag a text: true where it may stay. Only texts that compare() says may be told apart are compared, if it is
    // given (an ancestor and its descendant are no duplicates of each other).
    std::vector<bool> accept(const std::vector<std::string>& texts, const Comparable& comparable = {});
    // Takes texts without judging them: what people wrote. They count as accepted, and their nearest pairs are
    // recorded.
    void keep(const std::vector<std::string>& texts, const Comparable& comparable = {});

    const std::vector<Pair>& dropped() const {
        return dropped_;
    }  // text: the dropped one, other: the one kept in its place
    // The closest pairs that were both kept, closest first; at most `count`.
    std::vector<Pair> nearest(std::size_t count) const;

private:
    std::vector<bool> add(const std::vector<std::string>& texts, const Comparable& comparable, double threshold);

    struct Neighbour {
        std::size_t row, other;
        float cosine;
    };
    Embedder embedder_;
    double threshold_;
    std::size_t width_ = 0;
    std::vector<std::string> kept_;
    std::vector<float> vectors_;         // [kept, width]
    std::vector<Neighbour> neighbours_;  // of each kept text: the closest kept before it
    std::vector<Pair> dropped_;
};

}  // namespace tg::taxonomy
