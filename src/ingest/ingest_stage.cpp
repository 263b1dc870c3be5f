#include "taskgalaxy/ingest/ingest_stage.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <fmt/format.h>
#include <future>
#include <unordered_map>

#include "listing.hpp"
#include "taskgalaxy/core/log.hpp"
#include "taskgalaxy/core/text.hpp"
#include "taskgalaxy/core/threads.hpp"
#include "taskgalaxy/pool/file_reader.hpp"
#include "taskgalaxy/pool/pool_table.hpp"
#include "taskgalaxy/storage/parts.hpp"

namespace tg::ingest {
namespace {

class Inspector {
public:
    Inspector(const pool::PoolSettings& settings, std::vector<pool::Container> containers)
        : settings_(settings), files_(std::move(containers)) {}

    pool::Finding operator()(const pool::ListedPicture& picture) const {
        pool::Finding found;
        found.bytes = picture.bytes;
        try {
            const auto bytes = files_.read(picture, static_cast<std::uint64_t>(settings_.max_bytes));
            found.bytes = bytes.size();
            found.digest = digest_of(bytes);
            const auto options = settings_.decode_options();
            const auto info = settings_.verify == pool::Verify::header ? pictures::probe(bytes, options)
                                                                       : pictures::verify(bytes, options);
            found.width = info.width;
            found.height = info.height;
        } catch (const pictures::UnreadableImage& error) {
            found.status = error.status();
            found.reason = error.what();
        } catch (const std::bad_alloc&) {
            found.status = pictures::PictureStatus::too_large;
            found.reason = "no memory to decode it";
        }
        return found;
    }

private:
    const pool::PoolSettings& settings_;
    pool::PictureFiles files_;
};

// All pictures of a part by all threads: whoever is free takes the next, so that a slow one holds up nobody.
std::vector<pool::Finding> inspect_all(const std::vector<pool::ListedPicture>& pictures, const Inspector& inspect,
                                       ThreadPool& threads) {
    std::vector<pool::Finding> findings(pictures.size());
    std::atomic<std::size_t> next{0};
    std::vector<std::future<void>> workers;
    for (std::size_t t = 0; t < threads.size(); ++t)
        workers.push_back(threads.submit([&] {
            for (std::size_t i; (i = next.fetch_add(1)) < pictures.size();) findings[i] = inspect(pictures[i]);
        }));
    std::exception_ptr failure;
    for (auto& worker : workers) {
        try {
            worker.get();
        } catch (...) {  // rethrown below, when nobody uses `findings` any more
            failure = std::current_exception();
            next = pictures.size();
        }
    }
    if (failure) std::rethrow_exception(failure);
    return findings;
}

// What only the whole pool shows; made by rank 0 from the finished parts.
struct Summary {
    std::vector<std::uint8_t> status;
    std::vector<std::int64_t> duplicate_of;
    std::array<std::uint64_t, pictures::picture_statuses> count{};
    std::uint64_t duplicates = 0, bytes = 0;
};

Summary summarise(const storage::PartStore& store, bool drop_duplicates) {
    Summary summary;
    std::unordered_map<Digest, std::int64_t, DigestHash> first;
    for (std::uint64_t part = 0; part < store.parts().count(); ++part) {
        const auto found = pool::read_pool_part(store.path(part));
        for (const auto bytes : found.bytes) summary.bytes += bytes;
        for (std::size_t i = 0; i < found.status.size(); ++i) {
            auto picture = static_cast<pictures::PictureStatus>(found.status[i]);
            std::int64_t same_as = -1;
            if (picture == pictures::PictureStatus::usable) {
                const auto [at, is_new] =
                    first.try_emplace(found.digest[i], static_cast<std::int64_t>(summary.status.size()));
                if (!is_new) {
                    same_as = at->second;
                    ++summary.duplicates;
                    if (drop_duplicates) picture = pictures::PictureStatus::duplicate;
                }
            }
            summary.status.push_back(static_cast<std::uint8_t>(picture));
            summary.duplicate_of.push_back(same_as);
            ++summary.count[static_cast<std::size_t>(picture)];
        }
    }
    return summary;
}

class IngestStage final : public run::Stage {
public:
    explicit IngestStage(const pool::PoolSettings& settings) : settings_(settings) {}
    std::string_view name() const override { return "ingest"; }
    std::string_view purpose() const override {
        return "list the picture sources, read and check every picture, give each a stable index";
    }
    std::vector<std::string> reads() const override { return {}; }
    std::vector<std::string> writes() const override { return {run::files::pool}; }

    void describe_inputs(DigestBuilder& inputs) const override {
        auto settings = settings_;
        inputs.add(result_settings(settings));
        for (const auto& [source, kind] : sources_of(settings_)) {
            inputs.add(source.kind).add(source.name);
            kind->identify(source, settings_, inputs);
        }
    }

