// Conversations that a model is trained on, as LLaVA's JSON and InternVL's JSONL hold them, mixed by weight.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <tuple>
#include <vector>

#include "taskgalaxy/nn/text/conversation.hpp"
#include "taskgalaxy/parallel/communicator.hpp"

namespace tg::training {

struct Sample {
    std::string id;
    std::string image;  // path or uri; empty: text alone
    std::vector<text::Turn> turns;
};

// One file of samples, and how often an epoch takes them: 2 twice, 0.25 a quarter of them (another one every epoch).
struct SampleSource {
    std::filesystem::path file;
    std::filesystem::path image_root{};  // in front of its samples' images; empty: they stay as they are
    double weight = 1;
};
// "a.json", "b.jsonl*0.25" (the weight behind a star), or InternVL's data list: a JSON object of {annotation, root,
// repeat_time}. Throws UsageError for a weight that is no number above zero, InputError for a list that cannot be read.
std::vector<SampleSource> read_sources(const std::vector<std::string>& words);

// The samples of some files. Rank 0 reads and checks all of them once; every rank then knows where each lies (24 bytes
// a sample) and reads a sample from its file when it is asked for, so that a million conversations are in nobody's
// memory. Formats, told apart by the first character: a list (LLaVA) or one object a line (InternVL). A sample is
// {"id"?, "image"?: path or list of one, "conversations": [{"from": "human"|"gpt", "value"}, ...]}. A leading answer is
// dropped as the reference does; after it questions and answers must alternate and end with an answer. Marks of
// pictures are left where they are: a model's family says what becomes of them (place_marks).
class SampleSet {
public:
    // Collective. Throws AgreedFailure naming file and sample, or a file that is not the same on every rank.
    SampleSet(std::vector<SampleSource> sources, const parallel::Communicator& ranks);
    ~SampleSet();
    SampleSet(const SampleSet&) = delete;
    SampleSet& operator=(const SampleSet&) = delete;

    std::uint64_t size() const { return places_.size(); }
    Sample read(std::uint64_t index) const;  // any thread
    bool has_picture(std::uint64_t index) const { return places_[index].words >= 0; }
    // Words of all turns: the length that LLaVA groups by (llava_trainer.py: modality_lengths, there negative for text
    // alone).
    std::int64_t words(std::uint64_t index) const {
        return has_picture(index) ? places_[index].words : -places_[index].words - 1;
    }
    std::uint64_t pictures() const;  // samples with one

    struct Share {
        std::uint64_t first = 0, count = 0;  // of size()
        double weight = 1;
    };
    const std::vector<Share>& shares() const { return shares_; }  // a source each, in order

private:
    struct Place {
        std::uint64_t offset = 0;
        std::uint32_t bytes = 0, source = 0;
        std::int64_t words = 0;  // text alone: -1 - words
        template <class Self> static auto fields(Self& self) {
            return std::tie(self.offset, self.bytes, self.source, self.words);
        }
    };
    void open(std::size_t source);
    std::uint64_t find_samples(std::size_t source);  // fills places_; the file's size

    std::vector<SampleSource> sources_;
    std::vector<int> files_;  // descriptors
    std::vector<Share> shares_;
    std::vector<Place> places_;
};

}  // namespace tg::training
