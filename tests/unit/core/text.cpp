#include "taskgalaxy/core/text.hpp"

#include <gtest/gtest.h>

#include "taskgalaxy/core/error.hpp"

namespace tg {

TEST(text, templates_are_filled_by_name) {
    EXPECT_EQ(fill_template("of {a}: {{literal}} {b}{b}", {{"a", "x"}, {"b", "{a}"}}, "file"),
              "of x: {literal} {a}{a}");
}

TEST(text, templates_name_what_they_do_not_know) {
    try {
        fill_template("{typo}", {{"type", "x"}}, "prompts/refine.txt");
        FAIL() << "an unknown placeholder was accepted";
    } catch (const UsageError& error) {
        EXPECT_STREQ(error.what(), "prompts/refine.txt: placeholder '{typo}' is not known; known here: type");
    }
    EXPECT_THROW(fill_template("{open", {}, "f"), UsageError);
}

TEST(text, excerpts_cut_between_characters) {
    EXPECT_EQ(excerpt("naïve", 3), "na...");
    EXPECT_EQ(excerpt("naïve", 4), "naï...");
    EXPECT_EQ(excerpt("a\nb", 10), "a b");
    EXPECT_EQ(excerpt("", 3), "");
}

TEST(text, splits_keep_empty_parts) {
    EXPECT_EQ(split("a,,b,", ','), (std::vector<std::string>{"a", "", "b", ""}));
    EXPECT_EQ(split("", ','), (std::vector<std::string>{""}));
}

TEST(text, durations_and_sizes_read_well) {
    EXPECT_EQ(duration_text(3.21), "3.2 s");
    EXPECT_EQ(duration_text(250), "4 min 10 s");
    EXPECT_EQ(duration_text(18'180), "5 h 03 min");
    EXPECT_EQ(bytes_text(812), "812 B");
    EXPECT_EQ(bytes_text(3'565'158), "3.4 MiB");
}

TEST(text, reading_a_folder_or_nothing_is_an_input_error) {
    EXPECT_THROW(read_text_file("/"), InputError);
    EXPECT_THROW(read_text_file("/nowhere/at/all"), InputError);
}

}  // namespace tg
