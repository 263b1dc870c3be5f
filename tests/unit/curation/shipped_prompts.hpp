// The prompts that the program ships with.
#pragma once

#include "taskgalaxy/curation/prompts.hpp"

namespace tg::test {

inline const curation::Prompts& prompts() {
    static const curation::Prompts read(TG_SOURCE_DIR "/inputs/prompts");
    return read;
}

}  // namespace tg::test
