#include "training_log.hpp"

#include <fmt/format.h>

namespace tg::training {

std::string TrainingLog::csv() const {
    std::string text;
    for (const auto& [name, value] : scalars({})) text += (text.empty() ? "" : ",") + name;
    text += '\n';
    for (const auto& row : rows()) {
        std::string line;
        for (const auto& [name, value] : scalars(row)) line += fmt::format("{}{:.9g}", line.empty() ? "" : ",", value);
        text += line + '\n';
    }
    return text;
}

}  // namespace tg::training
