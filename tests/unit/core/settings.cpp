#include "taskgalaxy/core/settings.hpp"

#include <gtest/gtest.h>

namespace tg {
namespace {

struct Demo {
    int k = 10;
    double share = 0.5;
    bool fast = false;
    std::string kind = "a";
    std::filesystem::path folder = "x";
    std::vector<std::string> names{"p", "q"};
    void describe(SettingsVisitor& v) {
        v.option("k", &k, "count", at_least(1));
        v.option("share", &share, "share", between(0, 1));
        v.tuning("fast", &fast, "speed only");
        v.option("kind", &kind, "kind", one_of({"a", "b"}));
        v.option("folder", &folder, "where");
        v.option("names", &names, "list");
    }
};

}  // namespace

TEST(settings, parse_their_own_text) {
    Demo demo;
    EXPECT_FALSE(set_from_text(&demo.k, " 20_000 "));
    EXPECT_EQ(demo.k, 20'000);
    EXPECT_FALSE(set_from_text(&demo.fast, "yes"));
    EXPECT_TRUE(demo.fast);
    EXPECT_FALSE(set_from_text(&demo.names, "one, two ,three"));
    EXPECT_EQ(demo.names, (std::vector<std::string>{"one", "two", "three"}));
    EXPECT_EQ(setting_text(&demo.names), "one, two, three");
    EXPECT_FALSE(set_from_text(&demo.share, "1e-3"));
    EXPECT_EQ(demo.share, 0.001);
}

TEST(settings, say_what_was_expected_and_keep_the_old_value) {
    Demo demo;
    EXPECT_EQ(set_from_text(&demo.k, "ten"), "a whole number is expected");
    EXPECT_EQ(set_from_text(&demo.k, "99999999999999999999"), "a whole number is expected");
    EXPECT_EQ(set_from_text(&demo.share, "0.5x"), "a number is expected");
    EXPECT_EQ(set_from_text(&demo.fast, "maybe"), "true or false is expected");
    EXPECT_EQ(demo.k, 10);
    EXPECT_EQ(demo.share, 0.5);
}

TEST(settings, words_are_parsed_into_their_meaning) {
    enum class Pace { slow, fast };
    Pace pace = Pace::slow;
    std::vector<Pace> legs{Pace::slow, Pace::fast};
    const Words<Pace> words{{"slow", Pace::slow}, {"fast", Pace::fast}};
    EXPECT_EQ(setting_text(choice(&pace, words)), "slow");
    EXPECT_FALSE(set_from_text(choice(&pace, words), " fast "));
    EXPECT_EQ(pace, Pace::fast);
    EXPECT_EQ(set_from_text(choice(&pace, words), "quick"), "must be one of slow, fast");
    EXPECT_EQ(set_from_text(choice(&pace, words), ""), "must be one of slow, fast");
    EXPECT_EQ(pace, Pace::fast);
    EXPECT_EQ(setting_text(choice(&legs, words)), "slow, fast");
    EXPECT_EQ(set_from_text(choice(&legs, words), "fast, quick"), "must be one of slow, fast");
    EXPECT_FALSE(set_from_text(choice(&legs, words), "fast,fast ,slow"));
    EXPECT_EQ(legs, (std::vector{Pace::fast, Pace::fast, Pace::slow}));
    EXPECT_EQ(setting_kind(choice(&pace, words)), "text");
    EXPECT_EQ(setting_kind(choice(&legs, words)), "list");
    EXPECT_EQ(word_of(words, pace), "fast");
}

TEST(settings, rules_hold_for_the_declared_range_only) {
    Demo demo;
    EXPECT_TRUE(at_least(1).holds(&demo.k));
    demo.k = 0;
    EXPECT_FALSE(at_least(1).holds(&demo.k));
    demo.share = 1.01;
    EXPECT_FALSE(between(0, 1).holds(&demo.share));
    EXPECT_TRUE(one_of({"a", "b"}).holds(&demo.kind));
    demo.kind = "c";
    EXPECT_FALSE(one_of({"a", "b"}).holds(&demo.kind));
}

TEST(settings, fingerprints_leave_out_what_only_changes_speed) {
    Demo a, b;
    b.fast = true;
    EXPECT_EQ(result_settings(a), result_settings(b));
    b.k = 11;
    EXPECT_NE(result_settings(a), result_settings(b));
}

}  // namespace tg