    void check() const override {
        DigestBuilder unused;
        auto settings = settings_;
        settings.watch_sources = false;
        for (const auto& [source, kind] : sources_of(settings_)) kind->identify(source, settings, unused);
        if (!settings_.image_root.empty() && !std::filesystem::is_directory(settings_.image_root))
            throw InputError(fmt::format("{}: no such folder", settings_.image_root.string()),
                             "check [pool] image_root");
    }

    std::vector<run::PlanLine> plan(const run::Paths& paths) const override {
        if (const auto pool_h5 = paths.file(run::files::pool); std::filesystem::exists(pool_h5))
            return {
                {"pictures in the pool", static_cast<double>(pool::picture_count(pool_h5)), "pictures", "ingested"}};
        const auto listing = list_sources(settings_);
        return {{"pictures to read and check", static_cast<double>(listing.pictures().size()), "pictures",
                 fmt::format("{} other files ignored", listing.counts().ignored)}};
    }

    void run(run::StageContext& context) override {
        const auto& ranks = context.ranks;
        const auto listing_folder = context.paths.parts("ingest_listing");
        const auto listing_path = listing_folder / "listing.h5";
        parallel::together(ranks, [&] {
            if (ranks.is_root()) make_listing(listing_path, context.fingerprint);
        });
        std::unique_ptr<ListingFile> listing;
        parallel::together(ranks, [&] { listing = std::make_unique<ListingFile>(listing_path); });

        const storage::PartStore store(context.paths.parts("ingest"),
                                       {listing->size(), static_cast<std::uint64_t>(settings_.items_per_part)},
                                       context.fingerprint, ranks);
        const Inspector inspect(settings_, listing->containers());
        {
            ThreadPool threads(settings_.worker_threads());
            storage::for_each_part(store, ranks, "ingest", "pictures",
                                   [&](std::uint64_t, parallel::Slice items, auto& out) {
                                       const auto pictures = listing->read(items);
                                       pool::write_pool_part(out, pictures, inspect_all(pictures, inspect, threads));
                                   });
        }
        Summary summary;
        parallel::together(ranks, [&] {
            if (ranks.is_root()) summary = summarise(store, settings_.drop_duplicates);
        });
        const auto counts = listing->counts();
        store.gather(context.paths.file(run::files::pool), [&](auto& out) {
            pool::write_pool_whole(out,
                                   {.pictures = listing->size(),
                                    .duplicate_of = summary.duplicate_of,
                                    .status = summary.status,
                                    .replaces_status = settings_.drop_duplicates,
                                    .containers = listing->containers(),
                                    .ignored_files = counts.ignored,
                                    .repeated_references = counts.repeated,
                                    .records_without_picture = counts.without_picture},
                                   ranks.is_root());
        });
        listing.reset();
        parallel::together(ranks, [&] {
            if (!ranks.is_root()) return;
            std::filesystem::remove_all(listing_folder);
            report(summary, counts, context.figures);
        });
    }

private:
    void make_listing(const std::filesystem::path& path, const std::string& fingerprint) const {
        if (std::filesystem::exists(path) && ListingFile(path).fingerprint() == fingerprint) return;
        const auto listing = list_sources(settings_);
        listing.write(path, fingerprint);
        log::info("ingest: {} pictures listed, {} other files ignored", listing.pictures().size(),
                  listing.counts().ignored);
    }

    static void report(const Summary& summary, const ListingCounts& counts, run::Figures& figures) {
        std::string skipped;
        const auto add = [&](const char* name, std::uint64_t value) {
            figures.emplace_back(name, static_cast<double>(value));
        };
        add("pictures", summary.status.size());
        add("bytes", summary.bytes);
        add("duplicates", summary.duplicates);
        add("ignored_files", counts.ignored);
        add("repeated_references", counts.repeated);
        add("records_without_picture", counts.without_picture);
        for (std::size_t s = 0; s < summary.count.size(); ++s) {
            const auto name = pictures::name_of(static_cast<pictures::PictureStatus>(s));
            figures.emplace_back(replace_all(std::string(name), " ", "_"), static_cast<double>(summary.count[s]));
            if (s > 0 && summary.count[s] > 0) skipped += fmt::format(", {} {}", summary.count[s], name);
        }
        log::info("ingest: {} of {} pictures usable ({}){}; {} have the same bytes as another", summary.count[0],
                  summary.status.size(), bytes_text(summary.bytes), skipped, summary.duplicates);
    }

    pool::PoolSettings settings_;
};

}  // namespace

std::unique_ptr<run::Stage> make_ingest_stage(const pool::PoolSettings& settings) {
    return std::make_unique<IngestStage>(settings);
}

}  // namespace tg::ingest
