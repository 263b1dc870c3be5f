#include "request_key.hpp"

#include "loopback.hpp"

namespace tg::llm {

TEST(request_key, changes_with_everything_that_decides_the_answer_and_with_nothing_else) {
    const auto e = test::endpoint_at("http://x/v1");
    const auto r = test::question(1);
    const auto key = request_key(e, r);
    std::set<Digest> keys{key};
    const auto other_request = [&](auto change) {
        auto changed = r;
        change(changed);
        EXPECT_TRUE(keys.insert(request_key(e, changed)).second);
    };
    const auto other_endpoint = [&](auto change) {
        auto changed = e;
        change(changed);
        EXPECT_TRUE(keys.insert(request_key(changed, r)).second);
    };
    other_request([](auto& x) { x.stage = "other"; });
    other_request([](auto& x) { x.item = "other"; });
    other_request([](auto& x) { x.system = "other"; });
    other_request([](auto& x) { x.user = "other"; });
    other_request([](auto& x) { x.image_digest = digest_of("other"); });
    other_request([](auto& x) { x.max_tokens = 5; });
    other_endpoint([](auto& x) { x.model = "other"; });
    other_endpoint([](auto& x) { x.temperature = 0.5; });
    other_endpoint([](auto& x) { x.top_p = 0.5; });
    other_endpoint([](auto& x) { x.seed = 5; });
    auto moved = e;
    moved.urls = {"http://elsewhere/v1"};
    moved.requests_per_minute = 5;
    moved.price_in = 100;
    EXPECT_EQ(request_key(moved, r), key);
}

// Journals of earlier versions are found by this very text.
TEST(request_key, is_the_digest_of_the_words_of_a_job_file) {
    auto r = test::question(1);
    const auto digest = [&](std::string_view sampling) {
        return DigestBuilder()
            .add(r.stage)
            .add(r.item)
            .add("stand-in")
            .add(sampling)
            .add(r.system)
            .add(r.user)
            .add(r.image_digest)
            .add("")
            .finish();
    };
    auto e = test::endpoint_at("http://x/v1");
    EXPECT_EQ(request_key(e, r), digest("temperature=0 top_p=1 max_tokens=1024 seed=0 detail="));
    r.image = [] { return nullptr; };
    EXPECT_EQ(request_key(e, r), digest("temperature=0 top_p=1 max_tokens=1024 seed=0 detail=high"));
    e.image_detail = ImageDetail::automatic;
    EXPECT_EQ(request_key(e, r), digest("temperature=0 top_p=1 max_tokens=1024 seed=0 detail=auto"));
}

}  // namespace tg::llm
