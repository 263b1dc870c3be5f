// Canonical composition (NFC) as the `tokenizers` library composes: by the tables of Unicode 9, whatever newer ones the
// system has. Marks that came later are left where they stand (its crate unicode-normalization-alignments,
// src/tables.rs).
#pragma once

#include <string>
#include <string_view>

namespace tg::text {

// text: UTF-8; malformed bytes stay. Throws std::runtime_error if ICU lacks its data. Any thread.
std::string nfc(std::string_view text);

}  // namespace tg::text
