#include "taskgalaxy/storage/journal.hpp"

#include <atomic>
#include <fstream>
#include <gtest/gtest.h>
#include <map>
#include <thread>

#include "taskgalaxy/core/error.hpp"
#include "temporary_folder.hpp"

namespace tg::storage {
namespace {

std::map<std::string, std::string> records_of(const std::filesystem::path& file,
                                              std::vector<JournalDamage>* damage = nullptr) {
    std::map<std::string, std::string> records;
    const auto found = read_journal(file, [&](auto key, auto value, auto) { records.emplace(key, value); });
    if (damage) *damage = found;
    return records;
}

}  // namespace

TEST(journal, records_are_durable_when_commit_returns) {
    const test::TemporaryFolder folder;
    JournalWriter writer(folder / "a.journal");
    std::atomic<int> told{0};
    writer.append("k1", "v1", [&] { ++told; });
    writer.append("k2", std::string("\0binary\n", 8), [&] { ++told; });
    writer.commit();
    EXPECT_EQ(told, 2);
    EXPECT_EQ(records_of(folder / "a.journal"),
              (std::map<std::string, std::string>{{"k1", "v1"}, {"k2", std::string("\0binary\n", 8)}}));
}

TEST(journal, many_threads_lose_nothing) {
    const test::TemporaryFolder folder;
    {
        JournalWriter writer(folder / "a.journal", std::chrono::milliseconds(1));
        std::vector<std::jthread> threads;
        for (int t = 0; t < 4; ++t)
            threads.emplace_back([&, t] {
                for (int i = 0; i < 500; ++i)
                    writer.append(std::to_string(t) + "/" + std::to_string(i),
                                  std::string(static_cast<std::size_t>(i), 'x'));
            });
    }
    EXPECT_EQ(records_of(folder / "a.journal").size(), 2000u);
}

TEST(journal, a_cut_at_any_byte_keeps_every_whole_record_before_it) {
    const test::TemporaryFolder folder;
    {
        JournalWriter writer(folder / "a.journal");
        for (const char* key : {"key0", "key1", "key2"}) writer.append(key, "value");
    }
    std::ifstream in(folder / "a.journal", std::ios::binary);
    const std::string bytes((std::istreambuf_iterator<char>(in)), {});
    const auto record = bytes.size() / 3;
    for (std::size_t cut = 0; cut < bytes.size(); ++cut) {
        std::ofstream(folder / "cut.journal", std::ios::binary) << bytes.substr(0, cut);
        std::vector<JournalDamage> damage;
        EXPECT_EQ(records_of(folder / "cut.journal", &damage).size(), cut / record) << "cut at " << cut;
        ASSERT_EQ(damage.empty(), cut % record == 0) << "cut at " << cut;
        for (const auto& found : damage) EXPECT_TRUE(found.torn_tail);
    }
}

TEST(journal, a_flipped_bit_is_never_taken_for_data_and_costs_one_record) {
    const test::TemporaryFolder folder;
    {
        JournalWriter writer(folder / "a.journal");
        for (const char* key : {"key0", "key1", "key2"}) writer.append(key, "value");
    }
    std::ifstream in(folder / "a.journal", std::ios::binary);
    const std::string bytes((std::istreambuf_iterator<char>(in)), {});
    for (std::size_t at = 0; at < bytes.size(); ++at) {
        auto broken = bytes;
        broken[at] = static_cast<char>(broken[at] ^ 4);
        std::ofstream(folder / "b.journal", std::ios::binary) << broken;
        std::vector<JournalDamage> damage;
        const auto records = records_of(folder / "b.journal", &damage);
        EXPECT_EQ(records.size(), 2u) << "flipped at " << at;
        for (const auto& [key, value] : records) {
            EXPECT_EQ(value, "value");
            EXPECT_TRUE(key == "key0" || key == "key1" || key == "key2");
        }
        EXPECT_EQ(damage.size(), 1u);
    }
}

TEST(journal, never_continues_a_file_of_an_earlier_writer) {
    const test::TemporaryFolder folder;
    const auto first = new_journal_name(folder.path(), 3);
    { JournalWriter writer(first); }
    const auto second = new_journal_name(folder.path(), 3);
    EXPECT_NE(first, second);
    EXPECT_THROW(JournalWriter{first}, StorageError);
    { JournalWriter writer(second); }
    EXPECT_EQ(journal_files(folder.path()), (std::vector<std::filesystem::path>{first, second}));
}

}  // namespace tg::storage
