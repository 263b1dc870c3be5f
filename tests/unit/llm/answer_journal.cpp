#include "answer_journal.hpp"

#include <fstream>

#include "loopback.hpp"

namespace tg::llm {
namespace {

constexpr std::chrono::milliseconds group{2};

Digest key_of(int n) { return DigestBuilder().add(static_cast<std::uint64_t>(n)).finish(); }

AnswerRecord record(int n, AnswerRecord::Result outcome = AnswerRecord::Result::answered) {
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
        journal.append(key_of(9000), record(9000, AnswerRecord::Result::failed), {});
        journal.append(key_of(9001), record(9001, AnswerRecord::Result::unusable), {});
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
    EXPECT_EQ(keeping.find(key_of(9000))->result, AnswerRecord::Result::failed);
}

TEST(answer_journal, takes_the_answer_that_a_later_run_got_for_a_failure) {
    test::TemporaryFolder folder;
    { AnswerJournal(folder.path(), 0, group, true).append(key_of(1), record(1, AnswerRecord::Result::failed), {}); }
    { AnswerJournal(folder.path(), 0, group, true).append(key_of(1), record(1), {}); }
    EXPECT_EQ(AnswerJournal(folder.path(), 0, group, true).find(key_of(1))->result, AnswerRecord::Result::answered);
}

TEST(answer_journal, drops_a_torn_tail_and_keeps_the_rest) {
    test::TemporaryFolder folder;
    {
        AnswerJournal journal(folder.path(), 0, group, false);
        for (int i = 0; i < 10; ++i) journal.append(key_of(i), record(i), {});
    }
    const auto file = storage::journal_files(folder.path()).front();
    std::filesystem::resize_file(file, std::filesystem::file_size(file) - 7);
    const AnswerJournal journal(folder.path(), 0, group, false);
    EXPECT_EQ(journal.size(), 9u);
    EXPECT_TRUE(journal.find(key_of(8)));
    EXPECT_FALSE(journal.find(key_of(9)));
}

namespace {

// Everything of a record but the time, which the journal gives it.
std::string told(const AnswerRecord& r) {
    return fmt::format("{} {} {} {} {} {} {} {} {} {} {} {} {} {}", static_cast<int>(r.result), r.stage, r.item,
                       r.endpoint, r.model, r.tries, r.tokens_in, r.tokens_out, r.usd.value_or(-1), r.kind, r.detail,
                       r.request_id, r.status, r.text);
}

}  // namespace

TEST(folded_answers, keep_every_record_and_answer_as_the_journal_did) {
    test::TemporaryFolder folder;
    auto refused = record(20'001, AnswerRecord::Result::failed);
    refused.kind = "refused", refused.detail = "no \u2014 thanks", refused.request_id = "id-7", refused.status = 400,
    refused.tries = 3, refused.usd = {}, refused.text = std::string("\0bytes", 6);
    {
        AnswerJournal journal(folder.path(), 0, group, false);
        for (int i = 0; i < 20'000; ++i) journal.append(key_of(i), record(i), {});
        journal.append(key_of(20'000), record(20'000, AnswerRecord::Result::unusable), {});
        journal.append(key_of(20'001), refused, {});
    }
    { AnswerJournal(folder.path(), 1, group, false).append(key_of(30'000), record(30'000), {}); }
    const auto before = AnswerJournal(folder.path(), 2, group, true).paid_before();
    EXPECT_EQ(fold_answers(folder.path()), 20'003u);
    EXPECT_TRUE(storage::journal_files(folder.path()).empty());
    EXPECT_EQ(storage::folded_files(folder.path()).size(), 4u) << "20,002 answers in three files, one in its own";
    EXPECT_EQ(fold_answers(folder.path()), 0u);

    AnswerJournal journal(folder.path(), 0, group, true);
    EXPECT_EQ(journal.size(), 20'002u);
    for (const int i : {0, 8191, 8192, 19'999, 5, 30'000, 12'000})
        EXPECT_EQ(told(*journal.find(key_of(i))), told(record(i))) << i;
    EXPECT_FALSE(journal.has(key_of(20'000)));
    EXPECT_EQ(told(*journal.find(key_of(20'001))), told(refused));
    EXPECT_FALSE(journal.find(key_of(1))->at.empty());
    const auto& paid = journal.paid_before().at({"gpt", "judge"});
    EXPECT_EQ(paid.tokens_in, before.at({"gpt", "judge"}).tokens_in);
    EXPECT_DOUBLE_EQ(paid.usd, before.at({"gpt", "judge"}).usd);
    EXPECT_FALSE(paid.price_known);
    // What is asked now goes to a journal whose name no folded one had.
    journal.append(key_of(40'000), record(40'000), {});
    journal.commit();
    EXPECT_EQ(storage::journal_files(folder.path()).front().filename(), "00001-00000.journal");
}

TEST(folded_answers, go_on_after_a_fold_that_was_killed) {
    test::TemporaryFolder folder;
    {
        AnswerJournal journal(folder.path(), 0, group, false);
        for (int i = 0; i < 20'000; ++i) journal.append(key_of(i), record(i), {});
    }
    const auto journal_file = storage::journal_files(folder.path()).front();
    std::filesystem::copy_file(journal_file, folder.path() / "kept");
    fold_answers(folder.path());
    // As if killed after the first of three files was there, with the journal still whole.
    std::filesystem::rename(folder.path() / "kept", journal_file);
    std::filesystem::remove(storage::folded_name(journal_file, 1));
    std::filesystem::remove(storage::folded_name(journal_file, 2));
    {
        const AnswerJournal between(folder.path(), 1, group, false);
        EXPECT_EQ(between.size(), 20'000u);
        EXPECT_EQ(between.paid_before().at({"gpt", "judge"}).tokens_in, 20'000 * 100) << "nothing is counted twice";
        EXPECT_EQ(between.find(key_of(8192))->text, record(8192).text);
    }
    EXPECT_EQ(fold_answers(folder.path()), 20'000u - 8192u);
    const AnswerJournal after(folder.path(), 0, group, false);
    EXPECT_EQ(after.size(), 20'000u);
    EXPECT_EQ(after.paid_before().at({"gpt", "judge"}).tokens_in, 20'000 * 100);
}

TEST(folded_answers, leave_a_damaged_journal_where_it_is_and_keep_what_is_sound) {
    test::TemporaryFolder folder;
    {
        AnswerJournal journal(folder.path(), 0, group, false);
        for (int i = 0; i < 100; ++i) journal.append(key_of(i), record(i), {});
    }
    const auto file = storage::journal_files(folder.path()).front();
    {
        std::fstream bytes(file, std::ios::in | std::ios::out | std::ios::binary);
        bytes.seekp(static_cast<std::streamoff>(std::filesystem::file_size(file) / 2));
        bytes.write("####", 4);
    }
    const auto sound = AnswerJournal(folder.path(), 1, group, false).size();
    EXPECT_GE(sound, 98u);
    EXPECT_LT(sound, 100u);
    EXPECT_EQ(fold_answers(folder.path()), sound);
    EXPECT_TRUE(std::filesystem::exists(file));
    EXPECT_EQ(fold_answers(folder.path()), 0u);
    EXPECT_EQ(AnswerJournal(folder.path(), 1, group, false).size(), sound);
}

}  // namespace tg::llm
