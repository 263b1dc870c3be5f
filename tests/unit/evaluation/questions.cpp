#include "questions.hpp"

#include <fstream>
#include <gtest/gtest.h>

#include "reference.hpp"
#include "taskgalaxy/core/error.hpp"
#include "taskgalaxy/evaluation/list_literal.hpp"
#include "taskgalaxy/evaluation/tsv_file.hpp"

namespace tg::evaluation {
namespace {

class Files : public ::testing::Test {
protected:
    void SetUp() override {
        folder_ = std::filesystem::path(::testing::TempDir()) /
                  ("questions_" + std::string(::testing::UnitTest::GetInstance()->current_test_info()->name()));
        std::filesystem::remove_all(folder_);
        std::filesystem::create_directories(folder_);
    }
    void TearDown() override { std::filesystem::remove_all(folder_); }
    std::filesystem::path write(const std::string& name, std::string_view text) {
        std::ofstream(folder_ / name, std::ios::binary) << text;
        return folder_ / name;
    }
    std::filesystem::path folder_;
};

std::string message_of(const auto& work) {
    try {
        work();
    } catch (const InputError& error) {
        return error.what();
    }
    return "nothing was thrown";
}

std::string text_of(std::span<const std::byte> bytes) {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

const std::string long_base64 = [] {  // more than 64 characters: a picture and no index
    std::string out;
    for (int i = 0; i < 30; ++i) out += "QUJD";
    return out;
}();
const std::string long_picture = [] {
    std::string out;
    for (int i = 0; i < 30; ++i) out += "ABC";
    return out;
}();

TEST(TsvFile, reads_what_pandas_reads) {
    for (const auto& [name, file] : test::reference()["tsv"].items()) {
        const auto text = file[0].get<std::string>();
        const auto table = TsvFile::parse(text, name);
        const auto& expected = file[1];
        ASSERT_EQ(nlohmann::json(table.columns()), expected[0]) << name;
        ASSERT_EQ(table.rows() + 1, expected.size()) << name;
        for (std::size_t row = 0; row < table.rows(); ++row)
            for (std::size_t column = 0; column < table.columns().size(); ++column) {
                const auto cell = table.cell(row, column);
                const auto& wanted = expected[row + 1][column];
                EXPECT_EQ(cell ? nlohmann::json(*cell) : nlohmann::json(), wanted)
                    << name << ", row " << row << ", column " << column;
            }
    }
}

TEST(TsvFile, names_the_line_of_what_is_wrong) {
    EXPECT_EQ(message_of([] { TsvFile::parse("", "x.tsv"); }),
              "x.tsv: the file is empty, not even a header line is there");
    EXPECT_EQ(
        message_of([] { TsvFile::parse("index\tA\n1\tx\ty\n", "x.tsv"); }),
        "x.tsv:2: a row has more fields than the 2 of the header; a tab inside a field needs quotes around the field");
    EXPECT_EQ(message_of([] { TsvFile::parse("index\tA\n1\tx\n2\t\"y\nz\n", "x.tsv"); }),
              "x.tsv:3: a quoted field is never closed; the file may have been cut short; fetch it again");
    EXPECT_EQ(message_of([] { TsvFile::parse("index\tA\tA\n", "x.tsv"); }),
              "x.tsv: column 'A' stands twice in the header");
    EXPECT_EQ(message_of([] { TsvFile::open("/nowhere/x.tsv"); }),
              "/nowhere/x.tsv: the benchmark file cannot be opened (No such file or directory)");
}

TEST(TsvFile, counts_lines_through_quoted_line_breaks) {
    const std::string text = "index\tA\n1\t\"a\nb\nc\"\n2\td\n";
    const auto table = TsvFile::parse(text, "x.tsv");
    EXPECT_EQ(table.line(0), 2u);
    EXPECT_EQ(table.line(1), 5u);
}

TEST(ListLiterals, are_read_as_Python_writes_them) {
    using Items = std::vector<std::string>;
    EXPECT_EQ(parse_list_literal(R"(['a', "b's", 'c\'d', 'e\\f\n'])"), (Items{"a", "b's", "c'd", "e\\f\n"}));
    EXPECT_EQ(parse_list_literal("[1, 2.5, -3, None, True]"), (Items{"1", "2.5", "-3", "None", "True"}));
    EXPECT_EQ(parse_list_literal(R"(["caf\u00e9", '\x41'])"), (Items{"caf\xC3\xA9", "A"}));
    EXPECT_EQ(parse_list_literal("['a' 'b', 'c',]"), (Items{"ab", "c"}));
    EXPECT_EQ(parse_list_literal(" [ ] "), Items{});
    EXPECT_EQ(parse_list_literal("['[x]', ']']"), (Items{"[x]", "]"}));
    for (const char* text :
         {"", "[", "a", "[see figure]", "['a'", "['a]", "['a'] x", "[[1]]", "['a' 1]", "[1 2]", "[,]"})
        EXPECT_EQ(parse_list_literal(text), std::nullopt) << text;
}

TEST(Base64, is_decoded_with_and_without_padding_and_line_breaks) {
    EXPECT_EQ(text_of(decode_base64("QUJD", "x")), "ABC");
    EXPECT_EQ(text_of(decode_base64("QUI=", "x")), "AB");
    EXPECT_EQ(text_of(decode_base64("QQ", "x")), "A");
    EXPECT_EQ(text_of(decode_base64("QU\nJD\r\n", "x")), "ABC");
    EXPECT_EQ(message_of([] { decode_base64("QU*D", "file, question 7"); }),
              "file, question 7: the picture is not base64 (character '*')");
}

TEST_F(Files, tsv_pictures_come_single_listed_and_shared) {
    const auto file = write("b.tsv",
                            "index\timage\tquestion\tA\tB\tanswer\n"
                            "1\t" +
                                long_base64 +
                                "\tone?\tx\ty\tA\n"
                                "2\t1\ttwo?\tx\t\tB\n"
                                "3\t\"['" +
                                long_base64 +
                                "', 'WFla']\"\tthree?\tx\tNone\tA\n"
                                "4\t\tfour?\tx\ty\tA\n");
    const auto questions = QuestionFile::open(file, {});
    ASSERT_EQ(questions.questions().size(), 3u);
    EXPECT_EQ(questions.skipped().no_picture, 1u);
    EXPECT_EQ(questions.skipped().options_named_missing, 1u);
    EXPECT_EQ(text_of(questions.pictures(0).at(0)), long_picture);
    EXPECT_EQ(text_of(questions.pictures(1).at(0)), long_picture);
    ASSERT_EQ(questions.pictures(2).size(), 2u);
    EXPECT_EQ(text_of(questions.pictures(2)[1]), "XYZ");
    EXPECT_EQ(questions.questions()[1].options().size(), 1u);
    EXPECT_EQ(questions.questions()[0].options()[1].text, "y");
    EXPECT_EQ(questions.questions()[0].find("image"), nullptr);
    EXPECT_EQ(questions.questions()[1].text("B"), "");
}

TEST_F(Files, tsv_pictures_come_by_path_under_the_image_root) {
    std::filesystem::create_directories(folder_ / "pictures");
    write("pictures/a.png", "first");
    write("pictures/b.png", "second");
    const auto file =
        write("b.tsv", "index\timage_path\tquestion\n7\ta.png\t?\n8\t\"['a.png', 'b.png']\"\t?\n9\tc.png\t?\n");
    const auto questions = QuestionFile::open(file, {.image_root = folder_ / "pictures"});
    EXPECT_EQ(text_of(questions.pictures(0).at(0)), "first");
    EXPECT_EQ(text_of(questions.pictures(1).at(1)), "second");
    EXPECT_EQ(questions.absent_pictures().first, 1u);
    EXPECT_EQ(questions.absent_pictures().second, (folder_ / "pictures/c.png").string());
    EXPECT_THROW(questions.pictures(2), InputError);
}

TEST_F(Files, tsv_mistakes_are_named) {
    EXPECT_NE(message_of([&] {
                  QuestionFile::open(write("a.tsv", "id\timage\n1\tx\n"), {});
              }).find("column 'index' is not there (found: id, image)"),
              std::string::npos);
    EXPECT_NE(message_of([&] {
                  QuestionFile::open(write("b.tsv", "index\tquestion\n1\tx\n"), {});
              }).find("no question has a picture"),
              std::string::npos);
    EXPECT_NE(message_of([&] {
                  QuestionFile::open(write("c.tsv", "index\timage\n1\t" + long_base64 + "\n1\t" + long_base64 + "\n"),
                                     {});
              }).find("index '1' stands twice"),
              std::string::npos);
    EXPECT_NE(message_of([&] {
                  QuestionFile::open(write("d.tsv", "index\timage\n1\t5\n"), {});
              }).find("said to be that of index '5', which has none"),
              std::string::npos);
    EXPECT_NE(message_of([&] { QuestionFile::open(write("e.txt", "x"), {}); }).find("must end in .tsv"),
              std::string::npos);
    EXPECT_NE(message_of([&] {
                  QuestionFile::open(write("f.tsv", "index\timage\n1\t" + long_base64 + "\n"), {.split = "val"});
              }).find("there is no column 'split'"),
              std::string::npos);
}

TEST_F(Files, rows_of_other_splits_are_left_out_and_counted) {
    const auto file = write("b.tsv", "index\timage_path\tsplit\n1\ta\tdev\n2\ta\tvalidation\n3\ta\t\n");
    const auto questions = QuestionFile::open(file, {.split = "validation"});
    ASSERT_EQ(questions.questions().size(), 1u);
    EXPECT_EQ(questions.questions()[0].index, "2");
    EXPECT_EQ(questions.skipped().other_split, 2u);
}

TEST_F(Files, LLaVA_json_lines_meet_their_answers) {
    write("a.jpg", "picture");
    const auto file =
        write("q.jsonl", R"({"question_id": 5, "image": "a.jpg", "text": "Is it?\nAnswer.", "category": "random"})"
                         "\n\n"
                         R"({"question_id": "x6", "image": "a.jpg", "text": "And that?", "options": ["p", "q"]})"
                         "\n"
                         R"({"question_id": 7, "text": "No picture"})"
                         "\n");
    const auto answers = write("a.jsonl", R"({"question_id": 5, "label": "yes", "text": "ignored"})"
                                          "\n"
                                          R"({"question_id": "x6", "answer": ["a", "b"]})"
                                          "\n");
    const auto questions = QuestionFile::open(file, {.answers = answers});
    ASSERT_EQ(questions.questions().size(), 2u);
    const auto& first = questions.questions()[0];
    EXPECT_TRUE(first.prompt_is_ready);
    EXPECT_EQ(first.index, "5");
    EXPECT_EQ(first.text("question"), "Is it?\nAnswer.");
    EXPECT_EQ(first.text("answer"), "yes");
    EXPECT_EQ(first.text("category"), "random");
    EXPECT_EQ(questions.questions()[1].text("answer"), R"(["a","b"])");
    EXPECT_EQ(questions.skipped().no_picture, 1u);
    EXPECT_EQ(text_of(questions.pictures(0).at(0)), "picture");
}

TEST_F(Files, json_lines_mistakes_are_named) {
    const auto good = R"({"question_id": 1, "image": "a.jpg", "text": "?"})";
    EXPECT_NE(message_of([&] {
                  QuestionFile::open(write("a.jsonl", std::string(good) + "\n{\"question_id\": 2,\n"), {});
              }).find("a.jsonl:2: not a JSON object"),
              std::string::npos);
    EXPECT_NE(message_of([&] {
                  QuestionFile::open(write("b.jsonl", R"({"question_id": 1, "image": "a.jpg"})"), {});
              }).find("b.jsonl:1: no 'text'"),
              std::string::npos);
    EXPECT_NE(message_of([&] {
                  QuestionFile::open(write("c.jsonl", good),
                                     {.answers = write("d.jsonl", R"({"question_id": 9, "answer": "x"})")});
              }).find("none of its question_ids is among the questions"),
              std::string::npos);
}

}  // namespace
}  // namespace tg::evaluation
