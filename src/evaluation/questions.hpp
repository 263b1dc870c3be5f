// The questions of one benchmark file, whatever its format: VLMEvalKit's TSV or LLaVA's JSON lines (with an answers
// file beside it). Texts are in memory, pictures are read from the file when asked for.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace tg::evaluation {

struct Option {
    char letter;
    std::string text;
};

struct Question {
    std::string index;                         // unique within the file
    std::map<std::string, std::string> cells;  // every other cell that is there, by column, pictures left out
    bool prompt_is_ready = false;              // LLaVA's `text` holds the whole prompt, suffix included

    // The cell, or nothing / the empty text where it is not there.
    const std::string* find(const std::string& column) const;
    const std::string& text(const std::string& column) const;
    std::vector<Option> options() const;  // cells named by one upper-case letter, in letter order
};

struct QuestionFileOptions {
    std::filesystem::path
        image_root;                 // where `image_path` (TSV) or `image` (JSON lines) begins; default: beside the file
    std::filesystem::path answers;  // JSON lines only: `question_id` with `answer` or `label`; may be empty
    std::string split;              // only rows of that `split`; empty: all
};

// Rows that are no question, each counted with its reason; nothing is dropped without a count.
struct SkippedRows {
    std::uint64_t no_picture = 0;  // as the reference does: HallusionBench's text-only questions vanish here
    std::uint64_t other_split = 0;
    std::uint64_t options_named_missing =
        0;  // not rows: options whose text is one of missing_words(), which therefore do not exist
};

class QuestionFile {
public:
    // By the name's end: .tsv, or .jsonl / .json (JSON lines). Throws InputError naming file, line and what is wrong: a
    // column that every benchmark needs is absent, an index stands twice, a shared picture points nowhere, broken JSON.
    static QuestionFile open(const std::filesystem::path& file, const QuestionFileOptions& options);

    const std::filesystem::path& path() const { return path_; }
    const std::vector<Question>& questions() const { return questions_; }
    const SkippedRows& skipped() const { return skipped_; }
    // Whether `column` is in the file at all.
    bool has_column(std::string_view column) const;

    // The pictures of a question as the files they are (PNG, JPEG, ...), in order. Throws InputError naming the
    // question.
    std::vector<std::vector<std::byte>> pictures(std::size_t question) const;
    // For pictures as paths: rank 0 checks before any work that the first one of each question is there. Returns how
    // many are absent and names one of them.
    std::pair<std::uint64_t, std::string> absent_pictures() const;

private:
    std::filesystem::path path_;
    std::vector<std::string> columns_;
    std::vector<Question> questions_;
    std::vector<std::vector<std::filesystem::path>> paths_;      // a question; empty where the picture is in the file
    std::function<std::string(std::size_t question)> embedded_;  // the `image` cell of a question
    SkippedRows skipped_;

    void read_tsv(const QuestionFileOptions& options);
    void read_json_lines(const QuestionFileOptions& options);
    std::filesystem::path image_root(const QuestionFileOptions& options) const {
        return options.image_root.empty() ? path_.parent_path() : options.image_root;
    }
    void check_unique() const;
};

// Throws InputError: `where` holds a character that is not base64.
std::vector<std::byte> decode_base64(std::string_view text, const std::string& where);

}  // namespace tg::evaluation
