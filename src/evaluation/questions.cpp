#include "questions.hpp"

#include <algorithm>
#include <array>
#include <fmt/format.h>
#include <memory>
#include <unordered_map>
#include <unordered_set>

#include "taskgalaxy/core/base64.hpp"
#include "taskgalaxy/core/error.hpp"
#include "taskgalaxy/core/json.hpp"
#include "taskgalaxy/core/text.hpp"
#include "taskgalaxy/evaluation/list_literal.hpp"
#include "taskgalaxy/evaluation/tsv_file.hpp"

namespace tg::evaluation {
namespace {

using Json = nlohmann::json;

constexpr std::size_t shared_picture_limit = 64;  // a cell this short names another row; no picture is that small

bool is_option_name(std::string_view column) { return column.size() == 1 && column[0] >= 'A' && column[0] <= 'Z'; }

// One text, or the items of a list literal.
std::vector<std::string> one_or_list(const std::string& text) {
    if (auto items = parse_list_literal(text); items && !items->empty()) return std::move(*items);
    return {text};
}

std::string text_of(const Json& value) { return value.is_string() ? value.get<std::string>() : value.dump(); }

// Each line of a JSON lines file with its number.
void each_json_line(const std::filesystem::path& path,
                    const std::function<void(const Json&, const std::string& where)>& each) {
    const auto all = read_text_file(path);
    std::uint64_t number = 0;
    for (std::string_view rest = all; !rest.empty();) {
        const auto end = std::min(rest.find('\n'), rest.size());
        const auto line = trimmed(rest.substr(0, end));
        rest.remove_prefix(std::min(end + 1, rest.size()));
        ++number;
        if (line.empty()) continue;
        const auto where = fmt::format("{}:{}", path.string(), number);
        const auto value = parse_json_if_good(line);
        if (!value.is_object())
            throw InputError(where + ": not a JSON object: " + excerpt(line, 60),
                             "the file must hold one object a line");
        each(value, where);
    }
}

}  // namespace

const std::string* Question::find(const std::string& column) const {
    const auto found = cells.find(column);
    return found == cells.end() ? nullptr : &found->second;
}

const std::string& Question::text(const std::string& column) const {
    static const std::string none;
    const auto* found = find(column);
    return found ? *found : none;
}

std::vector<Option> Question::options() const {
    std::vector<Option> out;
    for (const auto& [column, text] : cells)  // in letter order, being a sorted map
        if (is_option_name(column)) out.push_back({column[0], text});
    return out;
}

QuestionFile QuestionFile::open(const std::filesystem::path& file, const QuestionFileOptions& options) {
    QuestionFile out;
    out.path_ = file;
    if (file.extension() == ".tsv") out.read_tsv(options);
    else if (file.extension() == ".jsonl" || file.extension() == ".json") out.read_json_lines(options);
    else
        throw InputError(file.string() + ": unknown kind of benchmark file",
                         "it must end in .tsv (VLMEvalKit) or .jsonl (LLaVA)");
    out.check_unique();
    return out;
}

void QuestionFile::read_tsv(const QuestionFileOptions& options) {
    const auto table = std::make_shared<const TsvFile>(TsvFile::open(path_));
    columns_ = table->columns();
    const auto index = table->column("index"), image = table->column("image"), image_path = table->column("image_path"),
               split = table->column("split");
    if (!index)
        throw InputError(
            fmt::format("{}: column 'index' is not there (found: {})", path_.string(), join(columns_, ", ")));
    if (!image && !image_path)
        throw InputError(path_.string() +
                         ": neither column 'image' nor 'image_path' is there, so no question has a picture");
    if (!options.split.empty() && !split)
        throw InputError(path_.string() + ": 'split = " + options.split +
                         "' was asked for, but there is no column 'split'");

    std::vector<std::size_t> picture_rows;  // a question: the row that holds its picture
    std::unordered_map<std::string, std::size_t> row_of_index;
    if (image)
        for (std::size_t row = 0; row < table->rows(); ++row)
            row_of_index.emplace(table->cell(row, *index).value_or(""), row);

    for (std::size_t row = 0; row < table->rows(); ++row) {
        const auto where = [&] { return fmt::format("{}:{}", path_.string(), table->line(row)); };
        const auto id = table->cell(row, *index);
        if (!id) throw InputError(where() + ": the row has no index");
        if (image ? !table->cell(row, *image) : !table->cell(row, *image_path)) {
            ++skipped_.no_picture;
            continue;
        }
        if (!options.split.empty() && table->cell(row, *split).value_or("") != options.split) {
            ++skipped_.other_split;
            continue;
        }
        Question question{.index = *id};
        for (std::size_t column = 0; column < columns_.size(); ++column) {
            if (column == index || column == image) continue;
            if (auto cell = table->cell(row, column)) question.cells.emplace(columns_[column], std::move(*cell));
            else if (is_option_name(columns_[column]) && table->cell_bytes(row, column) > 2)
                ++skipped_.options_named_missing;  // more than two quotes
        }
        std::vector<std::filesystem::path> paths;
        std::size_t picture_row = row;
        if (image) {
            if (table->cell_bytes(row, *image) <= shared_picture_limit) {
                const auto other = *table->cell(row, *image);
                const auto found = row_of_index.find(other);
                if (found == row_of_index.end() || table->cell_bytes(found->second, *image) <= shared_picture_limit)
                    throw InputError(fmt::format("{}: the picture is said to be that of index '{}', which has none",
                                                 where(), excerpt(other, 64)));
                picture_row = found->second;
            }
        } else {
            for (const auto& name : one_or_list(*table->cell(row, *image_path)))
                paths.push_back(std::filesystem::path(name).is_absolute() ? std::filesystem::path(name)
                                                                          : image_root(options) / name);
        }
        picture_rows.push_back(picture_row);
        paths_.push_back(std::move(paths));
        questions_.push_back(std::move(question));
    }
    if (image)
        embedded_ = [table, column = *image, rows = std::move(picture_rows)](std::size_t question) {
            return table->raw(rows[question], column);
        };
}

void QuestionFile::read_json_lines(const QuestionFileOptions& options) {
    std::unordered_map<std::string, std::map<std::string, std::string>> answers;
    if (!options.answers.empty())
        each_json_line(options.answers, [&](const Json& line, const std::string& where) {
            const auto id = line.find("question_id");
            if (id == line.end()) throw InputError(where + ": no 'question_id'");
            auto& cells = answers[text_of(*id)];
            for (const auto& [key, value] : line.items())
                if (key != "question_id" && key != "image" && key != "text" && !value.is_null())
                    cells.emplace(key == "label" ? "answer" : key, text_of(value));
        });

    std::unordered_set<std::string> columns{"index"};
    each_json_line(path_, [&](const Json& line, const std::string& where) {
        for (const char* key : {"question_id", "text"})
            if (!line.contains(key))
                throw InputError(fmt::format("{}: no '{}'", where, key),
                                 "LLaVA's question files have question_id, image and text on every line");
        Question question{.index = text_of(line["question_id"]), .prompt_is_ready = true};
        for (const auto& [key, value] : line.items()) {
            if (key == "question_id" || key == "image" || value.is_null()) continue;
            const std::string column = key == "text" ? "question" : key == "label" ? "answer" : key;
            question.cells.emplace(column, text_of(value));
        }
        if (const auto found = answers.find(question.index); found != answers.end())
            question.cells.insert(found->second.begin(), found->second.end());
        if (!line.contains("image") || line["image"].is_null()) {
            ++skipped_.no_picture;
            return;
        }
        if (!options.split.empty() && question.text("split") != options.split) {
            ++skipped_.other_split;
            return;
        }
        for (const auto& [column, text] : question.cells) columns.insert(column);
        std::vector<std::filesystem::path> paths;
        const auto& image = line["image"];
        for (const auto& name : image.is_array() ? image.get<std::vector<std::string>>() : std::vector{text_of(image)})
            paths.push_back(image_root(options) / name);
        paths_.push_back(std::move(paths));
        questions_.push_back(std::move(question));
    });
    columns_.assign(columns.begin(), columns.end());
    std::sort(columns_.begin(), columns_.end());
    if (!options.answers.empty() &&
        std::none_of(questions_.begin(), questions_.end(), [&](const auto& q) { return answers.contains(q.index); }))
        throw InputError(fmt::format("{}: none of its question_ids is among the questions of {}",
                                     options.answers.string(), path_.string()));
}

void QuestionFile::check_unique() const {
    std::unordered_set<std::string_view> seen;
    for (const auto& question : questions_)
        if (!seen.insert(question.index).second)
            throw InputError(fmt::format("{}: index '{}' stands twice", path_.string(), question.index));
}

bool QuestionFile::has_column(std::string_view column) const {
    return std::find(columns_.begin(), columns_.end(), column) != columns_.end();
}

std::vector<std::vector<std::byte>> QuestionFile::pictures(std::size_t question) const {
    std::vector<std::vector<std::byte>> out;
    const auto where = [&] { return fmt::format("{}, question {}", path_.string(), questions_[question].index); };
    if (embedded_) {
        const auto cell = embedded_(question);
        if (cell.starts_with('['))
            for (const auto& picture : one_or_list(cell)) out.push_back(decode_base64(picture, where()));
        else out.push_back(decode_base64(cell, where()));
        return out;
    }
    for (const auto& path : paths_[question]) {
        const auto bytes = read_text_file(path);
        const auto view = std::as_bytes(std::span(bytes));
        out.emplace_back(view.begin(), view.end());
    }
    return out;
}

std::pair<std::uint64_t, std::string> QuestionFile::absent_pictures() const {
    std::pair<std::uint64_t, std::string> out{0, {}};
    for (const auto& paths : paths_)
        if (!paths.empty() && !std::filesystem::exists(paths.front()) && out.first++ == 0)
            out.second = paths.front().string();
    return out;
}

std::vector<std::byte> decode_base64(std::string_view text, const std::string& where) {
    auto reading = from_base64(text);
    if (reading.wrong != 0)
        throw InputError(fmt::format("{}: the picture is not base64 (character '{}')", where,
                                     excerpt(std::string(1, reading.wrong), 1)));
    return std::move(reading.bytes);
}

}  // namespace tg::evaluation
