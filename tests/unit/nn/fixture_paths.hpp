// Where the files lie that the scripts under tests/fixtures wrote.
#pragma once

#include <filesystem>
#include <string>

namespace tg::test {

inline std::filesystem::path fixtures(const std::string& room) {
    return std::filesystem::path(TG_SOURCE_DIR) / "tests/fixtures" / room;
}

}  // namespace tg::test
