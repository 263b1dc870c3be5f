#include "taskgalaxy/matching/match_stage.hpp"

#include <algorithm>
#include <cmath>
#include <fmt/format.h>
#include <optional>
#include <tuple>

#include "taskgalaxy/core/log.hpp"
#include "taskgalaxy/matching/top_k.hpp"
#include "taskgalaxy/run/embedding_table.hpp"
#include "taskgalaxy/run/match_table.hpp"
#include "taskgalaxy/storage/parts.hpp"

namespace tg::matching {
namespace {

constexpr std::int64_t score_bins = run::MatchDiagnostics::score_bins;

std::int64_t bin_of(float score) {
    return std::clamp(static_cast<std::int64_t>((score + 1.0f) * 100.0f), std::int64_t{0}, score_bins - 1);
}

// The task types' vectors. A rank holds `types_at_once` of them: all, as a rule (40,000 x 768 floats are 123 MB), else
// one block, read again for every part of pictures. The file passes the blocks around, not the ranks: nobody waits for
// a neighbour, and a part can be made by anyone at any time.
class Types {
public:
    Types(const std::filesystem::path& file, const MatchSettings& settings)
        : settings_(settings), vectors_of_all_(file) {
        rows = vectors_of_all_.types();
        dim = static_cast<std::int64_t>(vectors_of_all_.dim());
        if (rows.size() < static_cast<std::size_t>(settings.k))
            throw UsageError(fmt::format("match.k = {}, but there are {} task types", settings.k, rows.size()),
                             fmt::format("choose 1 to {}", rows.size()));
        const auto at_once =
            settings.types_at_once == 0 ? rows.size() : static_cast<std::size_t>(settings.types_at_once);
        num_blocks_ = (rows.size() + at_once - 1) / at_once;
    }

    std::vector<std::int64_t> rows;  // [T], rows of taxonomy.h5, ascending
    std::int64_t dim = 0;

    // queries [Q, D] -> type [Q, k] (rows of taxonomy.h5), score [Q, k], best first, equal scores by row.
    void nearest(std::span<const float> queries, std::span<std::int64_t> type, std::span<float> score) {
        const auto k = static_cast<std::size_t>(settings_.k),
                   num_queries = queries.size() / static_cast<std::size_t>(dim);
        std::vector<Match> best, joined;  // best: [Q, found so far]
        std::size_t found = 0;
        for (std::uint64_t i = 0, start = loaded_; i < num_blocks_; ++i) {  // the block in memory first
            const auto block = load((start + i) % num_blocks_);
            const auto width = static_cast<std::size_t>(top_k_->k());
            std::vector<std::int64_t> indices(num_queries * width);
            std::vector<double> scores(num_queries * width);
            (*top_k_)(queries, indices, scores);
            const auto kept = std::min(k, found + width);
            joined.clear();
            for (std::size_t q = 0; q < num_queries; ++q) {
                std::vector<Match> both(best.begin() + static_cast<std::ptrdiff_t>(q * found),
                                        best.begin() + static_cast<std::ptrdiff_t>((q + 1) * found));
                for (std::size_t rank = 0; rank < width; ++rank)
                    both.emplace_back(-scores[q * width + rank],
                                      rows[block.begin + static_cast<std::uint64_t>(indices[q * width + rank])]);
                std::inplace_merge(both.begin(), both.begin() + static_cast<std::ptrdiff_t>(found), both.end());
                joined.insert(joined.end(), both.begin(), both.begin() + static_cast<std::ptrdiff_t>(kept));
            }
            std::swap(best, joined);
            found = kept;
        }
        for (std::size_t i = 0; i < best.size(); ++i)
            std::tie(score[i], type[i]) = std::pair(static_cast<float>(-best[i].first), best[i].second);
    }

    std::string_view arithmetic() {
        load(loaded_);
        return top_k_->arithmetic();
    }

private:
    using Match = std::pair<double, std::int64_t>;  // (-score, row of taxonomy.h5): ascending order is best first

