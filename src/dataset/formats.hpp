// The export formats, one row each: a file name and how one sample is written to it.
#pragma once

#include <memory>
#include <ostream>
#include <span>
#include <string>
#include <string_view>

namespace tg::dataset {

// A sample with everything looked up.
struct ExportedSample {
    std::string
        id;  // shaped like a UUID of version 4, made from the content: the same sample has the same id in every export
    std::string_view image, task_type, question, answer;
    int width = 0, height = 0;
};

// Writes the samples of one file; one object a file.
class FormatWriter {
public:
    virtual ~FormatWriter() = default;
    virtual void add(const ExportedSample& sample) = 0;
    virtual void finish() = 0;
};

struct Format {
    std::string_view name;
    std::string_view file;     // under export/
    std::string_view sidecar;  // a second file written after the first (a data list), or empty
    std::unique_ptr<FormatWriter> (*make)(std::ostream& out);
    std::string (*sidecar_text)(std::string_view image_root, std::size_t samples);
};

std::span<const Format> formats();
// Throws UsageError listing the known ones.
const Format& find_format(std::string_view name);

}  // namespace tg::dataset
