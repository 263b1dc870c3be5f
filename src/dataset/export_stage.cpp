#include "taskgalaxy/dataset/export_stage.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <map>
#include <unordered_set>

#include "formats.hpp"
#include "selection.hpp"
#include "taskgalaxy/core/log.hpp"
#include "taskgalaxy/core/text.hpp"
#include "taskgalaxy/pool/pool.hpp"
#include "taskgalaxy/run/sample_table.hpp"
#include "taskgalaxy/storage/publish.hpp"
#include "taskgalaxy/taxonomy/bands.hpp"
#include "taskgalaxy/taxonomy/taxonomy.hpp"

namespace tg::dataset {
namespace {

// Version and variant digits as a random UUID has them, so that tools that check the shape are content.
std::string uuid_of(const Digest& digest) {
    auto hex = digest.hex();
    hex[12] = '4';
    hex[16] = "89ab"[hex[16] % 4];
    return fmt::format("{}-{}-{}-{}-{}", hex.substr(0, 8), hex.substr(8, 4), hex.substr(12, 4), hex.substr(16, 4),
                       hex.substr(20));
}

std::unordered_set<std::string> lines_of(const std::filesystem::path& file) {
    std::unordered_set<std::string> lines;
    if (file.empty()) return lines;
    for (const auto& line : split(read_text_file(file), '\n'))
        if (const auto uri = trimmed(line); !uri.empty() && !uri.starts_with('#')) lines.emplace(uri);
    return lines;
}

// Everything export looks at, opened once on rank 0.
class Exporter {
public:
    Exporter(const ExportSettings& settings, const pool::PoolSettings& pool_settings, const run::Paths& paths)
        : settings_(settings),
          paths_(paths),
          pool_(paths.file(run::files::pool), pool_settings),
          taxonomy_(taxonomy::Taxonomy::read(paths.file(run::files::taxonomy))),
          samples_(paths.file(run::files::samples)) {}

    void run(run::Figures& figures) {
        const auto held_out = lines_of(settings_.hold_out);
        std::vector<Candidate> candidates;
        std::vector<std::size_t> held_rows;
        for (std::size_t row = 0; row < samples_.size(); ++row) {
            if (settings_.screened ? !samples_.kept(row) : samples_.question(row).empty()) continue;
            if (held_out.contains(std::string(uri(row)))) held_rows.push_back(row);
            else candidates.push_back({row, samples_.type(row), identity(row)});
        }
        const auto rows = select_samples(candidates, settings_);
        if (rows.empty())
            log::warn("export: no sample is left to train on ({} kept by screening, {} of held-out pictures)",
                      candidates.size() + held_rows.size(), held_rows.size());

        for (const auto& name : settings_.formats) {
            const auto& format = find_format(name);
            write(format, format.file, rows);
            if (!format.sidecar.empty())
                storage::publish_text(paths_.exported() / format.sidecar,
                                      format.sidecar_text(settings_.image_prefix, rows.size()));
        }
        write(find_format("llava"), "held_out.json", held_rows);

        std::map<std::int64_t, std::uint64_t> per_type;
        std::unordered_set<std::int64_t> images;
        for (const auto row : rows) {
            ++per_type[samples_.type(row)];
            images.insert(samples_.image(row));
        }
        storage::publish_text(paths_.exported() / "README.md",
                              card(rows.size(), held_rows.size(), images.size(), per_type));
        figures = {{"samples", static_cast<double>(rows.size())},
                   {"held_out_samples", static_cast<double>(held_rows.size())},
                   {"types", static_cast<double>(per_type.size())},
                   {"images", static_cast<double>(images.size())}};
    }

private:
    std::string_view uri(std::size_t row) const { return pool_.uri(static_cast<std::uint64_t>(samples_.image(row))); }
    const std::string& type(std::size_t row) const {
        return taxonomy_.path(static_cast<std::size_t>(samples_.type(row)));
    }
    Digest identity(std::size_t row) const {
        return DigestBuilder()
            .add(uri(row))
            .add(type(row))
            .add(samples_.question(row))
            .add(samples_.answer(row))
            .finish();
    }

