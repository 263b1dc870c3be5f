#include "suite.hpp"

#include <gtest/gtest.h>
#include <set>

#include "reference.hpp"
#include "taskgalaxy/core/error.hpp"

namespace tg::evaluation {
namespace {

using Cells = std::map<std::string, std::string>;

const ScoreFigure& figure(const std::vector<ScoreFigure>& figures, const std::string& name) {
    for (const auto& f : figures)
        if (f.name == name) return f;
    throw std::runtime_error("no figure " + name);
}

// A recorded result table: its questions, and the marks that our reader gives for what the tool extracted.
struct Table {
    std::vector<Question> questions;
    std::vector<Mark> marks;
    nlohmann::json expected;

    explicit Table(const std::string& name) : expected(test::reference()["tables"][name]["figures"]) {
        const auto& kind = benchmark_kind(name);
        for (const auto& row : test::reference()["tables"][name]["rows"]) {
            questions.push_back(test::question_of(row));
            const auto said =
                row.contains("extracted") ? row["extracted"].get<std::string>() : row["prediction"].get<std::string>();
            marks.push_back(kind.read(questions.back(), said, Convention::vlmevalkit));
        }
    }
    std::vector<ScoreFigure> figures(const std::string& kind) const {
        return benchmark_kind(kind).summarise(questions, marks);
    }
};

TEST(Suite, MME_totals_equal_VLMEvalKits) {
    const Table table("mme");
    const auto figures = table.figures("mme");
    const auto& expected = table.expected[0];
    EXPECT_NEAR(figure(figures, "perception").value, expected["perception"].get<double>(), 1e-6);
    EXPECT_NEAR(figure(figures, "cognition").value, expected["reasoning"].get<double>(), 1e-6);
    EXPECT_NEAR(figures[0].value, expected["perception"].get<double>() + expected["reasoning"].get<double>(), 1e-6);
    EXPECT_EQ(figures[0].name, "total");
    EXPECT_EQ(figures[0].full, 2800);
    EXPECT_EQ(figure(figures, "perception").full, 2000);
    for (const char* task : {"OCR", "scene", "code_reasoning", "existence"})
        EXPECT_NEAR(figure(figures, std::string("task: ") + task).value, expected[task].get<double>(), 1e-6) << task;
    EXPECT_NEAR(common_scale(figures, ""), figures[0].value / 28, 1e-9);
    EXPECT_NEAR(common_scale(figures, "perception"), figure(figures, "perception").value / 20, 1e-9);
}

TEST(Suite, POPE_figures_equal_VLMEvalKits_with_categories_exploded) {
    const Table table("pope");
    const auto figures = table.figures("pope");
    for (const auto& row : table.expected) {
        const auto split = row["split"].get<std::string>();
        const bool all = split == "Overall";
        EXPECT_NEAR(figure(figures, all ? "f1" : "f1, " + split).value, row["Overall"].get<double>(), 1e-6) << split;
        EXPECT_NEAR(figure(figures, all ? "accuracy" : "accuracy, " + split).value, row["acc"].get<double>(), 1e-6)
            << split;
        if (all) {
            EXPECT_NEAR(figure(figures, "precision").value, row["precision"].get<double>(), 1e-6);
            EXPECT_NEAR(figure(figures, "recall").value, row["recall"].get<double>(), 1e-6);
        }
    }
    EXPECT_EQ(figures[0].name, "f1");
    EXPECT_EQ(figure(figures, "f1").items, figure(figures, "f1, random").items + figure(figures, "f1, popular").items +
                                               figure(figures, "f1, adversarial").items);
}

TEST(Suite, HallusionBench_figures_equal_VLMEvalKits) {
    const Table table("hallusionbench");
    const auto figures = table.figures("hallusionbench");
    for (const auto& row : table.expected) {
        const auto split = row["split"].get<std::string>();
        const std::string suffix =
            split == "Overall" ? "" : (split == "VD" || split == "VS" ? ", category: " : ", l2-category: ") + split;
        for (const char* name : {"aAcc", "fAcc", "qAcc"})
            EXPECT_NEAR(figure(figures, name + suffix).value, row[name].get<double>(), 1e-6) << name << " " << split;
    }
    EXPECT_NEAR(figures[0].value,
                (figure(figures, "aAcc").value + figure(figures, "fAcc").value + figure(figures, "qAcc").value) / 3,
                1e-9);
}

TEST(Suite, MMBench_groups_equal_VLMEvalKits) {
    const Table table("mmbench_en");
    const auto figures = table.figures("mmbench_en");
    const auto& expected = table.expected[0];
    EXPECT_NEAR(figures[0].value, 100 * expected["Overall"].get<double>(), 1e-6);
    EXPECT_EQ(figures[0].items, 40u);
    EXPECT_NEAR(figure(figures, "l2-category: logic_reasoning").value, 100 * expected["LR"].get<double>(), 1e-6);
    for (const char* category : {"c0", "c1", "c2", "c3", "c4"})
        EXPECT_NEAR(figure(figures, std::string("category: ") + category).value, 100 * expected[category].get<double>(),
                    1e-6)
            << category;
    EXPECT_GE(figure(figures, "one rotation only").value, figures[0].value);
}

TEST(Suite, MathVista_reads_what_parses_and_leaves_the_rest_to_a_judge) {
    const auto& kind = benchmark_kind("mathvista");
    for (const auto& [prediction, line, expected] :
         test::reference()["mathvista"].get<std::vector<std::tuple<std::string, nlohmann::json, bool>>>()) {
        const auto mark = kind.read(test::question_of(line), prediction, Convention::vlmevalkit);
        EXPECT_EQ(mark.credit > 0, expected) << prediction << " " << line;
    }
    const Question question{
        .index = "1", .cells = Cells{{"question_type", "free_form"}, {"answer_type", "integer"}, {"answer", "14"}}};
    EXPECT_FALSE(kind.read(question, "There are 14.", Convention::vlmevalkit).understood);
    const std::vector<Question> questions{{"1", Cells{{"task", "geometry"}, {"skills", "['algebra', 'logic']"}}},
                                          {"2", Cells{{"task", "tables"}, {"skills", "['logic']"}}}};
    const std::vector<Mark> marks{{.said = "14", .credit = 1}, {.said = "", .credit = 0, .understood = false}};
    const auto figures = kind.summarise(questions, marks);
    EXPECT_EQ(figures[0].value, 50);
    EXPECT_EQ(figure(figures, "answers read").value, 50);
    EXPECT_EQ(figure(figures, "skill: logic").value, 50);
    EXPECT_EQ(figure(figures, "skill: algebra").value, 100);
}

TEST(Suite, MMMU_open_questions_follow_the_convention) {
    const auto& kind = benchmark_kind("mmmu");
    const Question open{.index = "1", .cells = Cells{{"question", "how many?"}, {"answer", "['24/7', '3.429']"}}};
    EXPECT_EQ(kind.read(open, "about 3.43", Convention::official).credit, 1);
    EXPECT_EQ(kind.read(open, "about 3.5", Convention::official).credit, 0);
    const Question plain{.index = "2", .cells = Cells{{"question", "what?"}, {"answer", "Transistor"}}};
    EXPECT_EQ(kind.read(plain, "a transistor", Convention::vlmevalkit).credit, 1);
    EXPECT_EQ(kind.read(plain, "a diode", Convention::vlmevalkit).credit, 0);
    const Question choice{.index = "3", .cells = Cells{{"A", "one"}, {"B", "two"}, {"answer", "B"}}};
    EXPECT_EQ(kind.read(choice, "(A) no, (B)", Convention::official).credit, 1);
    EXPECT_EQ(kind.read(choice, "(A) no, (B)", Convention::vlmevalkit).understood, false);
    EXPECT_EQ(kind.split, "validation");
}

TEST(Suite, conventions_differ_where_the_tools_do) {
    const Question pope{.index = "1", .cells = Cells{{"answer", "Yes"}}};
    EXPECT_EQ(benchmark_kind("pope").read(pope, "certainly", Convention::official).credit, 1);
    EXPECT_FALSE(benchmark_kind("pope").read(pope, "certainly", Convention::vlmevalkit).understood);
    const Question seed{.index = "1", .cells = Cells{{"A", "x"}, {"B", "y"}, {"answer", "B"}}};
    EXPECT_EQ(benchmark_kind("seedbench").read(seed, "B.", Convention::vlmevalkit).credit, 1);
    EXPECT_EQ(benchmark_kind("seedbench").read(seed, "B.", Convention::official).credit, 0);
    const Question science{.index = "1", .cells = Cells{{"A", "x"}, {"B", "y"}, {"answer", "B"}}};
    EXPECT_EQ(benchmark_kind("scienceqa").read(science, "(B)", Convention::vlmevalkit).credit, 1);
    EXPECT_EQ(benchmark_kind("scienceqa").read(science, "(B)", Convention::official).credit, 0);
    const Question vqa{.index = "1",
                       .cells = Cells{{"answer", "['5.', '5.', '5.', '5.', 'x', 'x', 'x', 'x', 'x', 'x']"}}};
    EXPECT_EQ(benchmark_kind("textvqa").read(vqa, "5", Convention::official).credit, 1);
    EXPECT_EQ(benchmark_kind("textvqa").read(vqa, "5", Convention::vlmevalkit).credit, 0);
}

TEST(Suite, ChartQA_takes_the_best_reference) {
    const Question question{.index = "1", .cells = Cells{{"answer", "['10', 'ten']"}}};
    EXPECT_EQ(benchmark_kind("chartqa").read(question, " Ten ", Convention::vlmevalkit).credit, 1);
    EXPECT_EQ(benchmark_kind("chartqa").read(question, "10.4", Convention::vlmevalkit).credit, 1);
    EXPECT_EQ(benchmark_kind("chartqa").read(question, "eleven", Convention::vlmevalkit).credit, 0);
}

TEST(Suite, LLaVA_in_the_wild_is_relative_and_leaves_out_what_the_judge_garbled) {
    const std::vector<Question> questions{
        {"1", Cells{{"category", "conv"}}}, {"2", Cells{{"category", "detail"}}}, {"3", Cells{{"category", "conv"}}}};
    const std::vector<Mark> marks{{"8 9", 9, true, 8}, {"10 5", 5, true, 10}, {"", 0, false, 0}};
    const auto figures = benchmark_kind("llava_wild").summarise(questions, marks);
    EXPECT_NEAR(figures[0].value, 100 * 7.0 / 9.0, 1e-9);
    EXPECT_EQ(figures[0].items, 2u);
    EXPECT_NEAR(figure(figures, "category: conv").value, 112.5, 1e-9);
    EXPECT_EQ(common_scale(figures, "category: conv"), 100);  // clamped only on the common scale
    EXPECT_EQ(figure(figures, "left out: judge's scores unreadable").value, 1);
}

TEST(Suite, MM_Vet_counts_a_question_in_each_of_its_capabilities) {
    const std::vector<Question> questions{{"1", Cells{{"category", "rec,ocr"}}}, {"2", Cells{{"category", "ocr"}}}};
    const std::vector<Mark> marks{{"0.5", 0.5}, {"1.0", 1.0}};
    const auto figures = benchmark_kind("mmvet").summarise(questions, marks);
    EXPECT_EQ(figures[0].value, 75);
    EXPECT_EQ(figure(figures, "capability: ocr").value, 75);
    EXPECT_EQ(figure(figures, "capability: rec").value, 50);
}

TEST(Suite, unknown_names_are_answered_with_the_known_ones) {
    try {
        benchmark_kind("mmbench");
        FAIL();
    } catch (const UsageError& error) {
        EXPECT_NE(std::string(error.what()).find("benchmark kind 'mmbench' is not known; choose from mme, ai2d"),
                  std::string::npos);
    }
    EXPECT_THROW(common_scale(std::vector<ScoreFigure>{{"f1", 50}}, "accuracy"), UsageError);
}

TEST(Suite, every_row_is_whole) {
    std::set<std::string_view> names;
    for (const auto& kind : benchmark_kinds()) {
        EXPECT_TRUE(names.insert(kind.name).second) << kind.name;
        EXPECT_EQ(kind.md5.size(), kind.tsv.empty() ? 0u : 32u) << kind.name;
        EXPECT_FALSE(kind.summarise(std::vector<Question>{}, std::vector<Mark>{}).empty()) << kind.name;
    }
    EXPECT_GE(names.size(), 16u);
}

}  // namespace
}  // namespace tg::evaluation
