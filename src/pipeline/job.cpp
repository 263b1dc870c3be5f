#include "taskgalaxy/pipeline/job.hpp"

#include <algorithm>

#include "taskgalaxy/core/error.hpp"

namespace tg::pipeline {
namespace {

template <class Settings> Section section(std::string name, std::string help, Settings& settings) {
    return {std::move(name), std::move(help),
            [&settings](SettingsVisitor& v, const std::string&) { settings.describe(v); }};
}

template <class Settings>
Section named_section(std::string name, std::string help, std::map<std::string, Settings>& all) {
    return {std::move(name), std::move(help),
            [&all](SettingsVisitor& v, const std::string& given) { all[given].describe(v); },
            [](SettingsVisitor& v) { Settings().describe(v); }};
}

template <class Map> std::vector<std::string> keys_of(const Map& map) {
    std::vector<std::string> keys;
    for (const auto& [key, value] : map) keys.push_back(key);
    return keys;
}

}  // namespace

std::vector<Section> Job::sections() {
    return {
        section("run", "this run", run),
        section("pool", "the pictures", pool),
        section("prompts", "the texts that models are asked with", prompts),
        section("expand", "growing the tree of task types", expand),
        section("embed", "CLIP over pictures and task types", embed),
        section("match", "the nearest task types of each picture", match),
        section("api", "asking models", api),
        named_section("endpoint.", "one model server or vendor", endpoints),
        section("refine", "which candidates truly fit a picture", curate.refine),
        section("generate", "a question and an answer for each", curate.generate),
        section("screen", "judges and their votes", curate.screen),
        section("export", "dataset files", exported),
        section("train", "fine-tuning", train),
        section("evaluate", "benchmarks before and after", evaluate),
        named_section("benchmark.", "one benchmark file", benchmarks),
        section("report", "the page of figures", report),
        section("simulator", "the stand-in model server", simulator),
        section("ground_truth", "what the stand-in server knows and where it errs", ground_truth),
    };
}

void Job::read(const std::string& file, const std::string& text, const std::vector<std::string>& sets,
               const std::vector<std::string>& only) {
    path = file;
    auto assignments = parse_job_file(text, file);
    if (!only.empty())
        std::erase_if(assignments, [&](const Assignment& a) {
            return std::find(only.begin(), only.end(), a.key.substr(0, a.key.find('.'))) == only.end();
        });
    for (const auto& set : sets) assignments.push_back(parse_set_option(set));
    assign(sections(), assignments);
    if (!api.endpoints_file.empty()) llm::read_endpoints_file(api.endpoints_file, endpoints);
    for (const auto& [name, endpoint] : endpoints) endpoint.check(name);
    api.check();
}

std::string Job::text() {
    return job_text(sections(), [this](const std::string& name) {
        return name == "endpoint." ? keys_of(endpoints) : keys_of(benchmarks);
    });
}

std::string Job::help_of(const std::string& name) {
    const auto all = sections();
    const auto found = std::find_if(all.begin(), all.end(), [&](const Section& s) { return s.name == name; });
    return found == all.end() ? "" : section_help(*found);
}

bool Job::wants_gpu() {
    struct Devices : SettingsVisitor {
        bool cuda = false;
        void visit(const Entry& e) override { cuda = cuda || (e.name == "device" && setting_text(e.value) == "cuda"); }
    } devices;
    for (const auto& section : sections())
        if (!section.is_named()) section.describe(devices, "");
    return devices.cuda;
}

}  // namespace tg::pipeline