    void write(const Format& format, std::string_view file, const std::vector<std::size_t>& rows) const {
        storage::publish_stream(paths_.exported() / file, [&](std::ostream& out) {
            const auto writer = format.make(out);
            for (const auto row : rows) {
                const auto image = static_cast<std::uint64_t>(samples_.image(row));
                const auto path = settings_.image_prefix + std::string(uri(row));
                writer->add({uuid_of(identity(row)), path, type(row), samples_.question(row), samples_.answer(row),
                             pool_.width(image), pool_.height(image)});
            }
            writer->finish();
        });
    }

    std::string card(std::size_t samples, std::size_t held_out, std::size_t images,
                     const std::map<std::int64_t, std::uint64_t>& per_type) const {
        std::map<std::string, std::pair<std::uint64_t, std::uint64_t>> by_level1;  // types, samples
        std::map<std::string_view, std::uint64_t> types_in_band;
        for (const auto& [row, count] : per_type) {
            const auto& path = taxonomy_.path(static_cast<std::size_t>(row));
            auto& [types, total] = by_level1[path.substr(0, path.find('~'))];
            ++types;
            total += count;
            ++types_in_band[taxonomy::band_of(count)];
        }
        auto text = fmt::format(
            "# Dataset card\n\n{} samples of {} task types over {} pictures; {} samples of held-out pictures are in "
            "`held_out.json` and in no other file.\n\n",
            samples, per_type.size(), images, held_out);
        text += fmt::format(
            "Each sample was written by a model for one picture and one task type and {}.\nJudges: {}.\n\n",
            settings_.screened ? "kept by the votes of the judges" : "not screened", join(samples_.judges(), ", "));
        text += "| file | format |\n| --- | --- |\n";
        for (const auto& name : settings_.formats) text += fmt::format("| `{}` | {} |\n", find_format(name).file, name);
        text += "\n| samples a type | types |\n| --- | --- |\n";
        for (const auto& band : taxonomy::sample_bands())
            text += fmt::format("| {} | {} |\n", band.name, types_in_band[band.name]);
        text += "\n| level-1 type | types | samples |\n| --- | --- | --- |\n";
        for (const auto& [name, counts] : by_level1)
            text += fmt::format("| {} | {} | {} |\n", name, counts.first, counts.second);
        return text +
               "\nPictures keep the terms of their sources; questions and answers those of the model that wrote "
               "them.\n";
    }

    const ExportSettings& settings_;
    const run::Paths& paths_;
    pool::Pool pool_;
    taxonomy::Taxonomy taxonomy_;
    run::SampleTable samples_;
};

class ExportStage final : public run::Stage {
public:
    ExportStage(const ExportSettings& settings, const pool::PoolSettings& pool) : settings_(settings), pool_(pool) {}
    std::string_view name() const override { return "export"; }
    std::string_view purpose() const override {
        return "writes the kept samples as dataset files (LLaVA, InternVL) with a card; held-out pictures apart";
    }
    std::vector<std::string> reads() const override {
        return {run::files::pool, run::files::taxonomy, run::files::samples};
    }
    std::vector<std::string> writes() const override {
        std::vector<std::string> files{"export/held_out.json", "export/README.md"};
        for (const auto& name : settings_.formats) files.push_back("export/" + std::string(find_format(name).file));
        return files;
    }
    void describe_inputs(DigestBuilder& inputs) const override {
        auto settings = settings_;
        inputs.add(result_settings(settings));
        if (!settings_.hold_out.empty()) inputs.add(digest_of_file(settings_.hold_out));
    }
    void check() const override {
        for (const auto& name : settings_.formats) find_format(name);
        if (!settings_.hold_out.empty()) read_text_file(settings_.hold_out);
    }
    void run(run::StageContext& context) override {
        parallel::together(context.ranks, [&] {
            if (context.ranks.is_root()) Exporter(settings_, pool_, context.paths).run(context.figures);
        });
    }

private:
    const ExportSettings& settings_;
    const pool::PoolSettings& pool_;
};

}  // namespace

std::unique_ptr<run::Stage> make_export_stage(const ExportSettings& settings, const pool::PoolSettings& pool) {
    return std::make_unique<ExportStage>(settings, pool);
}

}  // namespace tg::dataset
