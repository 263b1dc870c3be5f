// Conversations as token ids with labels, the same for training and for asking: the turn style of the model's family,
// what stands for
// `<image>`, and the spans that are learnt. A style is one row in a table.
// Follows LLaVA v1.2 (train.py: preprocess_v1, preprocess_plain, preprocess_multimodal; mm_utils.py:
// tokenizer_image_token) and OpenGVLab's InternVL (conversation.py; train/dataset.py: preprocess_mpt,
// preprocess_internlm, preprocess_internvl2_5).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "taskgalaxy/nn/text/language_tokenizer.hpp"

namespace tg::text {

inline constexpr std::int64_t ignored_label = -100;
inline constexpr std::int64_t image_placeholder =
    -200;  // stands for a picture, later for each of its positions; not in the vocabulary
inline constexpr std::string_view image_mark = "<image>";

// SYSTEM (OPEN question CLOSE LEAD answer END TAIL)*; learnt: LEAD answer END.
struct ConversationStyle {
    std::string_view name, system, open, close, lead, end, tail;
    bool drops_questions = false;  // only the mark of the picture stays of a question
    bool trims = false;            // blanks around questions and answers are taken off
};
// Throws UsageError listing the known ones.
const ConversationStyle& conversation_style(std::string_view name);
std::vector<std::string> conversation_styles();

struct Turn {
    std::string question, answer;
};

// How `<image>` becomes positions. LLaVA: the text is cut there, each piece tokenized alone, and one mark stands in
// front of the turn. InternVL (`open` and so on set): tokens of the vocabulary replace the first mark, wherever it is;
// further ones are text.
struct PictureMark {
    std::string_view open{}, context{}, close{};
    bool in_vocabulary() const { return !context.empty(); }
};
inline constexpr PictureMark internvl_mark{"<img>", "<IMG_CONTEXT>", "</img>"};

struct TokenizedText {
    std::vector<std::int64_t> ids;     // image_placeholder once for each picture
    std::vector<std::int64_t> labels;  // ids where learnt, else ignored_label
};

// Whatever marks a text holds become one, in front of it on its own line.
std::string with_mark_in_front(std::string_view text);
// The marks of a conversation that has a picture, as its family wants them. `needed`: a mark is put into the first
// question where none is.
void place_marks(std::vector<Turn>& turns, const PictureMark& mark, bool needed);

// `has_image`: marks are pictures; else they are text like any other. With `open_end` the last answer is left for the
// model to give. Throws InputError where the vocabulary lacks the tokens of `mark`.
TokenizedText tokenize_conversation(const std::vector<Turn>& turns, const ConversationStyle& style,
                                    const LanguageTokenizer& tokenizer, bool has_image, bool open_end = false,
                                    const PictureMark& mark = {});

}  // namespace tg::text
