#include "taskgalaxy/asking/inquiry.hpp"

#include <algorithm>

#include "company.hpp"

namespace tg::asking {
namespace {

// Thrown through the engine to end it when another rank failed; never leaves this file.
struct Abandoned {};

class EngineAsker final : public Asker {
public:
    EngineAsker(llm::Engine& engine, const std::atomic<bool>& abandoned) : engine_(engine), abandoned_(abandoned) {}

    void submit(llm::Request request, llm::AnswerCheck check, std::function<void(llm::Reply)> done) override {
        engine_.submit(std::move(request), std::move(check), [this, done = std::move(done)](llm::Reply reply) {
            const bool draining = reply.status == llm::Reply::Status::stopped;
            done(std::move(reply));
            if (!draining) leave_if_abandoned();
        });
    }
    llm::RunEnd run(const std::function<bool()>& feed) override {
        return engine_.run([&] {
            leave_if_abandoned();
            return feed && feed();
        });
    }
    llm::EngineFigures figures() const override { return engine_.figures(); }

private:
    void leave_if_abandoned() const {
        if (abandoned_) throw Abandoned{};
    }

    llm::Engine& engine_;
    const std::atomic<bool>& abandoned_;
};

}  // namespace

Inquiry::Inquiry(const run::StageContext& context, InquiryPlan plan)
    : ranks_(context.ranks), paths_(context.paths), plan_(std::move(plan)), asking_(asking_ranks(ranks_, plan_.api)) {
    if (plan_.askers == Askers::one) asking_.resize(1);
    if (const auto me = std::find(asking_.begin(), asking_.end(), ranks_.rank()); me != asking_.end())
        number_ = static_cast<int>(me - asking_.begin());
    fold_journals();
}

void Inquiry::ask(const std::function<void(Asker&)>& questions) {
    llm::Engine engine(chosen_endpoints(plan_.endpoints, plan_.api, plan_.endpoint_names), plan_.api, paths_.journal(),
                       number_, askers());
    const auto show = [this](const llm::Engine* open) {
        const std::lock_guard lock(mutex_);
        engine_ = open;
    };
    struct Shown {
        decltype(show)& set;
        ~Shown() { set(nullptr); }
    } const shown{show};
    show(&engine);
    EngineAsker asker(engine, abandoned_);
    try {
        questions(asker);
    } catch (const Abandoned&) {
        return;
    }
    figures_ = engine.figures();
}

std::string Inquiry::live_text() const {
    const std::lock_guard lock(mutex_);
    return engine_ ? asking::live_text(engine_->figures()) : "";
}

void Inquiry::run(Errand errand) {
    Company company{.counts = std::move(errand.counts), .look = std::move(errand.look)};
    if (asks()) {
        company.work = std::move(errand.work);
        company.abandon = [this] { abandoned_ = true; };
        company.serve = std::move(errand.serve);
    }
    run_in_company(ranks_, company);
    fold_journals();
}

void Inquiry::bill(run::Figures& figures, int scribe) const {
    const auto expenses = sum_expenses(ranks_, figures_ ? &*figures_ : nullptr, plan_.steps);
    parallel::together(ranks_, [&] {
        if (ranks_.rank() == scribe) write_expenses(expenses_file(paths_, plan_.stage), expenses);
    });
    if (ranks_.rank() == scribe) log_expenses(expenses);
    add_expense_figures(figures, expenses);
}

// Nobody may write journals meanwhile: before the first engine of a stage lives and after the last.
void Inquiry::fold_journals() const {
    parallel::together(ranks_, [&] {
        if (ranks_.is_root()) llm::fold_answers(paths_.journal());
    });
}

}  // namespace tg::asking
