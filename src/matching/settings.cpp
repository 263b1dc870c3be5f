#include "taskgalaxy/matching/settings.hpp"

#include "product.hpp"
#include "taskgalaxy/nn/layers/device_words.hpp"

namespace tg::matching {

void EmbedSettings::describe(SettingsVisitor& v) {
    v.tuning("model", &model, "Hugging Face folder of a CLIP or SigLIP model (its content is fingerprinted)");
    v.tuning("device", choice(&device, layers::device_words()), "where to compute");
    v.option("dtype", choice(&dtype, layers::dtype_words()),
             "number format; auto: bf16 where the device computes it in hardware");
    v.option("batch", &batch,
             "pictures or texts at once; 0: 256 on a GPU, 64 on CPUs; pictures on CPUs: at most 8, by each core",
             at_least(0));
    v.option("templates", &templates,
             "texts around a task type, {} standing for its path; several: the mean of their vectors; empty: the plain "
             "path");
    v.tuning("images_per_part", &images_per_part, "pictures whose vectors are written to disk together", at_least(1));
    v.tuning("texts_per_part", &texts_per_part, "task types whose vectors are written to disk together", at_least(1));
    v.tuning("batches_ahead", &batches_ahead, "decoded batches kept ready for the model", at_least(2));
    v.tuning("decode_threads", &decode_threads, "threads that decode ahead; 0: as [pool] says", at_least(0));
}

void MatchSettings::describe(SettingsVisitor& v) {
    v.option("k", &k, "task types kept for each picture", at_least(1));
    v.tuning("images_per_part", &images_per_part, "pictures whose matches are written to disk together", at_least(1));
    v.tuning("types_at_once", &types_at_once,
             "task types a rank holds in memory; more are read block by block for every part; 0: all", at_least(0));
    v.tuning("threads", &threads, "threads of a rank; 0: the cores it may use", at_least(0));
    v.tuning("arithmetic", &arithmetic,
             "what nominates candidates before they are scored exactly; the result is the same",
             one_of(product_kinds()));
}

}  // namespace tg::matching
