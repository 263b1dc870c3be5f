#include "taskgalaxy/llm/settings.hpp"

#include <algorithm>
#include <charconv>
#include <fmt/format.h>
#include <set>

#include "taskgalaxy/core/error.hpp"
#include "taskgalaxy/core/text.hpp"

namespace tg::llm {

const Words<TokensCounted>& tokens_counted_words() {
    static const Words<TokensCounted> words{{"used", TokensCounted::used}, {"reserved", TokensCounted::reserved}};
    return words;
}

const Words<MaxTokensName>& max_tokens_names() {
    static const Words<MaxTokensName> words{{"max_tokens", MaxTokensName::max_tokens},
                                            {"max_completion_tokens", MaxTokensName::max_completion_tokens}};
    return words;
}

const Words<ImageDetail>& image_detail_words() {
    static const Words<ImageDetail> words{
        {"low", ImageDetail::low}, {"high", ImageDetail::high}, {"auto", ImageDetail::automatic}};
    return words;
}

void EndpointSettings::describe(SettingsVisitor& v) {
    v.tuning("urls", &urls,
             "base URLs up to the version (https://api.openai.com/v1); several: replicas of one model, the least "
             "loaded is asked");
    v.option("model", &model, "the model's name as the server knows it");
    v.tuning("api_key_env", &api_key_env, "environment variable that holds the key");
    v.tuning("api_key_file", &api_key_file, "file that holds the key, readable by its owner only");
    v.tuning("requests_per_minute", &requests_per_minute,
             "requests the server allows a minute, over all API ranks (0: learned)", at_least(0));
    v.tuning("tokens_per_minute", &tokens_per_minute,
             "tokens the server allows a minute, over all API ranks (0: learned)", at_least(0));
    v.tuning("concurrency", &concurrency,
             "requests in flight at once, over all API ranks (0: found by watching the throughput)", at_least(0));
    v.tuning("tokens_counted", choice(&tokens_counted, tokens_counted_words()),
             "what counts against tokens_per_minute: used (prompt and answer) or reserved (prompt and max_tokens)");
    v.tuning("price_in", &price_in, "dollars per million prompt tokens (negative: unknown)");
    v.tuning("price_out", &price_out, "dollars per million answer tokens (negative: unknown)");
    v.tuning("price_cached_in", &price_cached_in,
             "dollars per million prompt tokens served from the vendor's cache (negative: as price_in)");
    v.tuning("price_date", &price_date, "when the prices were read off the vendor's list, for the report");
    v.option("temperature", &temperature, "sampling temperature", between(0, 2));
    v.option("top_p", &top_p, "nucleus sampling", between(0, 1));
    v.option("max_tokens", &max_tokens, "longest answer in tokens where the stage does not say", at_least(1));
    v.option("seed", &seed, "seed sent with each request");
    v.tuning("max_tokens_name", choice(&max_tokens_name, max_tokens_names()), "how the server calls that limit");
    v.option("structured_output", &structured_output, "send a JSON schema as response_format where the stage has one");
    v.option("image_detail", choice(&image_detail, image_detail_words()), "detail of pictures");
    v.tuning("image_tokens", &image_tokens,
             "how pictures are counted: gpt-4o, gpt-4o-mini, patches-28, or a number of tokens each");
    v.tuning("connect_timeout_s", &connect_timeout_s, "longest wait for a connection", at_least(0.1));
    v.tuning("silence_timeout_s", &silence_timeout_s, "longest wait without a byte received", at_least(0.1));
    v.tuning("timeout_s", &timeout_s, "longest time of one request", at_least(0.1));
}

void EndpointSettings::check(const std::string& name) const {
    const auto where = fmt::format("[endpoint.{}]", name);
    if (urls.empty())
        throw UsageError(where + ": urls is empty", "give the server's base URL, as https://api.openai.com/v1");
    for (const auto& url : urls) {
        if (!url.starts_with("http://") && !url.starts_with("https://"))
            throw UsageError(fmt::format("{}: '{}' is no URL", where, url), "it must begin with http:// or https://");
        if (url.find('@') != std::string::npos)
            throw UsageError(fmt::format("{}: a URL holds a user name or password", where),
                             "give the key by api_key_env or api_key_file");
    }
    if (model.empty()) throw UsageError(where + ": model is empty", "name the model as the server knows it");
    if (!api_key_env.empty() && !api_key_file.empty())
        throw UsageError(where + ": api_key_env and api_key_file are both set", "keep one");
}

void ApiSettings::describe(SettingsVisitor& v) {
    v.tuning("ranks", &ranks,
             "which ranks ask models: a count (the first so many), node (the first of each node), or rank numbers "
             "apart by blanks with a leading + (+0 4 8)");
    v.tuning("endpoints_file", &endpoints_file,
             "file with further [endpoint.NAME] sections, read at the start; they replace the job's settings");
    v.tuning("budget_usd", &budget_usd,
             "dollars after which nothing more is asked, earlier runs of this folder included (0: none)", at_least(0));
    v.tuning("max_failure_share", &max_failure_share,
             "stop when more than this share of the requests of an endpoint is given up", between(0, 1));
    v.tuning("failure_share_after", &failure_share_after,
             "requests that must have ended before max_failure_share counts", at_least(1));
    v.tuning("outage_s", &outage_s, "stop when an endpoint has given nothing but failures for so many seconds",
             at_least(1));
    v.tuning("first_answer_s", &first_answer_s, "the same before its first answer", at_least(0.1));
    v.option("image_longest_side", &image_longest_side, "pictures are shrunk to this longest side before they are sent",
             at_least(16));
    v.option("jpeg_quality", &jpeg_quality, "JPEG quality of the pictures sent", between(1, 100));
    v.tuning("attempts", &attempts, "tries of one request that may end in a time-out, a reset or a server error",
             at_least(1));
    v.tuning("ask_again", &ask_again, "further askings after an answer that cannot be used (each is paid)",
             at_least(0));
    v.tuning("backoff_first_s", &backoff_first_s,
             "longest wait before the first retry; doubled each time, drawn at random below it", at_least(0));
    v.tuning("backoff_longest_s", &backoff_longest_s, "upper bound of that wait", at_least(0));
    v.tuning("retry_failed", &retry_failed, "ask again what failed in earlier runs");
    v.tuning("queued_items", &queued_items, "requests kept ready to be sent", at_least(1));
    v.tuning("encode_threads", &encode_threads, "threads that read, shrink and encode pictures", at_least(1));
    v.tuning("drain_s", &drain_s, "how long answers in flight are waited for after a stop", at_least(0));
    v.tuning("journal_group_ms", &journal_group_ms, "answers of so many milliseconds share one write to disk",
             at_least(0));
    v.tuning("ca_bundle", &ca_bundle, "certificate file (PEM) to trust instead of the system's");
    v.tuning("http2", &http2, "use HTTP/2 where an https server offers it");
}

void ApiSettings::check() const {
    if (backoff_longest_s < backoff_first_s)
        throw UsageError("[api]: backoff_longest_s is below backoff_first_s", "raise it");
    if (!ca_bundle.empty() && !std::filesystem::exists(ca_bundle))
        throw UsageError(fmt::format("[api]: ca_bundle {} does not exist", ca_bundle.string()), "name a PEM file");
}

namespace {

int whole_number(std::string_view text, const std::string& wish) {
    int value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc{} || end != text.data() + text.size() || value < 0)
        throw UsageError(fmt::format("[api]: ranks = {} is not understood", wish),
                         "give a count (2), node, or rank numbers after a plus sign (+0 4 8)");
    return value;
}

// Sets one named setting from text, under its own rule.
struct NamedSetter : SettingsVisitor {
    std::string_view wanted, text;
    std::optional<std::string> complaint{};
    bool found = false;
    NamedSetter(std::string_view name, std::string_view value) : wanted(name), text(value) {}

protected:
    void visit(const Entry& entry) override {
        if (entry.name != wanted) return;
        found = true;
        complaint = set_from_text(entry.value, text);
        if (!complaint && entry.rule.holds && !entry.rule.holds(entry.value))
            complaint = "must be " + entry.rule.allowed;
    }
};

}  // namespace

