// A request that the journal answers: read only when its turn comes, so that millions cost no memory.
#pragma once

#include <optional>

#include "answer_journal.hpp"
#include "job.hpp"

namespace tg::llm {

struct JournalHit {
    Request request;
    AnswerCheck check;
    Done done;
    Digest key;
};

// Nothing where today's check refuses the answer that yesterday's kept: it is to be asked anew. Throws StorageError,
// and what the check throws.
std::optional<Reply> kept_reply(const AnswerJournal& journal, const JournalHit& hit);

}  // namespace tg::llm
