// The stage `evaluate` with a tiny LLaVA on every number of ranks: the same answers and scores as one process alone;
// parts that are done stay done; a broken picture costs one question; the ranks that ask share
// a judge's questions;// failures reach every rank.
#include <cstdlib>
#include <filesystem>
#include <fmt/format.h>
#include <fstream>
#include <gtest/gtest.h>
#include <optional>
#include <unistd.h>

#include "mpi_world.hpp"
#include "taskgalaxy/asking/expenses.hpp"
#include "taskgalaxy/core/error.hpp"
#include "taskgalaxy/core/random.hpp"
#include "taskgalaxy/core/text.hpp"
#include "taskgalaxy/evaluation/evaluate_stage.hpp"
#include "taskgalaxy/pictures/image.hpp"
#include "taskgalaxy/simulator/simulator.hpp"
#include "taskgalaxy/storage/journal.hpp"
#include "taskgalaxy/storage/parts.hpp"

namespace tg {
namespace {

using test::world;
namespace fs = std::filesystem;

constexpr int pictures = 5, choices = 13, yes_no = 9;
constexpr std::string_view fingerprint = "fingerprint";

// Pictures, two benchmark files and a run folder with a "tuned" model (the same weights). Made once, by rank 0.
struct School {
    fs::path root;
    evaluation::EvaluateSettings settings;
    evaluation::BenchmarkList benchmarks;

    School() {
        std::string name;
        if (world().is_root()) {
            name = (fs::temp_directory_path() / "tg_evaluation_XXXXXX").string();
            if (::mkdtemp(name.data()) == nullptr) std::abort();
            make(name);
        }
        root = world().broadcast<std::string>(name);
        settings.base_model = fs::path(TG_SOURCE_DIR) / "tests/fixtures/vlm/tiny-llava";
        settings.questions_per_part = 2;
        settings.batch = 4;
        settings.max_new_tokens = 4;
        settings.threads = 1;
        settings.device = layers::DeviceChoice::cpu;
        settings.dtype = layers::DtypeChoice::fp32;
        benchmarks["animals"] = {.kind = "choice", .file = root / "choices.tsv"};
        benchmarks["yesno"] = {.file = root / "yesno.tsv"};
    }
    static void make(const fs::path& folder) {
        for (int p = 0; p < pictures; ++p) {
            pictures::Image image{.width = 40, .height = 30, .rgb = {}};
            for (std::uint64_t i = 0; i < 40 * 30 * 3; ++i)
                image.rgb.push_back(static_cast<std::uint8_t>(random_bits(static_cast<std::uint64_t>(p), i / 90)));
            const auto bytes = pictures::encode_jpeg(image, 90);
            std::ofstream(folder / fmt::format("p{}.jpg", p), std::ios::binary)
                .write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
        }
        std::ofstream tsv(folder / "choices.tsv");
        tsv << "index\timage_path\tquestion\tA\tB\tC\tanswer\tcategory\n";
        for (int q = 0; q < choices; ++q)
            tsv << fmt::format("{}\tp{}.jpg\tWhat is in picture {}?\tcat\tdog\tbird\t{}\tkind {}\n", q, q % pictures, q,
                               "ABC"[q % 3], q % 2);
        std::ofstream second(folder / "yesno.tsv");
        second << "index\timage_path\tquestion\tanswer\n";
        for (int q = 0; q < yes_no; ++q)
            second << fmt::format("{}\tp{}.jpg\tIs there a {}?\t{}\n", q, q % pictures, q, q % 2 == 0 ? "Yes" : "No");
    }

