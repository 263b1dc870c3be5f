// What a model thinks aloud before its answer is no part of the answer. Reasoning models of many vendors leave it in
// the text: <think>...</think> (DeepSeek, Qwen), [THINK]...[/THINK] (Magistral), ◁think▷...◁/think▷ (Kimi), and the
// channels of OpenAI's harmony format. Every reader of answers takes it off first; journals keep the raw text.
#pragma once

#include <string>
#include <string_view>

namespace tg::llm {

// The answer alone. Marks may be nested, an opening one may be missing (chat templates put it into the prompt), and
// what follows one that is never closed is thought: then nothing may be left. A text without marks comes back as it is.
std::string without_thoughts(std::string_view text);

}  // namespace tg::llm
