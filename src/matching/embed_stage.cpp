#include "taskgalaxy/matching/embed_stage.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <numeric>

#include "taskgalaxy/core/log.hpp"
#include "taskgalaxy/core/stop.hpp"
#include "taskgalaxy/core/text.hpp"
#include "taskgalaxy/matching/embed_pictures.hpp"
#include "taskgalaxy/nn/layers/device.hpp"
#include "taskgalaxy/nn/layers/torch.hpp"
#include "taskgalaxy/nn/models/dual_encoder.hpp"
#include "taskgalaxy/pool/pool_table.hpp"
#include "taskgalaxy/run/embedding_table.hpp"
#include "taskgalaxy/storage/parts.hpp"
#include "taskgalaxy/taxonomy/taxonomy.hpp"

namespace tg::matching {
namespace {

std::vector<float> floats_of(const torch::Tensor& rows_BD) {
    const auto rows = rows_BD.contiguous();
    return {rows.data_ptr<float>(), rows.data_ptr<float>() + rows.numel()};
}

class PartEmbedder {
public:
    PartEmbedder(const EmbedSettings& settings, const pool::PoolSettings& pool_settings,
                 const run::StageContext& context)
        : settings_(settings), pool_settings_(pool_settings), context_(context) {
        parallel::together(context.ranks, [&] {
            device_ = layers::choose_device(settings.device);
            dtype_ = layers::choose_dtype(settings.dtype, device_);
        });
        const auto in_bf16 = context.ranks.sum(std::int64_t{dtype_ == torch::kBFloat16});
        parallel::together(context.ranks, [&] {
            if (in_bf16 != 0 && in_bf16 != context.ranks.size())
                throw UsageError(
                    fmt::format("embed.dtype = auto came to bf16 on {} of {} ranks and to fp32 on the others", in_bf16,
                                context.ranks.size()),
                    "say fp32 or bf16, or use nodes of one kind");
        });
    }

    void images() {
        std::unique_ptr<pool::Pool> pool;
        parallel::together(context_.ranks, [&] {
            pool = std::make_unique<pool::Pool>(context_.paths.file(run::files::pool), pool_settings_);
        });
        const storage::PartStore store(
            context_.paths.parts("embed-images"),
            {pool->size(), parts_of(settings_.images_per_part, pictures_at_once(settings_, device_))},
            context_.fingerprint, context_.ranks);
        if (!store.missing().empty()) {
            pool::AheadFigures spent;
            parallel::together(context_.ranks, [&] { load(); });
            auto recipe = pictures::ImageRecipe::read(settings_.model);
            recipe.decode_fast = pool_settings_.decode_fast;
            storage::for_each_part(store, context_.ranks, "embed_images", "images",
                                   [&](std::uint64_t, parallel::Slice items, auto& out) {
                                       const auto rows = image_part(*pool, recipe, items, spent);
                                       run::write_image_embeddings(out, rows.embedding, dim(), rows.failed);
                                   });
            log::info("embed_images: read {}, decoded {}, the model waited {} (sums over threads)",
                      duration_text(spent.read_s), duration_text(spent.decode_s),
                      duration_text(spent.consumer_waited_s));
        }
        gather(store, run::files::image_embeddings);
    }

    void texts() {
        taxonomy::Taxonomy taxonomy;
        parallel::together(context_.ranks,
                           [&] { taxonomy = taxonomy::Taxonomy::read(context_.paths.file(run::files::taxonomy)); });
        const auto leaves = taxonomy.leaves();
        const storage::PartStore store(context_.paths.parts("embed-texts"),
                                       {leaves.size(), parts_of(settings_.texts_per_part, texts_at_once())},
                                       context_.fingerprint, context_.ranks);
        if (!store.missing().empty()) {
            parallel::together(context_.ranks, [&] { load(); });
            storage::for_each_part(store, context_.ranks, "embed_texts", "task types",
                                   [&](std::uint64_t, parallel::Slice items, auto& out) {
                                       const auto rows = text_part(taxonomy, leaves, items);
                                       run::write_text_embeddings(out, rows.embedding, dim(), rows.type);
                                   });
        }
        gather(store, run::files::text_embeddings);
    }

private:
    struct ImageRows {
        std::vector<float> embedding;
        std::vector<std::uint8_t> failed;
    };
    struct TextRows {
        std::vector<float> embedding;
        std::vector<std::int64_t> type;
    };

