#include "taskgalaxy/run/record.hpp"

#include "taskgalaxy/storage/publish.hpp"

namespace tg::run {

Record::Record(std::filesystem::path file) : file_(std::move(file)) {
    if (!std::filesystem::exists(file_)) return;
    const auto in = storage::Hdf5File::open(file_);
    const auto stages = in.read_texts("stage"), fingerprints = in.read_texts("fingerprint"),
               finished = in.read_texts("finished");
    const auto seconds = in.read<double>("seconds");
    for (std::size_t i = 0; i < stages.size(); ++i)
        stages_[stages[i]] = {fingerprints.at(i), finished.at(i), seconds.at(i), {}};
    const auto owners = in.read_texts("figures/stage"), names = in.read_texts("figures/name");
    const auto values = in.read<double>("figures/value");
    for (std::size_t i = 0; i < owners.size(); ++i) stages_[owners[i]].figures.emplace_back(names.at(i), values.at(i));
    const auto keys = in.read_texts("provenance/key"), texts = in.read_texts("provenance/text");
    for (std::size_t i = 0; i < keys.size(); ++i) provenance_[keys[i]] = texts.at(i);
}

const StageRecord* Record::find(const std::string& stage) const {
    const auto found = stages_.find(stage);
    return found == stages_.end() ? nullptr : &found->second;
}

void Record::save() const {
    storage::publish_hdf5(file_, [&](storage::Hdf5File& out) {
        std::vector<std::string> stages, fingerprints, finished, owners, names, keys, texts;
        std::vector<double> seconds, values;
        for (const auto& [stage, record] : stages_) {
            stages.push_back(stage);
            fingerprints.push_back(record.fingerprint);
            finished.push_back(record.finished);
            seconds.push_back(record.seconds);
            for (const auto& [name, value] : record.figures) {
                owners.push_back(stage);
                names.push_back(name);
                values.push_back(value);
            }
        }
        for (const auto& [key, text] : provenance_) {
            keys.push_back(key);
            texts.push_back(text);
        }
        out.write_texts("stage", stages);
        out.write_texts("fingerprint", fingerprints);
        out.write_texts("finished", finished);
        out.write("seconds", seconds);
        out.write_texts("figures/stage", owners);
        out.write_texts("figures/name", names);
        out.write("figures/value", values);
        out.write_texts("provenance/key", keys);
        out.write_texts("provenance/text", texts);
        for (const char* name : {"version", "host", "job", "created", "ranks"})
            if (const auto found = provenance_.find(name); found != provenance_.end())
                out.set_attribute(name, found->second);
    });
}

}  // namespace tg::run
