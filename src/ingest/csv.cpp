#include "csv.hpp"

#include <stdexcept>

namespace tg::ingest {

bool read_record(std::istream& in, char separator, std::vector<std::string>& fields) {
    fields.clear();
    std::string field;
    bool quoted = false, was_quoted = false, any = false;
    auto* buffer = in.rdbuf();
    for (;;) {
        const int c = buffer->sbumpc();
        if (c == std::char_traits<char>::eof()) {
            if (quoted) throw std::runtime_error("a quote is never closed");
            in.setstate(std::ios::eofbit);
            if (!any) return false;
            break;
        }
        if (quoted) {
            if (c != '"') field += static_cast<char>(c);
            else if (buffer->sgetc() == '"') field += static_cast<char>(buffer->sbumpc());
            else quoted = false;
        } else if (c == '"' && field.empty() && !was_quoted) {
            quoted = was_quoted = any = true;
        } else if (c == separator) {
            fields.push_back(std::move(field));
            field.clear();
            was_quoted = false;
            any = true;
        } else if (c == '\n') {
            if (any) break;
        } else if (c != '\r') {
            field += static_cast<char>(c);
            any = true;
        }
    }
    fields.push_back(std::move(field));
    return true;
}

}  // namespace tg::ingest
