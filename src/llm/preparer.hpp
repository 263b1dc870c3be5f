// Makes of a request what is sent, and counts its tokens. Pictures are read and encoded on threads of its own, as that
// takes long; the engine's thread gets those requests back through the inbox.
#pragma once

#include <map>
#include <string>

#include "inbox.hpp"
#include "job.hpp"
#include "taskgalaxy/core/threads.hpp"
#include "taskgalaxy/llm/settings.hpp"
#include "transport.hpp"

namespace tg::llm {

class Preparer {
public:
    // All but `threads` must outlive this: the destructor waits for what is being prepared.
    Preparer(const std::map<std::string, EndpointSettings>& endpoints, const Transport& transport, Inbox& inbox,
             int threads)
        : endpoints_(endpoints), transport_(transport), inbox_(inbox), encoders_(static_cast<std::size_t>(threads)) {}

    // True: it is prepared (or has its `problem`). False: it comes through the inbox, and is not touched until then.
    bool prepare(Job* job);

private:
    void make(Job& job) const;

    const std::map<std::string, EndpointSettings>& endpoints_;
    const Transport& transport_;
    Inbox& inbox_;
    ThreadPool encoders_;
};

}  // namespace tg::llm