    // Makes block `index` the one in memory.
    parallel::Slice load(std::uint64_t index) {
        const auto block = parallel::slice_of(rows.size(), index, num_blocks_);
        if (!top_k_ || index != loaded_) {
            top_k_.reset();
            vectors_ = vectors_of_all_.embedding(block);
            top_k_ = std::make_unique<TopK>(vectors_, dim, std::min(settings_.k, static_cast<int>(block.size())),
                                            settings_.threads, settings_.arithmetic);
            loaded_ = index;
        }
        return block;
    }

    const MatchSettings& settings_;
    run::EmbeddingTable vectors_of_all_;
    std::uint64_t num_blocks_ = 1, loaded_ = 0;
    std::vector<float> vectors_;  // of the block in memory
    std::unique_ptr<TopK> top_k_;
};

// What became of the types: how often each is the first, second, ... candidate of a picture.
struct Counts {
    std::size_t k;
    std::vector<std::int64_t> type_and_rank;  // [T, k]
    std::vector<std::int64_t> histogram;      // [k, score_bins]
    std::int64_t unusable = 0;

    std::vector<std::int64_t> images_per_type() const {
        std::vector<std::int64_t> sums(type_and_rank.size() / k);
        for (std::size_t i = 0; i < type_and_rank.size(); ++i) sums[i / k] += type_and_rank[i];
        return sums;
    }
    // [k]: how many types are among the first 1, 2, ... k candidates of some picture: what a smaller k would lose.
    std::vector<std::int64_t> types_matched() const {
        std::vector<std::int64_t> matched(k);
        for (std::size_t t = 0; t < type_and_rank.size(); t += k) {
            bool seen = false;
            for (std::size_t rank = 0; rank < k; ++rank) {
                seen = seen || type_and_rank[t + rank] > 0;
                matched[rank] += seen;
            }
        }
        return matched;
    }
    std::int64_t unmatched() const {
        return static_cast<std::int64_t>(type_and_rank.size() / k) - types_matched().back();
    }
    run::MatchDiagnostics diagnostics(const std::vector<std::int64_t>& types) const {
        return {k, types, images_per_type(), type_and_rank, types_matched(), histogram, unmatched(), unusable};
    }
};

class MatchStage final : public run::Stage {
public:
    explicit MatchStage(const MatchSettings& settings) : settings_(settings) {}
    std::string_view name() const override { return "match"; }
    std::string_view purpose() const override { return "the k task types nearest to each picture, exactly"; }
    std::vector<std::string> reads() const override {
        return {run::files::image_embeddings, run::files::text_embeddings};
    }
    std::vector<std::string> writes() const override { return {run::files::matches}; }
    void describe_inputs(DigestBuilder& inputs) const override {
        auto settings = settings_;
        inputs.add(result_settings(settings));
    }

