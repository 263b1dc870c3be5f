#include "taskgalaxy/taxonomy/path.hpp"

#include <filesystem>
#include <fstream>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "taskgalaxy/core/error.hpp"

using namespace tg;
using namespace tg::taxonomy;
using testing::ElementsAre;

TEST(reading_a_path, trims_lower_cases_and_collapses_blanks) {
    EXPECT_EQ(read_path("  Animal   Recognition ~ Birds~\tNaming  the Bird ").path,
              "animal recognition~birds~naming the bird");
}

TEST(reading_a_path, accepts_other_tildes_as_separators) {
    EXPECT_EQ(read_path("charts\u223Cbar charts\uFF5Ereading values").path, "charts~bar charts~reading values");
}

TEST(reading_a_path, strips_list_marks_numbering_quotes_and_bold) {
    for (const auto* line :
         {"- charts~bar charts", "* charts~bar charts", "\u2022 charts~bar charts", "12. charts~bar charts",
          "(3) charts~bar charts", "7) \"charts~bar charts\",", "**charts~bar charts**", "1. **Charts ~ Bar charts**.",
          "'charts'~'bar charts'", "`charts~bar charts`", "\u201Ccharts~bar charts\u201D", "[charts~bar charts]"})
        EXPECT_EQ(read_path(line).path, "charts~bar charts") << line;
}

TEST(reading_a_path, keeps_numbers_that_belong_to_the_name) {
    EXPECT_EQ(read_path("3d shape recognition").path, "3d shape recognition");
    EXPECT_EQ(read_path("2.5d reasoning").path, "2.5d reasoning");
    EXPECT_EQ(read_path("history~19th century portraits").path, "history~19th century portraits");
}

TEST(reading_a_path, leaves_letters_of_other_scripts_alone) { EXPECT_EQ(read_path("文字 ~ Über").path, "文字~Über"); }

TEST(reading_a_path, names_the_problem) {
    EXPECT_EQ(read_path("").problem, PathProblem::empty);
    EXPECT_EQ(read_path(" - ").problem, PathProblem::empty);
    EXPECT_EQ(read_path("```").problem, PathProblem::empty);
    EXPECT_EQ(read_path("a~~b").problem, PathProblem::empty_level);
    EXPECT_EQ(read_path("~b").problem, PathProblem::empty_level);
    EXPECT_EQ(read_path("a~b~").problem, PathProblem::empty_level);
    EXPECT_EQ(read_path("a~b~c~d").problem, PathProblem::too_deep);
    EXPECT_EQ(read_path(std::string(97, 'x')).problem, PathProblem::too_long);
    EXPECT_EQ(read_path("a\x01z~b").problem, PathProblem::control);
}

TEST(a_normalised_path, is_a_fixed_point_of_reading) {
    for (const auto* line :
         {"1. **Charts ~ Bar charts**.", "(a) b ~ c", "\"-x-\" ~ 'y.'", "# heading", "a: b ~ 1) c"}) {
        const auto once = read_path(line);
        ASSERT_TRUE(once) << line;
        EXPECT_EQ(read_path(once.path).path, once.path) << line;
    }
}

TEST(a_path, knows_its_level_parent_and_names) {
    EXPECT_EQ(level_of("a"), 1);
    EXPECT_EQ(level_of("a~b~c"), 3);
    EXPECT_EQ(parent_of("a~b~c"), "a~b");
    EXPECT_EQ(parent_of("a"), "");
    EXPECT_EQ(last_name("a~b~c"), "c");
    EXPECT_EQ(first_name("a~b~c"), "a");
    EXPECT_TRUE(is_within("a~b~c", "a~b"));
    EXPECT_TRUE(is_within("a~b", "a~b"));
    EXPECT_FALSE(is_within("a~bc", "a~b"));
}

TEST(a_path_file, skips_comments_and_repeats_and_names_the_bad_line) {
    const auto file = std::filesystem::path(testing::TempDir()) / "paths.txt";
    std::ofstream(file) << "# mine\n\nA~B\n a ~ b \r\na~c~D\n";
    EXPECT_THAT(read_path_file(file.string()), ElementsAre("a~b", "a~c~d"));
    std::ofstream(file) << "a~b\na~~c\n";
    try {
        read_path_file(file.string());
        FAIL() << "the second line is no path";
    } catch (const InputError& error) {
        EXPECT_THAT(error.what(),
                    testing::AllOf(testing::HasSubstr("paths.txt:2"), testing::HasSubstr("an empty level")));
    }
}