std::vector<int> api_ranks_of(const std::string& wish, const std::vector<int>& node_of_rank) {
    const auto num_ranks = static_cast<int>(node_of_rank.size());
    const auto text = trimmed(wish);
    std::vector<int> ranks;
    if (text == "node") {
        std::set<int> seen;
        for (int rank = 0; rank < num_ranks; ++rank)
            if (seen.insert(node_of_rank[static_cast<std::size_t>(rank)]).second) ranks.push_back(rank);
    } else if (text.starts_with('+')) {
        std::set<int> listed;
        for (const auto& word : split(text.substr(1), ' '))
            if (!trimmed(word).empty()) listed.insert(whole_number(trimmed(word), wish));
        ranks.assign(listed.begin(), listed.end());
    } else {
        for (int rank = 0; rank < std::min(whole_number(text, wish), num_ranks); ++rank) ranks.push_back(rank);
    }
    if (ranks.empty())
        throw UsageError(fmt::format("[api]: ranks = {} names no rank", wish), "at least one must ask models");
    if (ranks.back() >= num_ranks)
        throw UsageError(fmt::format("[api]: ranks names rank {}, but the job has {}", ranks.back(), num_ranks),
                         "give numbers from 0");
    return ranks;
}

void read_endpoints_file(const std::filesystem::path& path, std::map<std::string, EndpointSettings>& endpoints) {
    const auto text = read_text_file(path);
    EndpointSettings* section = nullptr;
    int line_number = 0;
    for (const auto& raw : split(text, '\n')) {
        ++line_number;
        const auto line = trimmed(raw);
        const auto where = fmt::format("{} line {}", path.string(), line_number);
        if (line.empty() || line.front() == '#') continue;
        if (line.front() == '[') {
            constexpr std::string_view prefix = "[endpoint.";
            if (!line.starts_with(prefix) || line.back() != ']' || line.size() <= prefix.size() + 1)
                throw UsageError(fmt::format("{}: '{}' is no section of an endpoints file", where, line),
                                 "sections are [endpoint.NAME]");
            section = &endpoints[std::string(line.substr(prefix.size(), line.size() - prefix.size() - 1))];
            continue;
        }
        const auto equals = line.find('=');
        if (equals == std::string_view::npos || !section)
            throw UsageError(fmt::format("{}: '{}' is not understood", where, excerpt(line, 60)),
                             "write [endpoint.NAME], then key = value");
        NamedSetter setter(trimmed(line.substr(0, equals)), trimmed(line.substr(equals + 1)));
        section->describe(setter);
        if (!setter.found)
            throw UsageError(fmt::format("{}: unknown key '{}'", where, setter.wanted),
                             "`taskgalaxy help endpoint` lists them");
        if (setter.complaint)
            throw UsageError(
                fmt::format("{}: {} = '{}': {}", where, setter.wanted, excerpt(setter.text, 60), *setter.complaint));
    }
}

}  // namespace tg::llm