    void run(run::StageContext& context) override {
        const auto& ranks = context.ranks;
        std::unique_ptr<Types> types;
        std::uint64_t num_images = 0;
        parallel::together(ranks, [&] {
            types = std::make_unique<Types>(context.paths.file(run::files::text_embeddings), settings_);
            const run::EmbeddingTable images(context.paths.file(run::files::image_embeddings));
            num_images = images.rows();
            if (static_cast<std::int64_t>(images.dim()) != types->dim)
                throw InputError(fmt::format("{}: pictures and task types were embedded by different models",
                                             context.paths.root().string()),
                                 "--redo embed");
        });
        const storage::PartStore store(context.paths.parts("match"),
                                       {num_images, static_cast<std::uint64_t>(settings_.images_per_part)},
                                       context.fingerprint, ranks);
        if (!store.missing().empty()) {
            std::optional<run::EmbeddingTable> images;
            std::string_view arithmetic;
            parallel::together(ranks, [&] {
                arithmetic = types->arithmetic();
                images.emplace(context.paths.file(run::files::image_embeddings));
            });
            log::info("match: {} task types, candidates by {} products", types->rows.size(), arithmetic);
            storage::for_each_part(store, ranks, "match", "images",
                                   [&](std::uint64_t, parallel::Slice items, auto& out) {
                                       run::write_matches(out, match_part(*images, *types, items));
                                   });
        }
        const auto counts = count_parts(store, *types, ranks);
        store.gather(context.paths.file(run::files::matches), [&](auto& out) {
            run::write_match_diagnostics(out, counts.diagnostics(types->rows), ranks.is_root());
        });
        context.figures = {{"images", static_cast<double>(num_images)},
                           {"unusable_images", static_cast<double>(counts.unusable)},
                           {"types", static_cast<double>(types->rows.size())},
                           {"unmatched_types", static_cast<double>(counts.unmatched())},
                           {"k", static_cast<double>(settings_.k)}};
        log::info("match: {} of {} task types are nobody's candidate", counts.unmatched(), types->rows.size());
    }

private:
    run::MatchRows match_part(const run::EmbeddingTable& images, Types& types, parallel::Slice items) const {
        const auto vectors = images.embedding(items);
        const auto k = static_cast<std::size_t>(settings_.k), dim = static_cast<std::size_t>(types.dim);
        for (std::size_t i = 0; i < vectors.size(); ++i)
            if (!std::isfinite(vectors[i]))
                throw InputError(fmt::format("{}: row {} holds a number that is not finite", images.path().string(),
                                             items.begin + i / dim),
                                 "the model's weights overflow; embed.dtype = fp32 may help, then --redo embed");
        // Unusable pictures are zero rows: every type would score 0 and be a candidate.
        std::vector<std::size_t> usable;
        std::vector<float> queries;
        for (std::size_t i = 0; i < items.size(); ++i) {
            const auto row = std::span(vectors).subspan(i * dim, dim);
            if (std::all_of(row.begin(), row.end(), [](float x) { return x == 0.0f; })) continue;
            usable.push_back(i);
            queries.insert(queries.end(), row.begin(), row.end());
        }
        run::MatchRows found{items.size(), k, std::vector<std::int64_t>(items.size() * k, -1),
                             std::vector<float>(items.size() * k, 0.0f)};
        std::vector<std::int64_t> nearest(usable.size() * k);
        std::vector<float> nearest_scores(usable.size() * k);
        types.nearest(queries, nearest, nearest_scores);
        for (std::size_t u = 0; u < usable.size(); ++u)
            for (std::size_t rank = 0; rank < k; ++rank) {
                found.type[usable[u] * k + rank] = nearest[u * k + rank];
                found.score[usable[u] * k + rank] = nearest_scores[u * k + rank];
            }
        return found;
    }

    // Counted from the parts, so that a restart counts what earlier lives did.
    Counts count_parts(const storage::PartStore& store, const Types& types, const parallel::Communicator& ranks) const {
        const auto k = static_cast<std::size_t>(settings_.k);
        Counts counts{k, std::vector<std::int64_t>(types.rows.size() * k),
                      std::vector<std::int64_t>(k * static_cast<std::size_t>(score_bins))};
        parallel::together(ranks, [&] {
            const auto slice = parallel::slice_of(store.parts().count(), static_cast<std::uint64_t>(ranks.rank()),
                                                  static_cast<std::uint64_t>(ranks.size()));
            for (auto part = slice.begin; part < slice.end; ++part) {
                const auto found = run::MatchTable(store.path(part)).rows();
                for (std::size_t i = 0; i < found.type.size(); ++i) {
                    const auto rank = i % k;
                    if (found.type[i] < 0) {
                        counts.unusable += rank == 0;
                        continue;
                    }
                    const auto type = static_cast<std::size_t>(
                        std::lower_bound(types.rows.begin(), types.rows.end(), found.type[i]) - types.rows.begin());
                    ++counts.type_and_rank[type * k + rank];
                    ++counts.histogram[rank * static_cast<std::size_t>(score_bins) +
                                       static_cast<std::size_t>(bin_of(found.score[i]))];
                }
            }
        });
        ranks.all_reduce_sum(std::span(counts.type_and_rank));
        ranks.all_reduce_sum(std::span(counts.histogram));
        counts.unusable = ranks.sum(counts.unusable);
        return counts;
    }

    const MatchSettings& settings_;
};

}  // namespace

std::unique_ptr<run::Stage> make_match_stage(const MatchSettings& settings) {
    return std::make_unique<MatchStage>(settings);
}

}  // namespace tg::matching
