#include "taskgalaxy/evaluation/evaluate_stage.hpp"

#include <gtest/gtest.h>

#include "taskgalaxy/core/digest.hpp"

namespace tg::evaluation {
namespace {

struct Job {
    EvaluateSettings settings;
    std::map<std::string, llm::EndpointSettings> endpoints;

    Job() {
        settings.models = {Examinee::tuned};  // the base model's files would count too
        endpoints["judge1"].model = "stern";
    }
    Digest fingerprint() const {
        DigestBuilder inputs;
        make_evaluate_stage(settings, {}, {}, endpoints, {})->describe_inputs(inputs);
        return inputs.finish();
    }
};

}  // namespace

TEST(the_fingerprint_of_evaluate, holds_the_judges_model_and_sampling_but_not_where_it_is_and_what_it_costs) {
    Job job;
    job.settings.judge = "judge1";
    const auto before = job.fingerprint();
    const auto with = [&](const auto& change) {
        auto changed = job;
        change(changed.endpoints.at("judge1"));
        return changed.fingerprint();
    };
    EXPECT_NE(with([](auto& judge) { judge.model = "mild"; }), before);
    EXPECT_NE(with([](auto& judge) { judge.temperature = 1; }), before);
    EXPECT_NE(with([](auto& judge) { judge.top_p = 0.5; }), before);
    EXPECT_NE(with([](auto& judge) { judge.seed = 9; }), before);
    EXPECT_EQ(with([](auto& judge) { judge.urls = {"http://elsewhere/v1"}; }), before);
    EXPECT_EQ(with([](auto& judge) { judge.price_out = 9; }), before);
}

TEST(the_fingerprint_of_evaluate, without_a_judge_is_that_of_its_settings_alone) {
    Job job;
    EXPECT_EQ(job.fingerprint(), DigestBuilder()
                                     .add("base_model=\nmodels=tuned\nprompts=llava\nconvention=vlmevalkit\njudge=\n"
                                          "max_new_tokens=0\npad_images=auto\ndtype=auto\n")
                                     .finish())
        << "as it was since the first version: run directories are gone on with";
    const auto before = job.fingerprint();
    job.endpoints.at("judge1").temperature = 1;
    EXPECT_EQ(job.fingerprint(), before);
}

TEST(evaluate_settings, are_written_into_a_job_file_in_the_words_they_were_read_from) {
    EvaluateSettings settings;
    EXPECT_NE(result_settings(settings).find("models=base, tuned\n"), std::string::npos);
    settings.models = {Examinee::base};
    settings.prompts = PromptFamily::internvl;
    settings.convention = Convention::official;
    const auto text = result_settings(settings);
    for (const auto* line : {"models=base\n", "prompts=internvl\n", "convention=official\n"})
        EXPECT_NE(text.find(line), std::string::npos) << text;
}

}  // namespace tg::evaluation
