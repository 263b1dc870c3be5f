// A conversation with a model by hand, about one picture or none. Torch-free.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "taskgalaxy/nn/layers/device_words.hpp"

namespace tg::generation {

struct ChatSettings {
    std::filesystem::path model;  // Hugging Face folder
    std::filesystem::path image;  // empty: text alone
    layers::DeviceChoice device = layers::DeviceChoice::automatic;
    layers::DtypeChoice dtype = layers::DtypeChoice::automatic;
    int max_new_tokens = 512;  // of an answer
    double temperature = 0;    // 0: greedy
    double top_p = 1;
    std::uint64_t seed = 1;
};

class Chat {
public:
    // Loads the model and the picture. Throws UsageError for settings that make no sense, InputError for what cannot be
    // loaded, and for a picture where the model has no eyes.
    explicit Chat(const ChatSettings& settings);
    ~Chat();
    Chat(Chat&&) noexcept;

    // The answer, with all earlier turns before it. `on_text`: what becomes known of it, token by token. Throws
    // InputError where the conversation has grown longer than the model's context; it then goes on as if the question
    // had not been asked.
    std::string say(const std::string& question, const std::function<void(std::string_view)>& on_text);

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace tg::generation
