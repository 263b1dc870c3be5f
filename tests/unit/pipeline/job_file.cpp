#include "taskgalaxy/pipeline/job_file.hpp"

#include <cstdlib>
#include <gtest/gtest.h>
#include <map>

#include "taskgalaxy/core/error.hpp"

namespace tg::pipeline {
namespace {

struct Endpoint {
    std::string url;
    void describe(SettingsVisitor& v) { v.option("url", &url, "where"); }
};

struct JobFile : ::testing::Test {
    int k = 10;
    std::string folder = "runs/x";
    std::map<std::string, Endpoint> endpoints;
    std::vector<Section> sections{
        {"match", "matching",
         [this](SettingsVisitor& v, const std::string&) { v.option("k", &k, "count", at_least(1)); }},
        {"run", "run", [this](SettingsVisitor& v, const std::string&) { v.tuning("folder", &folder, "where"); }},
        {"endpoint.", "server", [this](SettingsVisitor& v, const std::string& name) { endpoints[name].describe(v); },
         [](SettingsVisitor& v) { Endpoint().describe(v); }},
    };

    std::string error_of(const std::string& text) {
        try {
            assign(sections, parse_job_file(text, "a.cfg"));
        } catch (const UsageError& error) {
            return error.what();
        }
        return "no error";
    }
};

TEST_F(JobFile, puts_values_where_the_rooms_declared_them) {
    EXPECT_EQ(error_of("# comment\n[match]\nk = 20  # more\n[endpoint.gpt-4o.mini]\nurl = http://x/v1\r\n"),
              "no error");
    EXPECT_EQ(k, 20);
    EXPECT_EQ(endpoints.at("gpt-4o.mini").url, "http://x/v1");
}

TEST_F(JobFile, names_file_line_and_the_nearest_key) {
    EXPECT_EQ(error_of("[match]\n\nkk = 20\n"), "a.cfg:3: match.kk is not known; did you mean 'k'?");
    EXPECT_EQ(error_of("[matsch]\nk = 20\n"), "a.cfg:2: section [matsch] is not known; did you mean 'match'?");
    EXPECT_EQ(error_of("[match]\nk = many\n"), "a.cfg:2: match.k = many: a whole number is expected");
    EXPECT_EQ(error_of("[match]\nk = 0\n"), "a.cfg:2: match.k = 0: must be 1 or more");
    EXPECT_EQ(error_of("[match]\nk = 1\nk = 2\n"), "a.cfg:3: match.k is given twice (first in line 2); keep one");
    EXPECT_EQ(error_of("k = 1\n"), "a.cfg:1: 'k' stands in no section; write it under a [section], or as section.key");
}

TEST_F(JobFile, refuses_a_line_that_is_no_assignment) {
    EXPECT_NE(error_of("[match]\nk 20\n").find("a.cfg"), std::string::npos);
}

TEST_F(JobFile, expands_the_environment_and_names_what_is_not_set) {
    setenv("TG_TEST_SCRATCH", "/scratch/me", 1);
    EXPECT_EQ(error_of("[run]\nfolder = ${TG_TEST_SCRATCH}/runs\n"), "no error");
    EXPECT_EQ(folder, "/scratch/me/runs");
    EXPECT_EQ(error_of("[run]\nfolder = ${TG_TEST_NOT_SET}/x\n"),
              "a.cfg:2: run.folder: ${TG_TEST_NOT_SET} is not set in the environment; export it or write the value");
}

TEST_F(JobFile, set_options_are_checked_like_lines) {
    assign(sections, {parse_set_option("match.k=7")});
    EXPECT_EQ(k, 7);
    EXPECT_THROW(parse_set_option("match"), UsageError);
    EXPECT_THROW(assign(sections, {parse_set_option("match.q=7")}), UsageError);
}

TEST_F(JobFile, text_reads_back_as_the_same_job) {
    k = 33;
    endpoints["a"].url = "http://a";
    const auto text = job_text(sections, [](const std::string&) { return std::vector<std::string>{"a"}; });
    k = 1;
    endpoints.clear();
    EXPECT_EQ(error_of(text), "no error");
    EXPECT_EQ(k, 33);
    EXPECT_EQ(endpoints.at("a").url, "http://a");
}

TEST_F(JobFile, help_tells_kind_default_and_rule) {
    const auto help = section_help(sections[0]);
    EXPECT_NE(help.find("integer, default 10; 1 or more"), std::string::npos) << help;
    EXPECT_NE(section_help(sections[2]).find("[endpoint.NAME]"), std::string::npos);
    EXPECT_TRUE(endpoints.empty()) << "help made an endpoint";
}

}  // namespace
}  // namespace tg::pipeline
