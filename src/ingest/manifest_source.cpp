// Manifests of datasets: a JSON array of records (LLaVA, ALLaVA, ShareGPT4V), JSON lines (InternVL), or CSV/TSV with a
// column of paths. JSON is parsed as a stream of events: a manifest of a gigabyte costs no more memory than the paths
// in it.
#include <algorithm>
#include <fmt/format.h>
#include <fstream>
#include <nlohmann/json.hpp>

#include "csv.hpp"
#include "listing.hpp"
#include "taskgalaxy/core/text.hpp"
#include "taskgalaxy/run/stage.hpp"

namespace tg::ingest {
namespace {

using Json = nlohmann::json;

// Hands over every text that stands under `field`, alone or in a list, at any depth (LLaVA has it in the record,
// Qwen-style data in a message's content), and tells when a record (an element of the outermost list, or the outermost
// object) is over.
class PathEvents : public nlohmann::json_sax<Json> {
public:
    PathEvents(std::string_view field, const std::function<void(std::string&)>& path,
               const std::function<void(bool has_picture)>& record)
        : field_(field), path_(path), record_(record) {}
    const std::string& failure() const { return failure_; }

    bool null() override { return value(); }
    bool boolean(bool) override { return value(); }
    bool number_integer(number_integer_t) override { return value(); }
    bool number_unsigned(number_unsigned_t) override { return value(); }
    bool number_float(number_float_t, const string_t&) override { return value(); }
    bool binary(binary_t&) override { return value(); }
    bool string(string_t& text) override {
        if (wanted() && !text.empty()) {
            has_picture_ = true;
            path_(text);
        }
        return value();
    }
    bool key(string_t& name) override {
        under_field_ = name == field_;
        return true;
    }
    bool start_object(std::size_t) override { return open(false, false); }
    bool start_array(std::size_t) override { return open(true, under_field_); }
    bool end_object() override { return close(); }
    bool end_array() override { return close(); }
    bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception& error) override {
        failure_ = fmt::format("byte {}: {}", position, error.what());
        return false;
    }

private:
    // A list below the field keeps its meaning, an object below it starts anew.
    bool wanted() const { return under_field_ || (!list_of_field_.empty() && list_of_field_.back()); }
    bool value() {
        under_field_ = false;
        return true;
    }
    bool open(bool list, bool list_of_field) {
        if (list_of_field_.empty()) outermost_is_list_ = list;
        list_of_field_.push_back(list_of_field);
        under_field_ = false;
        return true;
    }
    bool close() {
        list_of_field_.pop_back();
        if (list_of_field_.size() == (outermost_is_list_ ? 1 : 0)) {
            record_(has_picture_);
            has_picture_ = false;
        }
        return true;
    }

    std::string_view field_;
    const std::function<void(std::string&)>& path_;
    const std::function<void(bool)>& record_;
    std::vector<bool> list_of_field_;  // one entry an open list or object
    bool under_field_ = false, has_picture_ = false, outermost_is_list_ = false;
    std::string failure_;
};

}  // namespace

void list_manifest(const SourceSpec& source, const pool::PoolSettings& settings, Listing& listing) {
    const std::filesystem::path file = source.where;
    std::ifstream in(file, std::ios::binary);
    if (!in) throw InputError(fmt::format("{}: the manifest cannot be read", file.string()), "check [pool] sources");
    const auto root = std::filesystem::absolute(settings.image_root.empty() ? file.parent_path() : settings.image_root)
                          .lexically_normal();
    const auto prefix = source.prefix();
    const auto container = listing.add_container({pool::Container::Kind::folder, root, prefix});
    std::uint64_t found = 0;
    const auto add = [&](std::string_view path) {
        if (!settings.strip_prefix.empty() && path.starts_with(settings.strip_prefix))
            path.remove_prefix(settings.strip_prefix.size());
        listing.add(prefix + std::filesystem::path(path).lexically_normal().string(), container);
        ++found;
    };
    const std::function<void(std::string&)> path = [&](std::string& text) { add(text); };
    const std::function<void(bool)> record = [&](bool has_picture) {
        listing.counts().without_picture += has_picture ? 0 : 1;
    };

    const auto suffix = lower_ascii(file.extension().string());
    if (suffix == ".json") {
        PathEvents events(settings.manifest_field, path, record);
        if (!Json::sax_parse(in, &events))
            throw InputError(fmt::format("{}: not JSON ({})", file.string(), events.failure()));
    } else if (suffix == ".jsonl") {
        std::string line;
        for (std::uint64_t number = 1; std::getline(in, line); ++number) {
            if (trimmed(line).empty()) continue;
            bool has_picture = false;
            const std::function<void(std::string&)> path_of_line = [&](std::string& text) {
                has_picture = true, add(text);
            };
            const std::function<void(bool)> ignore = [](bool) {};
            PathEvents events(settings.manifest_field, path_of_line, ignore);
            if (!Json::sax_parse(line, &events))
                throw InputError(fmt::format("{}, line {}: not JSON ({})", file.string(), number, events.failure()));
            record(has_picture);
        }
    } else if (suffix == ".csv" || suffix == ".tsv") {
        const char separator = suffix == ".tsv" ? '\t' : ',';
        std::vector<std::string> fields;
        try {
            if (!read_record(in, separator, fields)) throw InputError(fmt::format("{}: empty", file.string()));
            if (fields[0].starts_with("\xEF\xBB\xBF")) fields[0].erase(0, 3);  // byte order mark
            const auto column = static_cast<std::size_t>(
                std::find(fields.begin(), fields.end(), settings.manifest_field) - fields.begin());
            if (column == fields.size())
                throw InputError(fmt::format("{}: no column '{}'; there are {}", file.string(), settings.manifest_field,
                                             join(fields, ", ")),
                                 "set [pool] manifest_field");
            while (read_record(in, separator, fields)) {
                const bool has_picture = column < fields.size() && !fields[column].empty();
                if (has_picture) add(fields[column]);
                record(has_picture);
            }
        } catch (const Error&) {
            throw;
        } catch (const std::runtime_error& error) {
            throw InputError(fmt::format("{}: {}", file.string(), error.what()));
        }
    } else {
        throw InputError(fmt::format("{}: a manifest ends in .json, .jsonl, .csv or .tsv", file.string()));
    }
    if (found == 0)
        throw InputError(fmt::format("{}: no picture under '{}'", file.string(), settings.manifest_field),
                         "set [pool] manifest_field to the key that holds the path");
}

void identify_manifest(const SourceSpec& source, const pool::PoolSettings&, DigestBuilder& inputs) {
    inputs.add(std::filesystem::absolute(source.where).string());
    run::add_file_identity(inputs, source.where);
}

}  // namespace tg::ingest
