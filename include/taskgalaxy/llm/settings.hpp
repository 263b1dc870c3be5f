// Settings of the request engine: one [endpoint.NAME] section a model server or vendor, and one [api] section for all
// of them. A limit belongs to a (server, key, model) and is shared by all API ranks of the job; 0 means "not stated":
// it is then learned.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "taskgalaxy/core/settings.hpp"

namespace tg::llm {

// What a server counts against tokens_per_minute: prompt and answer, or prompt and max_tokens.
enum class TokensCounted { used, reserved };
const Words<TokensCounted>& tokens_counted_words();

// What a server calls the longest answer.
enum class MaxTokensName { max_tokens, max_completion_tokens };
const Words<MaxTokensName>& max_tokens_names();

// How closely a model looks at a picture; the vendors' words.
enum class ImageDetail { low, high, automatic };
const Words<ImageDetail>& image_detail_words();

struct EndpointSettings {
    std::vector<std::string>
        urls;  // base URLs up to and with the version, `https://api.openai.com/v1`; several replicas of one model
    std::string model;
    std::string api_key_env;             // name of the variable that holds the key
    std::filesystem::path api_key_file;  // or the file, readable by its owner only
    // What the server allows, over all API ranks; 0: learned from headers and refusals.
    double requests_per_minute = 0;
    double tokens_per_minute = 0;
    int concurrency = 0;  // requests in flight at once; 0: found by watching the throughput
    TokensCounted tokens_counted = TokensCounted::used;
    // Dollars per million tokens; negative: unknown, and shown so.
    double price_in = -1;
    double price_out = -1;
    double price_cached_in = -1;  // of prompt tokens that the vendor served from its cache; negative: price_in
    std::string price_date;       // when the prices were read off the vendor's list
    // Sampling.
    double temperature = 0;
    double top_p = 1;
    int max_tokens = 1024;  // where the request does not say
    std::int64_t seed = 0;
    MaxTokensName max_tokens_name = MaxTokensName::max_tokens;
    bool structured_output = false;
    ImageDetail image_detail = ImageDetail::high;
    std::string image_tokens = "gpt-4o";
    // Waiting.
    double connect_timeout_s = 15;
    double silence_timeout_s = 120;  // no byte received for so long
    double timeout_s = 300;          // from sending to the last byte

    void describe(SettingsVisitor& v);
    // Throws UsageError naming the section and the setting; reads no key.
    void check(const std::string& name) const;
};

struct ApiSettings {
    std::string ranks = "1";
    std::filesystem::path endpoints_file;
    // Money and alarms.
    double budget_usd = 0;  // 0: none
    double max_failure_share =
        0.2;  // of the requests that came to an end, once there are `failure_share_after` of them
    int failure_share_after = 200;
    double outage_s = 300;       // nothing but failures for so long: the endpoint is stopped
    double first_answer_s = 30;  // the same before its first answer ever
    // Pictures.
    int image_longest_side = 1024;
    int jpeg_quality = 90;
    // Asking again.
    int attempts = 6;   // sendings of one request that may fail by time-out, reset or server error
    int ask_again = 2;  // further askings after an answer that cannot be used; each is paid
    double backoff_first_s = 0.5;
    double backoff_longest_s = 60;
    bool retry_failed = true;  // failures of earlier runs are asked again; false: they stay failures
    // The loop.
    int queued_items = 2000;  // requests kept ready; more are not taken from the feed
    int encode_threads = 2;
    double drain_s = 20;  // what is in flight may still come in for so long after a stop
    int journal_group_ms = 50;
    std::filesystem::path ca_bundle;  // certificates of the site's proxy; default: the system's
    bool http2 = true;

    void describe(SettingsVisitor& v);
    void check() const;
};

// `ranks` of [api]: "2" (the first two), "node" (the lowest of each node), "+0 4 8" (these). `node_of_rank` has one
// entry a rank.
std::vector<int> api_ranks_of(const std::string& wish, const std::vector<int>& node_of_rank);

// Sections [endpoint.NAME] of a file that a job wrote (a serving job that knows its nodes only once it runs), laid over
// `endpoints`: settings named in the file replace those of the job file, and new names are added. Lines:
// `[endpoint.NAME]`, `key = value`, `# note`.
void read_endpoints_file(const std::filesystem::path& path, std::map<std::string, EndpointSettings>& endpoints);

}  // namespace tg::llm
