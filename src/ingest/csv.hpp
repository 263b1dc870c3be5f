// Comma- or tab-separated records (RFC 4180): quoted fields may hold separators, line ends and doubled quotes.
#pragma once

#include <istream>
#include <string>
#include <vector>

namespace tg::ingest {

// Reads the next record into `fields`; false at the end. Empty lines are skipped. Throws std::runtime_error on an
// unclosed quote.
bool read_record(std::istream& in, char separator, std::vector<std::string>& fields);

}  // namespace tg::ingest