    run::Figures evaluate(const fs::path& run, const parallel::Communicator& ranks) const {
        parallel::together(ranks, [&] {
            if (!ranks.is_root()) return;
            fs::create_directories(run / "export");
            if (!fs::exists(run / "export/model")) fs::copy(settings.base_model, run / "export/model");
        });
        run::StageContext context{ranks, run::Paths(run), std::string(fingerprint)};
        evaluation::make_evaluate_stage(settings, benchmarks, {}, endpoints, api)->run(context);
        return context.figures;
    }
    std::map<std::string, llm::EndpointSettings> endpoints;
    llm::ApiSettings api;
};

const School& school() {
    static const School made;
    return made;
}

struct Cleaning : ::testing::Environment {
    void TearDown() override {
        world().barrier();
        if (world().is_root()) fs::remove_all(school().root);
    }
};
[[maybe_unused]] const auto* cleaning = ::testing::AddGlobalTestEnvironment(new Cleaning);

const std::vector<std::string> sheets{"base.animals.tsv", "base.yesno.tsv", "tuned.animals.tsv", "tuned.yesno.tsv"};

TEST(Evaluation, gives_the_same_answers_on_any_number_of_ranks) {
    const auto& s = school();
    if (world().is_root()) s.evaluate(s.root / "alone", *parallel::make_solo());
    world().barrier();
    const auto figures = s.evaluate(s.root / "together", world());
    if (!world().is_root()) return;
    for (const auto& sheet : sheets) {
        const auto alone = read_text_file(s.root / "alone/export/predictions" / sheet);
        EXPECT_EQ(alone, read_text_file(s.root / "together/export/predictions" / sheet)) << sheet;
        EXPECT_EQ(split(alone, '\n').size(),
                  static_cast<std::size_t>(sheet.find("animals") != sheet.npos ? choices : yes_no) + 2)
            << sheet;
    }
    const auto file = storage::Hdf5File::open(s.root / "together/evaluation.h5");
    EXPECT_EQ(file.read_texts("state"), std::vector<std::string>(4, "done"));
    EXPECT_EQ(file.read<std::uint64_t>("questions"), (std::vector<std::uint64_t>{choices, yes_no, choices, yes_no}));
    const auto score = file.read<double>("score");
    EXPECT_EQ(score, storage::Hdf5File::open(s.root / "alone/evaluation.h5").read<double>("score"));
    EXPECT_EQ(score[0], score[2]);  // the same weights under both names
    EXPECT_EQ(figures.size(), 6u);  // four scores and two means
    EXPECT_FALSE(fs::exists(s.root / "together/parts/evaluate"));
}

TEST(Evaluation, keeps_the_parts_that_are_done) {
    const auto& s = school();
    const auto run = s.root / "again";
    {
        const storage::PartStore store(run::Paths(run).parts("evaluate") / "base.animals", {choices, 2},
                                       std::string(fingerprint), world());
        if (world().is_root())
            store.write(3, [](storage::Hdf5File& out) {
                out.write_texts("prediction", {"kept from before", "B"});
                out.write_texts("problem", {"", ""});
                out.write("pictures_left_out", std::vector<std::uint64_t>{0});
                out.write("seconds", std::vector<double>{1});
            });
        world().barrier();
    }
    s.evaluate(run, world());
    if (!world().is_root()) return;
    const auto now = split(read_text_file(run / "export/predictions/base.animals.tsv"), '\n'),
               whole = split(read_text_file(s.root / "together/export/predictions/base.animals.tsv"), '\n');
    EXPECT_NE(now[7].find("kept from before"), std::string::npos);
    for (std::size_t line = 0; line < now.size(); ++line)
        if (line != 7 && line != 8) {
            EXPECT_EQ(now[line], whole[line]) << line;
        }
}

TEST(Evaluation, counts_a_broken_picture_as_a_wrong_answer_and_says_so) {
    auto s = school();
    if (world().is_root()) {
        std::ofstream(s.root / "broken.jpg") << "no picture";
        std::ofstream(s.root / "broken.tsv") << "index\timage_path\tquestion\tanswer\n1\tp0.jpg\tIs "
                                                "it?\tYes\n2\tbroken.jpg\tIs it?\tYes\n3\tnot_there.jpg\tIs it?\tYes\n";
    }
    world().barrier();
    s.settings.models = {evaluation::Examinee::base};
    s.benchmarks = {{"broken", {.kind = "yesno", .file = s.root / "broken.tsv"}}};
    s.evaluate(s.root / "broken_run", world());
    if (world().is_root()) {
        const auto file = storage::Hdf5File::open(s.root / "broken_run/evaluation.h5");
        EXPECT_EQ(file.read_texts("state").at(0), "done");
        EXPECT_NE(
            file.read_texts("note").at(0).find("2 questions counted wrong because their picture could not be read"),
            std::string::npos)
            << file.read_texts("note").at(0);
        EXPECT_GE(file.read<std::uint64_t>("unread").at(0), 2u);
    }
}

TEST(Evaluation, asks_the_judge_once_and_reads_its_journal_after) {
    auto s = school();
    std::optional<simulator::Simulator> judge;
    if (world().is_root()) {
        judge.emplace(simulator::SimulatorSettings{}, [](const simulator::SimulatedCall& call) {
            return call.user.find("[Assistant 1]") != call.user.npos ? std::string("8 6\nbecause") : std::string("0.5");
        });
        std::ofstream vet(s.root / "vet.tsv"), wild(s.root / "wild.tsv");
        vet << "index\timage_path\tquestion\tanswer\tcategory\n1\tp0.jpg\tWhat?\tx<AND>y\trec,ocr\n2\tp1.jpg\tWhich?"
               "\tz\tocr\n";
        wild << "index\timage_path\tquestion\tgpt4_ans\tcaption\tcategory\n1\tp0.jpg\tWhat?\tA thing.\tA thing lies "
                "there.\tconv\n";
    }
    const auto url = world().broadcast<std::string>(judge ? judge->url() : "");
    s.benchmarks = {{"vet", {.kind = "mmvet", .file = s.root / "vet.tsv"}},
                    {"wild", {.kind = "llava_wild", .file = s.root / "wild.tsv"}}};
    s.settings.models = {evaluation::Examinee::base};

    // Without a judge: answered, kept, not scored.
    s.evaluate(s.root / "unjudged", world());
    if (world().is_root()) {
        const auto file = storage::Hdf5File::open(s.root / "unjudged/evaluation.h5");
        EXPECT_EQ(file.read_texts("state"), std::vector<std::string>(2, "not run: it needs a judge (evaluate.judge)"));
        EXPECT_TRUE(fs::exists(s.root / "unjudged/export/predictions/base.vet.tsv"));
    }
    s.settings.judge = "judge";
    s.endpoints["judge"].urls = {url};
    s.endpoints["judge"].model = "stern";
    s.endpoints["judge"].price_in = 1, s.endpoints["judge"].price_out = 1;
    double paid = 0;
    for (int life = 0; life < 2; ++life) {
        const auto figures = s.evaluate(s.root / "judged", world());
        if (!world().is_root()) continue;
        const auto file = storage::Hdf5File::open(s.root / "judged/evaluation.h5");
        EXPECT_EQ(file.read_texts("state"), std::vector<std::string>(2, "done"));
        EXPECT_NEAR(file.read<double>("score")[0], 50, 1e-9);
        EXPECT_NEAR(file.read<double>("score")[1], 75, 1e-9);
        EXPECT_NE(file.read_texts("note")[0].find("judge: stern"), std::string::npos);
        EXPECT_EQ(judge->counts().requests, 3u) << "life " << life;

        // What it cost is in costs/, as that of the other stages is, and in the figures; paid once, by the first life.
        const auto expenses = asking::read_expenses(s.root / "judged/costs/evaluate.json");
        ASSERT_EQ(expenses.size(), 1u);
        const auto& expense = expenses.at({"judge", "judge"});
        EXPECT_EQ(expense.asked, 3);
        EXPECT_EQ(expense.sent, life == 0 ? 3 : 0);
        EXPECT_EQ(expense.from_journal, life == 0 ? 0 : 3);
        EXPECT_GT(expense.usd, 0);
        if (life == 0) paid = expense.usd;
        EXPECT_NEAR(expense.usd, paid, 1e-12) << "life " << life;
        const std::map<std::string, double> by_name(figures.begin(), figures.end());
        EXPECT_EQ(by_name.at("judge.usd"), expense.usd);
        EXPECT_EQ(by_name.at("judge.requests"), 3);
        // Its journals are folded.
        EXPECT_TRUE(storage::journal_files(s.root / "judged/journal").empty());
        EXPECT_FALSE(storage::folded_files(s.root / "judged/journal").empty());
    }
}

TEST(Evaluation, shares_the_judges_questions_among_the_ranks_that_api_ranks_names) {
    constexpr int free_answers = 11;
    auto s = school();
    std::optional<simulator::Simulator> judge;
    if (world().is_root()) {
        // The grade hangs on the question, so that a mark put to another question is seen.
        judge.emplace(simulator::SimulatorSettings{}, [](const simulator::SimulatedCall& call) {
            const auto at = call.user.rfind("Thing number ");
            return fmt::format("0.{}", std::stoi(call.user.substr(at + 13)) % 10);
        });
        std::ofstream vet(s.root / "many.tsv");
        vet << "index\timage_path\tquestion\tanswer\tcategory\n";
        for (int q = 0; q < free_answers; ++q)
            vet << fmt::format("{}\tp{}.jpg\tThing number {}?\tx\tocr\n", q, q % pictures, q);
    }
    s.benchmarks = {{"vet", {.kind = "mmvet", .file = s.root / "many.tsv", .verify = false}}};
    s.settings.judge = "judge";
    auto& endpoint = s.endpoints["judge"];
    endpoint.urls = {world().broadcast<std::string>(judge ? judge->url() : "")};
    endpoint.model = "stern";
    endpoint.concurrency = 8;
    endpoint.price_in = 1, endpoint.price_out = 1;
    // Only the last rank holds the key: with api.ranks = +LAST no other opens an engine.
    const auto last = world().size() - 1;
    const auto lock = [&] {
        endpoint.api_key_env = "TG_TEST_JUDGE_KEY";
        if (world().rank() == last) ::setenv("TG_TEST_JUDGE_KEY", "secret", 1);
        else ::unsetenv("TG_TEST_JUDGE_KEY");
    };
    std::vector<std::string> sheets_of;
    std::vector<double> scores;
    std::vector<std::int64_t> tokens;
    for (const std::string& wish : {std::string("1"), std::string("2"), std::string("99"), fmt::format("+{}", last)}) {
        if (wish.starts_with('+')) lock();
        s.api.ranks = wish;
        const auto run = s.root / ("judged_by_" + wish);
        const auto before = judge ? judge->counts().requests : 0;
        s.evaluate(run, world());
        if (!world().is_root()) continue;
        EXPECT_EQ(judge->counts().requests - before, 2u * free_answers) << "of two models, by " << wish;
        sheets_of.push_back(read_text_file(run / "export/predictions/base.vet.tsv") +
                            read_text_file(run / "export/predictions/tuned.vet.tsv"));
        scores.push_back(storage::Hdf5File::open(run / "evaluation.h5").read<double>("score").at(0));
        tokens.push_back(asking::read_expenses(run / "costs/evaluate.json").at({"judge", "judge"}).tokens_in);
        EXPECT_EQ(sheets_of.back(), sheets_of.front()) << wish;
        EXPECT_EQ(scores.back(), scores.front()) << wish;
        EXPECT_EQ(tokens.back(), tokens.front()) << wish;
    }
    if (world().is_root()) {
        EXPECT_NEAR(scores.front(), 100 * 4.5 / free_answers, 1e-9);
    }
}

TEST(Evaluation, fails_on_every_rank_when_the_judge_is_dead_and_goes_on_when_it_is_back) {
    auto s = school();
    s.benchmarks = {{"vet", {.kind = "mmvet", .file = s.root / "vet.tsv", .verify = false}}};
    s.settings.models = {evaluation::Examinee::base};
    s.settings.judge = "judge";
    s.endpoints["judge"].urls = {"http://127.0.0.1:9/v1"};
    s.endpoints["judge"].model = "stern";
    s.api.ranks = "99";
    s.api.first_answer_s = 0.5, s.api.attempts = 2;
    try {
        s.evaluate(s.root / "dead_judge", world());
        ADD_FAILURE() << "nothing was thrown";
    } catch (const parallel::AgreedFailure& failure) {
        EXPECT_EQ(failure.code(), ExitCode::endpoint);
    }
    EXPECT_FALSE(fs::exists(s.root / "dead_judge/evaluation.h5"));
    EXPECT_TRUE(fs::exists(s.root / "dead_judge/parts/evaluate/base.vet.h5")) << "the answers are kept";

    std::optional<simulator::Simulator> judge;
    if (world().is_root())
        judge.emplace(simulator::SimulatorSettings{}, [](const simulator::SimulatedCall&) { return "1.0"; });
    s.endpoints["judge"].urls = {world().broadcast<std::string>(judge ? judge->url() : "")};
    s.evaluate(s.root / "dead_judge", world());
    if (world().is_root()) {
        EXPECT_EQ(storage::Hdf5File::open(s.root / "dead_judge/evaluation.h5").read<double>("score").at(0), 100);
    }
}

TEST(Evaluation, fails_on_every_rank_when_the_model_is_no_model) {
    auto s = school();
    s.settings.base_model = s.root;
    s.settings.models = {evaluation::Examinee::base};
    run::StageContext context{world(), run::Paths(s.root / "failed"), std::string(fingerprint)};
    const auto stage = evaluation::make_evaluate_stage(s.settings, s.benchmarks, {}, {}, {});
    EXPECT_THROW(stage->check(), InputError);
    try {
        stage->run(context);
        ADD_FAILURE() << "nothing was thrown";
    } catch (const parallel::AgreedFailure& failure) {
        EXPECT_EQ(failure.code(), ExitCode::input);
    }
}

TEST(Evaluation, names_an_unknown_kind_with_its_section) {
    auto s = school();
    s.benchmarks = {{"mmbench", {.file = s.root / "choices.tsv"}}};
    try {
        evaluation::make_evaluate_stage(s.settings, s.benchmarks, {}, {}, {});
        ADD_FAILURE() << "nothing was thrown";
    } catch (const UsageError& error) {
        EXPECT_NE(
            std::string(error.what()).find("[benchmark.mmbench]: benchmark kind 'mmbench' is not known; choose from"),
            std::string::npos);
    }
}

}  // namespace
}  // namespace tg
