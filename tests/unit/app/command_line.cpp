#include "command_line.hpp"

#include <functional>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tg::app {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

CommandLine parsed(const Arguments& arguments) {
    po::options_description options;
    options.add_options()("k", po::value<Arguments>()->composing(), "depths")("json", "for programs");
    return {"compare", arguments, options, "RUN", 2};
}

std::string error_of(const std::function<void()>& work) {
    try {
        work();
    } catch (const UsageError& error) {
        return error.what();
    }
    return "no error";
}

TEST(CommandLine, parts_options_from_words) {
    const auto line = parsed({"one", "--k", "1,5", "two", "--k=20", "--json"});
    EXPECT_EQ(line.word(), "one");
    EXPECT_THAT(line.words(), ElementsAre("one", "two"));
    EXPECT_TRUE(line.has("json"));
    EXPECT_THAT(line.all("k"), ElementsAre("1,5", "20"));
    EXPECT_THAT(line.list("k"), ElementsAre("1", "5", "20"));
    EXPECT_THAT(line.counts("k", "depth"), ElementsAre(1, 5, 20));
}

TEST(CommandLine, what_was_not_given_is_empty) {
    const auto line = parsed({"one"});
    EXPECT_FALSE(line.has("json"));
    EXPECT_THAT(line.all("k"), IsEmpty());
    EXPECT_THAT(line.counts("k", "depth"), IsEmpty());
}

TEST(CommandLine, every_mistake_ends_in_the_usage) {
    const std::string usage = "; usage: taskgalaxy compare RUN [OTHER] [--k 1,5,10,20]";
    EXPECT_EQ(error_of([] { parsed({}).word(); }), "RUN is missing" + usage);
    for (const auto* no_count : {"0", "-1", "x", "5x", "1.5"})
        EXPECT_EQ(error_of([&] {
                      parsed({"--k", std::string("1,") + no_count}).counts("k", "depth");
                  }),
                  std::string("--k: '") + no_count + "' is no depth" + usage);
    EXPECT_THAT(error_of([] { parsed({"--nonsense"}); }), HasSubstr("nonsense"));
    EXPECT_THAT(error_of([] { parsed({"--nonsense"}); }), testing::EndsWith(usage));
    EXPECT_THAT(error_of([] { parsed({"one", "two", "three"}); }), testing::EndsWith(usage));
}

}  // namespace
}  // namespace tg::app
