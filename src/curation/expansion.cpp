#include "expansion.hpp"

#include <algorithm>
#include <fmt/format.h>

#include "taskgalaxy/core/error.hpp"
#include "taskgalaxy/core/log.hpp"
#include "taskgalaxy/taxonomy/path.hpp"

namespace tg::curation {
namespace {

bool unrelated(const std::string& a, const std::string& b) {
    return !taxonomy::is_within(a, b) && !taxonomy::is_within(b, a);
}

class Expansion {
public:
    Expansion(const ExpandSettings& settings, const Prompts& prompts, const taxonomy::Embedder& embedder,
              asking::Asker& asker)
        : settings_(settings), prompts_(prompts), asker_(asker), filter_(embedder, settings.duplicate_similarity) {}

    void give(const std::vector<std::string>& paths) {
        for (const auto& path : paths)
            if (!draft_.add(path)) ++report_.exact_duplicates;
        report_.given = static_cast<std::int64_t>(draft_.paths().size());
        filter_.keep(draft_.paths(), unrelated);
    }

    void fill_level(int level, int target, const std::function<void(std::int64_t)>& progress) {
        auto parents = level == 1 ? std::vector<std::string>{""} : draft_.at_level(level - 1);
        for (int round = 1; round <= settings_.rounds && !parents.empty(); ++round) {
            const auto missing = static_cast<std::int64_t>(target) - static_cast<std::int64_t>(draft_.count(level));
            if (missing <= 0) return;
            const auto share =
                (missing + static_cast<std::int64_t>(parents.size()) - 1) / static_cast<std::int64_t>(parents.size());
            const auto count = static_cast<int>(std::min<std::int64_t>(share, settings_.names_per_request));
            const auto answers = ask(parents, level, round, count);
            std::vector<std::string> fertile;
            std::int64_t fresh = 0;
            for (std::size_t i = 0; i < parents.size(); ++i) {
                const auto added = merge(parents[i], answers[i]);
                fresh += added;
                if (added > 0) fertile.push_back(parents[i]);
                else ++report_.exhausted[static_cast<std::size_t>(level - 1)];
            }
            ++report_.rounds[static_cast<std::size_t>(level - 1)];
            log::info(
                "expand: level {}, round {}: {} parents asked for {} each, {} new types, {} at this level of {} wanted",
                level, round, parents.size(), count, fresh, draft_.count(level), target);
            if (progress) progress(fresh);
            parents = std::move(fertile);
        }
    }

    Expanded finished() && {
        report_.dropped = filter_.dropped();
        report_.nearest = filter_.nearest(static_cast<std::size_t>(settings_.nearest_pairs));
        return {draft_.finished(), std::move(report_)};
    }

private:
    // One answer a parent; nothing where the request failed.
    std::vector<std::string> ask(const std::vector<std::string>& parents, int level, int round, int count) {
        std::vector<std::string> answers(parents.size());
        std::size_t next = 0;
        const auto feed = [&] {
            if (next == parents.size()) return false;
            const auto i = next++;
            const auto& parent = parents[i];
            llm::Request request;
            request.endpoint = settings_.endpoint;
            request.stage = "expand";
            request.item = parent.empty() ? fmt::format("level 1, round {}", round)
                                          : fmt::format("level {} of {}, round {}", level, parent, round);
            request.user = prompts_.expand(parent, draft_.children(parent), count);
            request.response_schema = expand_schema();
            ++report_.requests;
            asker_.submit(
                std::move(request),
                [parent](std::string_view answer) { return read_expand_answer(answer, parent).problem; },
                [this, &answers, i](llm::Reply reply) {
                    if (reply.status == llm::Reply::Status::answered) answers[i] = std::move(reply.text);
                    else if (reply.status == llm::Reply::Status::failed) ++report_.failed;
                });
            return next < parents.size();
        };
        llm::throw_if_ended_early(asker_.run(feed), "expand");
        return answers;
    }

    std::int64_t merge(const std::string& parent, const std::string& text) {
        if (text.empty()) return 0;
        auto answer = read_expand_answer(text, parent);
        report_.notes += answer.notes;
        std::vector<std::string> fresh;
        for (auto& path : answer.paths) {
            if (draft_.contains(path)) {
                ++report_.notes[Note::known_path];
                ++report_.exact_duplicates;
            } else {
                fresh.push_back(std::move(path));
            }
        }
        const auto stays = filter_.accept(fresh, unrelated);
        std::int64_t added = 0;
        for (std::size_t i = 0; i < fresh.size(); ++i)
            if (stays[i] && draft_.add(fresh[i])) ++added;
        return added;
    }

    const ExpandSettings& settings_;
    const Prompts& prompts_;
    asking::Asker& asker_;
    taxonomy::DuplicateFilter filter_;
    taxonomy::TaxonomyDraft draft_;
    ExpansionReport report_;
};

}  // namespace

Expanded expand_taxonomy(const std::vector<std::string>& given, const ExpandSettings& settings, const Prompts& prompts,
                         const taxonomy::Embedder& embedder, asking::Asker& asker,
                         const std::function<void(std::int64_t)>& progress) {
    Expansion expansion(settings, prompts, embedder, asker);
    expansion.give(given);
    const std::array targets{settings.level1_target, settings.level2_target, settings.level3_target};
    for (int level = 1; level <= taxonomy::deepest_level; ++level)
        expansion.fill_level(level, targets[static_cast<std::size_t>(level - 1)], progress);
    return std::move(expansion).finished();
}

Expanded given_taxonomy(const std::vector<std::string>& given, const ExpandSettings& settings,
                        const taxonomy::Embedder& embedder) {
    taxonomy::TaxonomyDraft draft;
    ExpansionReport report;
    for (const auto& path : given)
        if (!draft.add(path)) ++report.exact_duplicates;
    report.given = static_cast<std::int64_t>(draft.paths().size());
    taxonomy::DuplicateFilter filter(embedder, settings.duplicate_similarity);
    filter.keep(draft.paths(), unrelated);
    report.nearest = filter.nearest(static_cast<std::size_t>(settings.nearest_pairs));
    return {draft.finished(), std::move(report)};
}

}  // namespace tg::curation
