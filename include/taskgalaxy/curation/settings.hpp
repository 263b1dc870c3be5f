// Settings of the API stages: sections [prompts], [expand], [refine], [generate], [screen] of a job file.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "taskgalaxy/core/settings.hpp"

namespace tg::curation {

struct PromptSettings {
    std::filesystem::path folder = "inputs/prompts";
    void describe(SettingsVisitor& v) {
        // The texts decide results and are fingerprinted by content; where they lie does not.
        v.tuning("folder", &folder, "folder with the prompt texts (its README names the files and placeholders)");
    }
};

// What compares the meanings of names: the text tower of [embed], or their letter trigrams.
enum class MeaningsBy { clip, lexical };

struct ExpandSettings {
    std::string endpoint = "generator";
    std::filesystem::path seeds = "inputs/seeds.txt";
    std::filesystem::path taxonomy_file;
    bool ask = true;
    int level1_target = 115;
    int level2_target = 2796;
    int level3_target = 14370;
    int names_per_request = 30;
    int rounds = 6;
    double duplicate_similarity = 0.95;
    MeaningsBy embedder = MeaningsBy::lexical;
    int nearest_pairs = 200;

    void describe(SettingsVisitor& v) {
        v.option("endpoint", &endpoint, "name of the [endpoint.NAME] section that is asked");
        v.tuning("seeds", &seeds, "text file of level-1 task types to begin with, one a line (used by content)");
        v.tuning("taxonomy_file", &taxonomy_file,
                 "text file of ready task types, one a~b~c path a line; given with ask = true it is merged (used by "
                 "content)");
        v.option("ask", &ask, "ask the endpoint for more types; false: seeds and taxonomy_file are the whole taxonomy");
        v.option("level1_target", &level1_target, "level-1 types wanted in all", at_least(0));
        v.option("level2_target", &level2_target, "level-2 types wanted in all", at_least(0));
        v.option("level3_target", &level3_target, "level-3 types wanted in all", at_least(0));
        v.option("names_per_request", &names_per_request, "most types asked for in one request", between(1, 200));
        v.option("rounds", &rounds, "most times the parents of one level are asked", between(1, 100));
        v.option("duplicate_similarity", &duplicate_similarity,
                 "types whose cosine to an earlier type reaches this are dropped; above 1: none", between(0, 2));
        v.option("embedder", choice(&embedder, {{"clip", MeaningsBy::clip}, {"lexical", MeaningsBy::lexical}}),
                 "what compares meanings: clip (the [embed] model's text tower) or lexical (letter trigrams)");
        v.option("nearest_pairs", &nearest_pairs, "closest kept pairs to report", at_least(0));
    }
};

struct RefineSettings {
    std::string endpoint = "generator";
    int candidates_per_request = 10;
    double max_none_rate = 0.9;
    int none_rate_after = 500;
    std::int64_t limit_items = 0;
    int images_per_part = 1024;

    void describe(SettingsVisitor& v) {
        v.option("endpoint", &endpoint, "name of the [endpoint.NAME] section that is asked");
        v.option("candidates_per_request", &candidates_per_request,
                 "candidates shown in one request; with a larger match.k the first ones are not asked again",
                 between(1, 1000));
        v.tuning("max_none_rate", &max_none_rate, "stop when a larger share of the images fits none of its candidates",
                 between(0, 1));
        v.tuning("none_rate_after", &none_rate_after,
                 "images refined before max_none_rate is looked at (it is always looked at when all are)", at_least(1));
        v.option("limit_items", &limit_items, "a pilot: only so many images, spread over the pool; 0: all",
                 at_least(0));
        v.tuning("images_per_part", &images_per_part, "images whose results are written to disk together", at_least(1));
    }
};

struct GenerateSettings {
    std::string endpoint = "generator";
    int max_tokens = 0;
    void describe(SettingsVisitor& v) {
        v.option("endpoint", &endpoint, "name of the [endpoint.NAME] section that is asked");
        v.option("max_tokens", &max_tokens, "most tokens of one answer; 0: the endpoint's", at_least(0));
    }
};

struct ScreenSettings {
    std::vector<std::string> judges = {"judge1", "judge2", "judge3"};
    int keep_votes = 2;
    void describe(SettingsVisitor& v) {
        v.option("judges", &judges, "names of the [endpoint.NAME] sections that judge each sample");
        v.option("keep_votes", &keep_votes, "votes of 1 that keep a sample", at_least(0));
    }
};

// All of them, for the stage that streams refine, generate and screen.
struct CurateSettings {
    RefineSettings refine;
    GenerateSettings generate;
    ScreenSettings screen;
};

}  // namespace tg::curation
