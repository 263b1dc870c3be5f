#include "taskgalaxy/matching/match_stage.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <numeric>

#include "taskgalaxy/core/log.hpp"
#include "taskgalaxy/matching/top_k.hpp"
#include "taskgalaxy/storage/parts.hpp"

namespace tg {
namespace {

constexpr std::int64_t histogram_bins = 200;  // of 0.01, over [-1, 1]

std::int64_t bin_of(float score) { return std::clamp(static_cast<std::int64_t>((score + 1.0f) * 100.0f), std::int64_t{0}, histogram_bins - 1); }

// The task types' vectors, whole on every rank: 40,000 x 768 floats are 123 MB.
struct Types {
    std::vector<float> vectors;        // [T, D]
    std::vector<std::int64_t> rows;    // [T], rows of taxonomy.h5
    std::int64_t dim = 0;

    explicit Types(const std::filesystem::path& file) {
        const auto in = Hdf5File::open(file);
        vectors = in.read<float>("embedding");
        rows = in.read<std::int64_t>("type");
        dim = static_cast<std::int64_t>(in.row_elements("embedding"));
    }
};

class MatchStage final : public Stage {
public:
    explicit MatchStage(const MatchSettings& settings) : settings_(settings) {}
    std::string_view name() const override { return "match"; }
    std::string_view purpose() const override { return "the k task types nearest to each picture, exactly"; }
    std::vector<std::string> reads() const override { return {"image_embeddings.h5", "text_embeddings.h5"}; }
    std::vector<std::string> writes() const override { return {"matches.h5"}; }
    void describe_inputs(DigestBuilder& inputs) const override {
        auto settings = settings_;
        inputs.add(result_settings(settings));
    }

    void run(StageContext& context) override {
        const auto& ranks = context.ranks;
        std::unique_ptr<Types> types;
        std::uint64_t num_images = 0;
        together(ranks, [&] {
            types = std::make_unique<Types>(context.paths.file("text_embeddings.h5"));
            const auto images = Hdf5File::open(context.paths.file("image_embeddings.h5"));
            num_images = images.rows("embedding");
            if (static_cast<std::int64_t>(images.row_elements("embedding")) != types->dim) throw InputError(fmt::format("{}: pictures and task types were embedded by different models", context.paths.root().string()), "--redo embed");
        });
        const PartStore store(context.paths.parts("match"), {num_images, static_cast<std::uint64_t>(settings_.images_per_part)}, context.fingerprint, ranks);
        if (!store.missing().empty()) {
            std::unique_ptr<TopK> top_k;
            together(ranks, [&] { top_k = std::make_unique<TopK>(types->vectors, types->dim, settings_.k, settings_.threads); });
            const auto images = Hdf5File::open(context.paths.file("image_embeddings.h5"));
            for_each_part(store, ranks, "match", "images", [&](std::uint64_t, Slice items, Hdf5File& out) { match_part(images, *types, *top_k, items, out); });
        }
        std::vector<std::int64_t> counts;
        count_parts(store, *types, ranks, counts);
        const auto unmatched = std::count(counts.begin(), counts.begin() + static_cast<std::ptrdiff_t>(types->rows.size()), 0);
        store.gather(context.paths.file("matches.h5"), [&](Hdf5File& out) {
            const auto root_rows = [&](std::size_t n) { return ranks.is_root() ? n : 0; };
            const auto write = [&](const char* name, std::span<const std::int64_t> values, std::vector<std::uint64_t> shape) {
                out.make_dataset(name, Hdf5Type::i64, shape);
                const auto rows = root_rows(shape[0]);
                out.write_rows(name, 0, rows, rows ? values : std::span<const std::int64_t>{});
            };
            const auto all = std::span<const std::int64_t>(counts);
            write("diagnostics/type", types->rows, {types->rows.size()});
            write("diagnostics/images_per_type", all.first(types->rows.size()), {types->rows.size()});
            write("diagnostics/score_histogram", all.subspan(types->rows.size()), {static_cast<std::uint64_t>(settings_.k), static_cast<std::uint64_t>(histogram_bins)});
            out.set_attribute("k", settings_.k);
            out.set_attribute("unmatched_types", static_cast<std::int64_t>(unmatched));
        });
        context.figures = {{"images", static_cast<double>(num_images)}, {"types", static_cast<double>(types->rows.size())}, {"unmatched_types", static_cast<double>(unmatched)}, {"k", static_cast<double>(settings_.k)}};
        log::info("match: {} of {} task types are nobody's candidate", unmatched, types->rows.size());
    }

private:
    void match_part(const Hdf5File& images, const Types& types, const TopK& top_k, Slice items, Hdf5File& out) const {
        const auto vectors = images.read_rows<float>("embedding", items.begin, items.size());
        const auto k = static_cast<std::size_t>(settings_.k), dim = static_cast<std::size_t>(types.dim);
        std::vector<std::int64_t> found(items.size() * k);
        std::vector<float> scores(items.size() * k);
        top_k(vectors, found, scores);
        for (std::size_t i = 0; i < items.size(); ++i) {
            const auto row = std::span(vectors).subspan(i * dim, dim);
            const bool unusable = std::all_of(row.begin(), row.end(), [](float x) { return x == 0.0f; });
            for (std::size_t rank = i * k; rank < (i + 1) * k; ++rank) {
                found[rank] = unusable ? -1 : types.rows[static_cast<std::size_t>(found[rank])];
                if (unusable) scores[rank] = 0;
            }
        }
        const std::uint64_t shape[] = {items.size(), k};
        out.write("type", std::span<const std::int64_t>(found), shape);
        out.write("score", std::span<const float>(scores), shape);
    }

    // images_per_type [T], then the histogram [k, bins]; counted from the parts, so that a restart counts what earlier lives did.
    void count_parts(const PartStore& store, const Types& types, const Communicator& ranks, std::vector<std::int64_t>& counts) const {
        counts.assign(types.rows.size() + static_cast<std::size_t>(settings_.k * histogram_bins), 0);
        together(ranks, [&] {
            const auto slice = slice_of(store.parts().count(), static_cast<std::uint64_t>(ranks.rank()), static_cast<std::uint64_t>(ranks.size()));
            for (auto part = slice.begin; part < slice.end; ++part) {
                const auto in = Hdf5File::open(store.path(part));
                const auto found = in.read<std::int64_t>("type");
                const auto scores = in.read<float>("score");
                for (std::size_t i = 0; i < found.size(); ++i) {
                    if (found[i] < 0) continue;
                    const auto type = std::lower_bound(types.rows.begin(), types.rows.end(), found[i]) - types.rows.begin();
                    ++counts[static_cast<std::size_t>(type)];
                    const auto rank = static_cast<std::int64_t>(i) % settings_.k;
                    ++counts[types.rows.size() + static_cast<std::size_t>(rank * histogram_bins + bin_of(scores[i]))];
                }
            }
        });
        ranks.all_reduce_sum(std::span(counts));
    }

    const MatchSettings& settings_;
};

}  // namespace

std::unique_ptr<Stage> make_match_stage(const MatchSettings& settings) { return std::make_unique<MatchStage>(settings); }

}  // namespace tg
