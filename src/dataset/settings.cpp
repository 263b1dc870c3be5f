#include "taskgalaxy/dataset/settings.hpp"

#include "formats.hpp"
#include "taskgalaxy/taxonomy/bands.hpp"

namespace tg::dataset {

void ExportSettings::describe(SettingsVisitor& v) {
    std::vector<std::string> known_formats, known_bands;
    for (const auto& format : tg::dataset::formats()) known_formats.emplace_back(format.name);
    for (const auto& band : taxonomy::sample_bands()) known_bands.emplace_back(band.name);
    v.option("formats", &formats, "files to write", one_of(known_formats));
    v.tuning("hold_out", &hold_out,
             "text file of picture uris, one a line, whose samples are kept out of training (used by content)");
    v.option("image_prefix", &image_prefix, "put before each picture's uri in the files");
    v.option("screened", &screened, "only samples that the judges kept; false: every generated one (for the ablation)");
    v.option("bands", &bands, "only types with so many samples; empty: all", one_of(known_bands));
    v.option("max_types", &max_types, "at most so many task types, drawn at random; 0: all", at_least(0));
    v.option("max_per_type", &max_per_type, "at most so many samples a type, drawn at random; 0: all", at_least(0));
    v.option("samples", &samples, "at most so many samples in all, drawn at random; 0: all", at_least(0));
    v.option("seed", &seed, "of the draws");
}

}  // namespace tg::dataset