    // Parts hold whole batches, so that a batch is the same whatever the size of a part.
    static std::uint64_t parts_of(int wanted, std::uint64_t batch) {
        return (static_cast<std::uint64_t>(wanted) + batch - 1) / batch * batch;
    }

    std::uint64_t texts_at_once() const { return static_cast<std::uint64_t>(settings_.batch_on(device_.is_cuda())); }

    std::uint64_t dim() const { return static_cast<std::uint64_t>(model_->dim()); }

    void load() {
        if (!model_) model_ = models::load_dual_encoder(settings_.model, device_, dtype_);
    }

    ImageRows image_part(const pool::Pool& pool, const pictures::ImageRecipe& recipe, parallel::Slice items,
                         pool::AheadFigures& spent) const {
        std::vector<std::uint64_t> indices(items.size());
        std::iota(indices.begin(), indices.end(), items.begin);
        auto vectors = embed_pictures(*model_, pool, indices, recipe, settings_, "embed_images");
        std::vector<std::uint8_t> failed(items.size(), 0);
        for (std::size_t i = 0; i < failed.size(); ++i) {
            if (vectors.failures[i].empty() || !pool.usable(indices[i])) continue;
            failed[i] = 1;
            log::warn("embed_images: {} can no longer be read and is left out: {}", pool.uri(indices[i]),
                      vectors.failures[i]);
        }
        spent.read_s += vectors.figures.read_s;
        spent.decode_s += vectors.figures.decode_s;
        spent.consumer_waited_s += vectors.figures.consumer_waited_s;
        return {std::move(vectors.rows), std::move(failed)};
    }

    std::vector<std::string> texts_for(const std::string& path) const {
        if (settings_.templates.empty()) return {path};
        std::vector<std::string> texts;
        for (const auto& pattern : settings_.templates) texts.push_back(replace_all(pattern, "{}", path));
        return texts;
    }

    TextRows text_part(const taxonomy::Taxonomy& taxonomy, const std::vector<std::size_t>& leaves,
                       parallel::Slice items) const {
        TextRows rows;
        for (auto begin = items.begin; begin < items.end; begin += texts_at_once()) {
            if (stop_requested()) throw Stopped("embed_texts");
            const auto end = std::min(items.end, begin + texts_at_once());
            std::vector<std::vector<std::int64_t>> ids;
            for (auto i = begin; i < end; ++i) {
                rows.type.push_back(static_cast<std::int64_t>(leaves[i]));
                for (const auto& text : texts_for(taxonomy.path(leaves[i])))
                    ids.push_back(model_->tokenizer().encode(text));
            }
            auto vectors_BD = model_->encode_texts(ids);
            if (const auto count = static_cast<std::int64_t>(settings_.templates.size()); count > 1) {
                vectors_BD = vectors_BD.view({-1, count, model_->dim()}).mean(1);
                vectors_BD /= vectors_BD.norm(2, -1, true).clamp_min(1e-12);
            }
            const auto vectors = floats_of(vectors_BD);
            rows.embedding.insert(rows.embedding.end(), vectors.begin(), vectors.end());
        }
        return rows;
    }

    void gather(const storage::PartStore& store, const char* file) const {
        store.gather(context_.paths.file(file), [&](auto& out) {
            run::write_embedding_attributes(out, settings_.model.string(), layers::dtype_name(dtype_));
        });
    }

    const EmbedSettings& settings_;
    const pool::PoolSettings& pool_settings_;
    const run::StageContext& context_;
    torch::Device device_ = torch::kCPU;
    torch::Dtype dtype_ = torch::kFloat32;
    std::unique_ptr<models::DualEncoder> model_;
};

// What both halves share: the model, by which each is made anew when it changes.
class EmbedStage : public run::Stage {
public:
    EmbedStage(const EmbedSettings& settings, const pool::PoolSettings& pool) : settings_(settings), pool_(pool) {}

    void check() const override {
        if (settings_.model.empty())
            throw UsageError("embed.model is not set", "give the folder of a CLIP or SigLIP model");
        if (!std::filesystem::exists(settings_.model / "config.json"))
            throw InputError(fmt::format("embed.model = {}: no config.json there", settings_.model.string()),
                             "give a Hugging Face folder of a CLIP or SigLIP model");
        for (const auto& pattern : settings_.templates)
            if (pattern.find("{}") == std::string::npos)
                throw UsageError(fmt::format("embed.templates: '{}' has no {{}}", pattern),
                                 "{} stands for the task type's path");
    }

protected:
    void describe_model(DigestBuilder& inputs, EmbedSettings settings) const {
        inputs.add(result_settings(settings));
        inputs.add(layers::dtype_name(layers::choose_dtype(settings_.dtype, layers::choose_device(settings_.device))));
        run::add_file_identity(inputs, settings_.model);
    }

