#include "taskgalaxy/evaluation/tsv_file.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "taskgalaxy/core/error.hpp"

namespace tg::evaluation {

struct TsvFile::Mapping {
    void* address = nullptr;
    std::size_t size = 0;

    explicit Mapping(const std::filesystem::path& path) {
        const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
        if (file < 0)
            throw InputError(
                fmt::format("{}: the benchmark file cannot be opened ({})", path.string(), std::strerror(errno)));
        struct stat status {};
        const bool plain = ::fstat(file, &status) == 0 && S_ISREG(status.st_mode);
        size = plain ? static_cast<std::size_t>(status.st_size) : 0;
        if (size > 0) address = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file, 0);
        const int error = errno;
        ::close(file);
        if (!plain) throw InputError(fmt::format("{}: not a plain file", path.string()));
        if (address == MAP_FAILED)
            throw InputError(
                fmt::format("{}: the benchmark file cannot be read ({})", path.string(), std::strerror(error)));
    }
    ~Mapping() {
        if (address != nullptr) ::munmap(address, size);
    }
    Mapping(const Mapping&) = delete;
    Mapping& operator=(const Mapping&) = delete;
};

TsvFile TsvFile::open(const std::filesystem::path& path) {
    TsvFile table;
    table.mapping_ = std::make_shared<const Mapping>(path);
    table.bytes_ = {static_cast<const char*>(table.mapping_->address), table.mapping_->size};
    table.index(path.string());
    return table;
}

TsvFile TsvFile::parse(std::string_view bytes, const std::string& name) {
    TsvFile table;
    table.bytes_ = bytes;
    table.index(name);
    return table;
}

// One pass over the bytes. A quote opens a quoted field only as its first character; what follows the closing quote
// belongs to the field as it stands. Rows end at \n, \r\n or \r.
void TsvFile::index(const std::string& name) {
    constexpr std::string_view byte_order_mark = "\xEF\xBB\xBF";
    std::size_t at = bytes_.starts_with(byte_order_mark) ? byte_order_mark.size() : 0;
    std::uint64_t line = 1;

    const auto next_field = [&] {
        Field field{.begin = at};
        if (at < bytes_.size() && bytes_[at] == '"') {
            field.quoted = true;
            const auto opened = line;
            for (++at;; ++at) {
                const auto quote = bytes_.find('"', at);
                if (quote == bytes_.npos)
                    throw InputError(fmt::format("{}:{}: a quoted field is never closed", name, opened),
                                     "the file may have been cut short; fetch it again");
                line +=
                    static_cast<std::uint64_t>(std::count(bytes_.begin() + static_cast<std::ptrdiff_t>(at),
                                                          bytes_.begin() + static_cast<std::ptrdiff_t>(quote), '\n'));
                at = quote + 1;
                if (at >= bytes_.size() || bytes_[at] != '"') break;
            }
        }
        at = std::min(bytes_.find_first_of("\t\n\r", at), bytes_.size());
        field.end = at;
        return field;
    };
    // True when another field follows in this row.
    const auto step = [&] {
        if (at >= bytes_.size()) return false;
        const char c = bytes_[at++];
        if (c == '\t') return true;
        if (c == '\r' && at < bytes_.size() && bytes_[at] == '\n') ++at;
        ++line;
        return false;
    };
    const auto skip_empty_lines = [&] {
        for (;;) {
            const auto text = bytes_.find_first_not_of(' ', at);
            if (text == bytes_.npos) at = bytes_.size();
            else if (bytes_[text] == '\n' || bytes_[text] == '\r') {
                at = text;
                step();
                continue;
            }
            return;
        }
    };

    skip_empty_lines();
    if (at >= bytes_.size()) throw InputError(name + ": the file is empty, not even a header line is there");
    std::vector<Field> header;
    do header.push_back(next_field());
    while (step());
    fields_ = header;
    columns_.resize(header.size());  // raw() counts in columns
    row_lines_.push_back(1);
    for (std::size_t c = 0; c < header.size(); ++c) columns_[c] = raw(0, c);
    for (std::size_t c = 0; c < header.size(); ++c)
        if (std::find(columns_.begin(), columns_.begin() + static_cast<std::ptrdiff_t>(c), columns_[c]) !=
            columns_.begin() + static_cast<std::ptrdiff_t>(c))
            throw InputError(fmt::format("{}: column '{}' stands twice in the header", name, columns_[c]));
    fields_.clear();
    row_lines_.clear();

    for (skip_empty_lines(); at < bytes_.size(); skip_empty_lines()) {
        const auto begins = line;
        std::size_t found = 0;
        bool more = true;
        while (more) {
            const auto field = next_field();
            if (found == columns_.size())
                throw InputError(fmt::format("{}:{}: a row has more fields than the {} of the header", name, begins,
                                             columns_.size()),
                                 "a tab inside a field needs quotes around the field");
            fields_.push_back(field);
            ++found;
            more = step();
        }
        fields_.resize(fields_.size() + columns_.size() - found);
        row_lines_.push_back(begins);
    }
}

std::optional<std::size_t> TsvFile::column(std::string_view name) const {
    const auto found = std::find(columns_.begin(), columns_.end(), name);
    return found == columns_.end() ? std::nullopt : std::optional<std::size_t>(found - columns_.begin());
}

std::string TsvFile::raw(std::size_t row, std::size_t column) const {
    const auto& field = fields_[row * columns_.size() + column];
    auto text = bytes_.substr(field.begin, field.end - field.begin);
    if (!field.quoted) return std::string(text);
    std::string out;
    text.remove_prefix(1);
    for (;;) {
        const auto quote = text.find('"');
        out += text.substr(0, quote);
        text.remove_prefix(quote + 1);  // index() saw the closing quote
        if (!text.starts_with('"')) return out += text;
        out += '"';
        text.remove_prefix(1);
    }
}

std::size_t TsvFile::cell_bytes(std::size_t row, std::size_t column) const {
    const auto& field = fields_[row * columns_.size() + column];
    return field.end - field.begin;
}

std::optional<std::string> TsvFile::cell(std::size_t row, std::size_t column) const {
    constexpr std::size_t longest_missing_word = 8;  // cells may hold megabytes of base64
    auto text = raw(row, column);
    if (text.empty() || (text.size() <= longest_missing_word && is_missing_word(text))) return std::nullopt;
    return text;
}

const std::vector<std::string_view>& missing_words() {
    static const std::vector<std::string_view> words{"#N/A", "#N/A N/A", "#NA",     "-1.#IND", "-1.#QNAN", "-NaN",
                                                     "-nan", "1.#IND",   "1.#QNAN", "<NA>",    "N/A",      "NA",
                                                     "NULL", "NaN",      "None",    "n/a",     "nan",      "null"};
    return words;
}

bool is_missing_word(std::string_view text) {
    return std::find(missing_words().begin(), missing_words().end(), text) != missing_words().end();
}

}  // namespace tg::evaluation
