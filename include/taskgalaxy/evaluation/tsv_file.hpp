// A tab-separated file with a header, as benchmarks are published (VLMEvalKit): fields may be quoted, with doubled
// quotes, tabs and newlines inside. Reads what pandas.read_csv(sep="\t") reads. The file is mapped, not copied: a 2 GB
// file of base64 pictures costs address space, shared by the ranks of a node, and cells are decoded when asked for.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tg::evaluation {

class TsvFile {
public:
    // Throws InputError naming file and line: no header, a repeated column, a row with more fields than the header, a
    // quote that is never closed. Rows with fewer fields are short of their last cells; empty lines do not count.
    static TsvFile open(const std::filesystem::path& path);
    // Of memory that outlives the table (tests, fuzzing); `name` stands for the file in errors.
    static TsvFile parse(std::string_view bytes, const std::string& name);

    std::size_t rows() const { return row_lines_.size(); }
    const std::vector<std::string>& columns() const { return columns_; }
    std::optional<std::size_t> column(std::string_view name) const;
    std::uint64_t line(std::size_t row) const { return row_lines_[row]; }  // where the row begins, from 1

    // The text, or nothing where the cell is absent, empty or one of the words that pandas reads as "not there" (see
    // missing_words()).
    std::optional<std::string> cell(std::size_t row, std::size_t column) const;
    // The text as it stands, missing words included.
    std::string raw(std::size_t row, std::size_t column) const;
    std::size_t cell_bytes(std::size_t row,
                           std::size_t column) const;  // upper bound of the text's length, without decoding it

private:
    struct Mapping;
    struct Field {
        std::uint64_t begin = 0, end = 0;  // in bytes_; end past the closing quote
        bool quoted = false;
    };
    void index(const std::string& name);

    std::shared_ptr<const Mapping> mapping_;
    std::string_view bytes_;
    std::vector<std::string> columns_;
    std::vector<Field> fields_;  // rows() * columns().size()
    std::vector<std::uint64_t> row_lines_;
};

// "NA", "N/A", "NaN", "null", "None" and the rest of pandas' list: an option of that text does not exist for the
// reference tools.
const std::vector<std::string_view>& missing_words();
bool is_missing_word(std::string_view text);

}  // namespace tg::evaluation