    const EmbedSettings& settings_;
    const pool::PoolSettings& pool_;
};

class EmbedImagesStage final : public EmbedStage {
public:
    using EmbedStage::EmbedStage;
    std::string_view name() const override { return "embed_images"; }
    std::string_view purpose() const override { return "vectors of the pictures by CLIP or SigLIP"; }
    std::vector<std::string> reads() const override { return {run::files::pool}; }
    std::vector<std::string> writes() const override { return {run::files::image_embeddings}; }

    void describe_inputs(DigestBuilder& inputs) const override {
        auto settings = settings_;
        settings.templates.clear();  // of texts
        describe_model(inputs, settings);
        inputs.add(pool_.decode_fast ? "fast decoding" : "exact decoding");
    }

    std::vector<run::PlanLine> plan(const run::Paths& paths) const override {
        const auto pool_h5 = paths.file(run::files::pool);
        if (!std::filesystem::exists(pool_h5)) return {};
        return {{"pictures", static_cast<double>(pool::picture_count(pool_h5)), "images"}};
    }

    void run(run::StageContext& context) override {
        PartEmbedder(settings_, pool_, context).images();
        parallel::together(context.ranks, [&] {
            if (!context.ranks.is_root()) return;
            const auto failed = run::EmbeddingTable(context.paths.file(run::files::image_embeddings)).failed();
            context.figures = {{"images", static_cast<double>(failed.size())},
                               {"failed", static_cast<double>(std::accumulate(failed.begin(), failed.end(), 0))}};
        });
    }
};

class EmbedTextsStage final : public EmbedStage {
public:
    using EmbedStage::EmbedStage;
    std::string_view name() const override { return "embed_texts"; }
    std::string_view purpose() const override { return "vectors of the task types by the same model"; }
    std::vector<std::string> reads() const override { return {run::files::taxonomy}; }
    std::vector<std::string> writes() const override { return {run::files::text_embeddings}; }
    void describe_inputs(DigestBuilder& inputs) const override { describe_model(inputs, settings_); }

    std::vector<run::PlanLine> plan(const run::Paths& paths) const override {
        const auto taxonomy_h5 = paths.file(run::files::taxonomy);
        if (!std::filesystem::exists(taxonomy_h5)) return {};
        return {{"task types", static_cast<double>(taxonomy::Taxonomy::read(taxonomy_h5).leaves().size()), "texts"}};
    }

    void run(run::StageContext& context) override {
        PartEmbedder(settings_, pool_, context).texts();
        parallel::together(context.ranks, [&] {
            if (context.ranks.is_root())
                context.figures = {
                    {"types",
                     static_cast<double>(run::EmbeddingTable(context.paths.file(run::files::text_embeddings)).rows())}};
        });
    }
};

}  // namespace

std::unique_ptr<run::Stage> make_embed_images_stage(const EmbedSettings& settings, const pool::PoolSettings& pool) {
    return std::make_unique<EmbedImagesStage>(settings, pool);
}
std::unique_ptr<run::Stage> make_embed_texts_stage(const EmbedSettings& settings, const pool::PoolSettings& pool) {
    return std::make_unique<EmbedTextsStage>(settings, pool);
}

taxonomy::Embedder make_text_embedder(const EmbedSettings& settings) {
    const auto device = layers::choose_device(settings.device);
    const std::shared_ptr<const models::DualEncoder> model =
        models::load_dual_encoder(settings.model, device, layers::choose_dtype(settings.dtype, device));
    return [model, batch = static_cast<std::size_t>(settings.batch_on(device.is_cuda()))](
               const std::vector<std::string>& texts) {
        std::vector<float> rows;
        rows.reserve(texts.size() * static_cast<std::size_t>(model->dim()));
        for (std::size_t begin = 0; begin < texts.size(); begin += batch) {
            std::vector<std::vector<std::int64_t>> ids;
            for (auto i = begin; i < std::min(texts.size(), begin + batch); ++i)
                ids.push_back(model->tokenizer().encode(texts[i]));
            const auto vectors = floats_of(model->encode_texts(ids));
            rows.insert(rows.end(), vectors.begin(), vectors.end());
        }
        return rows;
    };
}

}  // namespace tg::matching
