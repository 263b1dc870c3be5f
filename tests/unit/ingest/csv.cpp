#include "csv.hpp"

#include <gtest/gtest.h>
#include <sstream>
#include <stdexcept>

namespace tg::ingest {
namespace {

using Record = std::vector<std::string>;

std::vector<Record> records(const std::string& text, char separator = ',') {
    std::istringstream in(text);
    std::vector<Record> all;
    for (Record fields; read_record(in, separator, fields);) all.push_back(fields);
    return all;
}

TEST(read_record, takes_fields_quotes_and_line_ends_apart) {
    EXPECT_EQ(records("a,b\r\n\n1,\"x, \"\"y\"\"\nz\"\n,\nlast"),
              (std::vector<Record>{{"a", "b"}, {"1", "x, \"y\"\nz"}, {"", ""}, {"last"}}));
    EXPECT_EQ(records("a\tb,c\n", '\t'), (std::vector<Record>{{"a", "b,c"}}));
    EXPECT_TRUE(records("").empty());
    EXPECT_EQ(records("\"\"\n"), (std::vector<Record>{{""}}));
}

TEST(read_record, refuses_a_quote_that_is_never_closed) { EXPECT_THROW(records("a,\"b\n"), std::runtime_error); }

}  // namespace
}  // namespace tg::ingest
