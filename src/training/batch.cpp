#include "batch.hpp"

#include <algorithm>

#include <fmt/format.h>

namespace tg::training {

std::int64_t EncodedSample::supervised() const {
    return failure.empty() ? std::count_if(labels.begin(), labels.end(),
                                           [](std::int64_t label) { return label != text::ignored_label; })
                           : 0;
}

EncodedSample encode_sample(const Sample& sample, const models::VlmParts& parts, std::int64_t tiles,
                            std::int64_t max_length) {
    const bool has_image = !sample.image.empty();
    auto turns = sample.turns;
    if (has_image) text::place_marks(turns, parts.mark, parts.mark.in_vocabulary());
    const auto text = text::tokenize_conversation(turns, *parts.style, *parts.tokenizer, has_image, false, parts.mark);
    const auto positions = parts.image_positions(tiles);
    EncodedSample encoded;
    if (std::find(text.ids.begin(), text.ids.end(), text::image_placeholder) != text.ids.end())
        encoded.image = sample.image;
    std::vector<std::int64_t> labels;
    for (std::size_t i = 0; i < text.ids.size(); ++i) {
        const auto times =
            text.ids[i] == text::image_placeholder ? static_cast<std::size_t>(positions) : std::size_t{1};
        encoded.ids.insert(encoded.ids.end(), times, text.ids[i]);
        labels.insert(labels.end(), times, text.labels[i]);
    }
    if (static_cast<std::int64_t>(encoded.ids.size()) > max_length) {
        encoded.cut = true;
        if (encoded.ids[static_cast<std::size_t>(max_length)] == text::image_placeholder)
            encoded.failure = fmt::format("its picture does not fit into {} positions", max_length);
        encoded.ids.resize(static_cast<std::size_t>(max_length));
        labels.resize(static_cast<std::size_t>(max_length));
    }
    encoded.labels.assign(labels.begin() + std::min<std::ptrdiff_t>(1, std::ssize(labels)), labels.end());
    encoded.labels.resize(encoded.ids.size(), text::ignored_label);
    return encoded;
}

MicroBatch pack(const std::vector<const EncodedSample*>& samples) {
    MicroBatch batch;
    std::vector<std::int64_t> ids, labels, image_rows;
    std::vector<torch::Tensor> pixels, features;
    for (const auto* sample : samples) {
        if (!sample->failure.empty()) continue;
        for (const auto id : sample->ids) {
            if (id == text::image_placeholder) image_rows.push_back(static_cast<std::int64_t>(ids.size()));
            ids.push_back(id == text::image_placeholder ? 0 : id);
        }
        labels.insert(labels.end(), sample->labels.begin(), sample->labels.end());
        if (sample->features.defined()) features.push_back(sample->features);
        else if (sample->pixels.defined()) pixels.push_back(sample->pixels);
        batch.supervised += sample->supervised();
        batch.starts.push_back(static_cast<std::int64_t>(ids.size()));
    }
    batch.ids = torch::tensor(ids, torch::kInt64);
    batch.labels = torch::tensor(labels, torch::kInt64);
    batch.image_rows = torch::tensor(image_rows, torch::kInt64);
    if (!pixels.empty()) batch.pixels = torch::cat(pixels);
    if (!features.empty()) batch.features = torch::cat(features);
    return batch;
}

}  // namespace tg::training
