#include "answer_journal.hpp"

#include <fstream>

#include "loopback.hpp"

namespace tg {
namespace {

constexpr std::chrono::milliseconds group{2};

Digest key_of(int n) { return DigestBuilder().add(static_cast<std::uint64_t>(n)).finish(); }

AnswerRecord record(int n, AnswerRecord::Outcome outcome = AnswerRecord::Outcome::answered) {
    AnswerRecord r{outcome, "judge", fmt::format("item {}", n), "gpt", "m"};
    r.tokens_in = 100;
    r.tokens_out = 10;
    r.usd = 0.25;
    r.text = fmt::format("text {}\nsecond line", n);
    return r;
}

}  // namespace

TEST(answer_journal, finds_after_a_restart_what_was_answered_and_sums_what_was_paid) {
    test::TemporaryFolder folder;
    {
        AnswerJournal journal(folder.path(), 0, group, false);
        for (int i = 0; i < 5000; ++i) journal.append(key_of(i), record(i), {});
        EXPECT_TRUE(journal.has(key_of(17)));
        journal.commit();
        EXPECT_EQ(journal.find(key_of(17))->text, "text 17\nsecond line") << "found in the run that asked, too";
        journal.append(key_of(9000), record(9000, AnswerRecord::Outcome::failed), {});
        journal.append(key_of(9001), record(9001, AnswerRecord::Outcome::unusable), {});
    }
    const AnswerJournal journal(folder.path(), 3, group, false);
    EXPECT_EQ(journal.size(), 5000u);
    for (const int i : {0, 17, 4999}) EXPECT_EQ(journal.find(key_of(i))->text, fmt::format("text {}\nsecond line", i));
    EXPECT_FALSE(journal.find(key_of(5000)));
    EXPECT_FALSE(journal.has(key_of(9000))) << "failures are asked again";
    const auto& paid = journal.paid_before().at({"gpt", "judge"});
    EXPECT_EQ(paid.tokens_in, 5002 * 100);
    EXPECT_DOUBLE_EQ(paid.usd, 5002 * 0.25);
    EXPECT_TRUE(paid.price_known);
    const AnswerJournal keeping(folder.path(), 4, group, true);
    EXPECT_EQ(keeping.find(key_of(9000))->outcome, AnswerRecord::Outcome::failed);
}

TEST(answer_journal, takes_the_answer_that_a_later_run_got_for_a_failure) {
    test::TemporaryFolder folder;
    { AnswerJournal(folder.path(), 0, group, true).append(key_of(1), record(1, AnswerRecord::Outcome::failed), {}); }
    { AnswerJournal(folder.path(), 0, group, true).append(key_of(1), record(1), {}); }
    EXPECT_EQ(AnswerJournal(folder.path(), 0, group, true).find(key_of(1))->outcome, AnswerRecord::Outcome::answered);
}

TEST(answer_journal, drops_a_torn_tail_and_keeps_the_rest) {
    test::TemporaryFolder folder;
    {
        AnswerJournal journal(folder.path(), 0, group, false);
        for (int i = 0; i < 10; ++i) journal.append(key_of(i), record(i), {});
    }
    const auto file = journal_files(folder.path()).front();
    std::filesystem::resize_file(file, std::filesystem::file_size(file) - 7);
    const AnswerJournal journal(folder.path(), 0, group, false);
    EXPECT_EQ(journal.size(), 9u);
    EXPECT_TRUE(journal.find(key_of(8)));
    EXPECT_FALSE(journal.find(key_of(9)));
}

}  // namespace tg
