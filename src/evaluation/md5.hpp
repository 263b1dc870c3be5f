// MD5 of a file, because that is what benchmarks are published with. Not for anything else.
#pragma once

#include <filesystem>
#include <string>

namespace tg::evaluation {

std::string md5_of_file(const std::filesystem::path& path);  // 32 lower-case digits; throws InputError

}  // namespace tg::evaluation
