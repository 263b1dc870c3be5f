// refine -> generate -> screen as one stream: an image's candidates are refined, what is kept gets questions, each
// question goes to every judge, while other images are at any other step. Work nearest its end has priority. Candidates
// travel in blocks of fixed size, each on its own: a larger k adds blocks and leaves the requests of the old ones, and
// so their journal entries, alone. Everything happens on the thread that runs the asker; results depend on the answers,
// not on their order.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "taskgalaxy/asking/asker.hpp"
#include "taskgalaxy/curation/answers.hpp"
#include "taskgalaxy/curation/prompts.hpp"
#include "taskgalaxy/curation/settings.hpp"
#include "taskgalaxy/run/sample_table.hpp"

namespace tg::curation {

using run::ImageState;
using run::no_vote;
using run::SampleState;

struct ImageTask {
    std::uint64_t image = 0;
    std::string name;                 // for failure lines and request keys: the uri
    Digest digest;                    // of what decides the picture's bytes as sent
    std::vector<std::int64_t> types;  // candidates, best first; rows of the taxonomy
};

struct SampleResult {
    std::int64_t type = -1;
    std::string question, answer;
    std::vector<std::uint8_t> votes;  // one a judge: 0, 1 or no_vote
    bool kept = false;
    SampleState state = SampleState::fine;
};

struct ImageResult {
    std::uint64_t image = 0;
    ImageState state = ImageState::none;
    std::vector<std::uint8_t> kept;     // one a candidate
    std::vector<SampleResult> samples;  // one a kept candidate, in candidate order
    Notes refine_notes, generate_notes, screen_notes;
};

// The outcome of a vote. Missing votes that could turn it leave the sample unjudged.
struct VoteResult {
    bool kept = false;
    SampleState state = SampleState::fine;
};
VoteResult vote_result(const std::vector<std::uint8_t>& votes, int keep_votes);

// How far things are; written by the asking thread, read by the main thread.
struct FlowCounts {
    std::atomic<std::int64_t> refined{0}, none{0}, generated{0}, judged{0}, kept{0}, finished{0}, samples{0};
};

class CurationFlow {
public:
    using PathOf = std::function<const std::string&(std::int64_t type)>;
    using PictureOf = std::function<std::shared_ptr<const llm::ChatImage>(
        std::uint64_t image)>;  // called on the asker's encoding threads
    using Finished = std::function<void(ImageResult&&)>;

    CurationFlow(const CurateSettings& settings, const Prompts& prompts, PathOf path_of, PictureOf picture_of,
                 asking::Asker& asker, FlowCounts& counts, Finished finished);
    ~CurationFlow();
    // Submits the image's first requests. `finished` is called once for each image that came to its end; never for one
    // that was stopped.
    void start(ImageTask task);

private:
    struct Work;
    struct Block;
    void refine(const std::shared_ptr<Work>& work, std::size_t block);
    void generate(const std::shared_ptr<Work>& work, std::size_t block);
    void screen(const std::shared_ptr<Work>& work, std::size_t block);
    void end_request(const std::shared_ptr<Work>& work);
    llm::Request request(const Work& work, const std::string& endpoint, const char* stage, std::string item,
                         int priority) const;

    CurateSettings settings_;
    const Prompts& prompts_;
    PathOf path_of_;
    PictureOf picture_of_;
    asking::Asker& asker_;
    FlowCounts& counts_;
    Finished finished_;
};

}  // namespace tg::curation
