#include "flow.hpp"

#include <algorithm>
#include <fmt/format.h>

namespace tg::curation {
namespace {

// Nearest its end first: a judge's answer frees memory, a refinement makes more work.
enum Priority : int { refine_first = 0, generate_next = 1, screen_last = 2 };
constexpr int vote_tokens = 16;  // one digit, and room for a model that says a word first

}  // namespace

struct CurationFlow::Block {
    std::vector<std::string> candidates;  // paths
    std::size_t first = 0;                // of the image's candidates
    bool failed = false;                  // its refinement
    std::vector<SampleResult> samples;    // of the kept candidates, in order
    std::vector<std::string> types;       // their paths
};

struct CurationFlow::Work {
    ImageTask task;
    ImageResult result;
    std::vector<Block> blocks;
    int requests = 0;          // under way
    std::size_t refining = 0;  // blocks not yet refined
    bool stopped = false;
};

VoteResult vote_result(const std::vector<std::uint8_t>& votes, int keep_votes) {
    const auto ones = std::count(votes.begin(), votes.end(), std::uint8_t{1});
    const auto missing = std::count(votes.begin(), votes.end(), no_vote);
    if (ones >= keep_votes) return {true, SampleState::fine};
    return {false, ones + missing >= keep_votes ? SampleState::judging_failed : SampleState::fine};
}

CurationFlow::CurationFlow(const CurateSettings& settings, const Prompts& prompts, PathOf path_of, PictureOf picture_of,
                           asking::Asker& asker, FlowCounts& counts, Finished finished)
    : settings_(settings),
      prompts_(prompts),
      path_of_(std::move(path_of)),
      picture_of_(std::move(picture_of)),
      asker_(asker),
      counts_(counts),
      finished_(std::move(finished)) {}

CurationFlow::~CurationFlow() = default;

llm::Request CurationFlow::request(const Work& work, const std::string& endpoint, const char* stage, std::string item,
                                   int priority) const {
    llm::Request request;
    request.endpoint = endpoint;
    request.stage = stage;
    request.item = std::move(item);
    request.image_digest = work.task.digest;
    request.image = [picture_of = picture_of_, image = work.task.image] { return picture_of(image); };
    request.priority = priority;
    return request;
}

void CurationFlow::start(ImageTask task) {
    auto work = std::make_shared<Work>();
    work->task = std::move(task);
    work->result.image = work->task.image;
    work->result.kept.assign(work->task.types.size(), 0);
    const auto step = static_cast<std::size_t>(settings_.refine.candidates_per_request);
    for (std::size_t first = 0; first < work->task.types.size(); first += step) {
        Block block;
        block.first = first;
        for (auto i = first; i < std::min(first + step, work->task.types.size()); ++i)
            block.candidates.push_back(path_of_(work->task.types[i]));
        work->blocks.push_back(std::move(block));
    }
    work->refining = work->blocks.size();
    ++work->requests;  // holds the image open until all its blocks are submitted
    for (std::size_t block = 0; block < work->blocks.size(); ++block) refine(work, block);
    end_request(work);
}

void CurationFlow::refine(const std::shared_ptr<Work>& work, std::size_t index) {
    const auto& candidates = work->blocks[index].candidates;
    auto asked = request(*work, settings_.refine.endpoint, "refine", fmt::format("{} block {}", work->task.name, index),
                         refine_first);
    asked.user = prompts_.refine(candidates);
    asked.response_schema = refine_schema(candidates);
    ++work->requests;
    asker_.submit(
        std::move(asked),
        [candidates](std::string_view answer) { return read_refine_answer(answer, candidates).problem; },
        [this, work, index](llm::Reply reply) {
            auto& block = work->blocks[index];
            --work->refining;
            if (reply.status == llm::Reply::Status::stopped) {
                work->stopped = true;
            } else if (reply.status == llm::Reply::Status::failed) {
                block.failed = true;
            } else {
                const auto answer = read_refine_answer(reply.text, block.candidates);
                work->result.refine_notes += answer.notes;
                for (std::size_t i = 0; i < answer.kept.size(); ++i) {
                    if (answer.kept[i] == 0) continue;
                    work->result.kept[block.first + i] = 1;
                    block.types.push_back(block.candidates[i]);
                    block.samples.push_back({work->task.types[block.first + i],
                                             {},
                                             {},
                                             std::vector<std::uint8_t>(settings_.screen.judges.size(), no_vote),
                                             false,
                                             SampleState::generation_failed});
                }
                if (!block.types.empty()) generate(work, index);
            }
            if (work->refining == 0 && !work->stopped) {
                const bool any_kept = std::any_of(work->blocks.begin(), work->blocks.end(),
                                                  [](const Block& b) { return !b.types.empty(); });
                const bool any_failed =
                    std::any_of(work->blocks.begin(), work->blocks.end(), [](const Block& b) { return b.failed; });
                work->result.state = any_kept     ? ImageState::kept_some
                                     : any_failed ? ImageState::failed
                                                  : ImageState::none;
                ++counts_.refined;
                if (work->result.state == ImageState::none) ++counts_.none;
            }
            end_request(work);
        });
}

void CurationFlow::generate(const std::shared_ptr<Work>& work, std::size_t index) {
    const auto& types = work->blocks[index].types;
    auto asked = request(*work, settings_.generate.endpoint, "generate",
                         fmt::format("{} block {}", work->task.name, index), generate_next);
    asked.user = prompts_.generate(types);
    asked.response_schema = generate_schema(types);
    asked.max_tokens = settings_.generate.max_tokens;
    ++work->requests;
    counts_.samples += static_cast<std::int64_t>(types.size());
    asker_.submit(
        std::move(asked), [types](std::string_view answer) { return read_generate_answer(answer, types).problem; },
        [this, work, index](llm::Reply reply) {
            auto& block = work->blocks[index];
            if (reply.status == llm::Reply::Status::stopped) {
                work->stopped = true;
            } else if (reply.status == llm::Reply::Status::answered) {
                auto answer = read_generate_answer(reply.text, block.types);
                work->result.generate_notes += answer.notes;
                for (std::size_t i = 0; i < block.samples.size(); ++i) {
                    auto& sample = block.samples[i];
                    sample.state = answer.samples[i] ? SampleState::fine : SampleState::left_out;
                    if (!answer.samples[i]) continue;
                    sample.question = std::move(answer.samples[i]->question);
                    sample.answer = std::move(answer.samples[i]->answer);
                    ++counts_.generated;
                }
                screen(work, index);
            }
            end_request(work);
        });
}

void CurationFlow::screen(const std::shared_ptr<Work>& work, std::size_t index) {
    auto& block = work->blocks[index];
    for (std::size_t i = 0; i < block.samples.size(); ++i) {
        if (block.samples[i].state != SampleState::fine) continue;
        for (std::size_t judge = 0; judge < settings_.screen.judges.size(); ++judge) {
            auto asked = request(*work, settings_.screen.judges[judge], "screen",
                                 fmt::format("{} type {}", work->task.name, block.types[i]), screen_last);
            asked.user = prompts_.judge(block.types[i], block.samples[i].question, block.samples[i].answer);
            asked.response_schema = judge_schema();
            asked.max_tokens = vote_tokens;
            ++work->requests;
            asker_.submit(
                std::move(asked), [](std::string_view answer) { return read_judge_answer(answer).problem; },
                [this, work, index, i, judge](llm::Reply reply) {
                    if (reply.status == llm::Reply::Status::stopped) {
                        work->stopped = true;
                    } else if (reply.status == llm::Reply::Status::answered) {
                        const auto answer = read_judge_answer(reply.text);
                        work->result.screen_notes += answer.notes;
                        work->blocks[index].samples[i].votes[judge] = static_cast<std::uint8_t>(answer.vote);
                        ++counts_.judged;
                    }
                    end_request(work);
                });
        }
    }
}

void CurationFlow::end_request(const std::shared_ptr<Work>& work) {
    if (--work->requests > 0 || work->stopped) return;
    auto& result = work->result;
    for (auto& block : work->blocks)
        for (auto& sample : block.samples) {
            if (sample.state == SampleState::fine) {
                const auto verdict = vote_result(sample.votes, settings_.screen.keep_votes);
                sample.kept = verdict.kept;
                sample.state = verdict.state;
                if (sample.kept) ++counts_.kept;
            }
            result.samples.push_back(std::move(sample));
        }
    ++counts_.finished;
    finished_(std::move(result));
}

}  // namespace tg::curation
