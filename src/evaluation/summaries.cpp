#include "summaries.hpp"

#include <algorithm>
#include <array>
#include <fmt/format.h>
#include <map>

#include "python_text.hpp"
#include "taskgalaxy/core/error.hpp"
#include "taskgalaxy/core/text.hpp"
#include "taskgalaxy/evaluation/list_literal.hpp"

namespace tg::evaluation {
namespace {

struct Mean {
    double sum = 0;
    std::uint64_t items = 0;
    void add(double value) {
        sum += value;
        ++items;
    }
    double value() const { return items == 0 ? 0 : sum / static_cast<double>(items); }
};

ScoreFigure share(std::string name, const Mean& mean) { return {std::move(name), 100 * mean.value(), 100, mean.items}; }

// Means by what `names_of` says of each question, appended in name order.
template <class NamesOf> void add_groups(std::vector<ScoreFigure>& figures, std::span<const Question> questions,
                                         std::span<const Mark> marks, std::string_view prefix, NamesOf names_of) {
    std::map<std::string, Mean> groups;
    for (std::size_t i = 0; i < questions.size(); ++i)
        for (const auto& name : names_of(questions[i])) groups[name].add(marks[i].credit);
    for (const auto& [name, mean] : groups) figures.push_back(share(fmt::format("{}{}", prefix, name), mean));
}

std::vector<std::string> cell_or_none(const Question& question, const char* column) {
    const auto* cell = question.find(column);
    return cell ? std::vector{*cell} : std::vector<std::string>{};
}

void add_usual_groups(std::vector<ScoreFigure>& figures, std::span<const Question> questions,
                      std::span<const Mark> marks) {
    for (const char* column : {"split", "l2-category", "category"})
        add_groups(figures, questions, marks, fmt::format("{}: ", column),
                   [&](const Question& q) { return cell_or_none(q, column); });
}

Mean mean_credit(std::span<const Mark> marks) {
    Mean mean;
    for (const auto& mark : marks) mean.add(mark.credit);
    return mean;
}

// Share of groups in which every answer is right.
Mean all_right(const std::map<std::string, bool>& groups) {
    Mean mean;
    for (const auto& [name, right] : groups) mean.add(right ? 1 : 0);
    return mean;
}

void join_group(std::map<std::string, bool>& groups, const std::string& name, bool right) {
    auto& all = groups.try_emplace(name, true).first->second;
    all = all && right;
}

struct YesCounts {
    std::uint64_t true_yes = 0, false_yes = 0, missed_yes = 0, right = 0, items = 0;

    void add(const Question& question, const Mark& mark) {
        const bool yes = lower_ascii(trimmed(question.text("answer"))) == "yes";
        const bool said_yes =
            mark.said == "Yes";  // what is neither yes nor no counts as no here, and as wrong in the accuracy
        true_yes += yes && said_yes;
        false_yes += !yes && said_yes;
        missed_yes += yes && !said_yes;
        right += mark.credit > 0;
        ++items;
    }
    static double ratio(std::uint64_t part, std::uint64_t whole) {
        return whole == 0 ? 0 : static_cast<double>(part) / static_cast<double>(whole);
    }
    double precision() const { return ratio(true_yes, true_yes + false_yes); }
    double recall() const { return ratio(true_yes, true_yes + missed_yes); }
    double f1() const { return ratio(2 * true_yes, 2 * true_yes + false_yes + missed_yes); }
    double accuracy() const { return ratio(right, items); }
};

std::vector<ScoreFigure> yes_no_figures(std::span<const Question> questions, std::span<const Mark> marks,
                                        bool f1_first) {
    YesCounts all;
    std::map<std::string, YesCounts> splits;
    for (std::size_t i = 0; i < questions.size(); ++i) {
        // A row stands for each of its categories (POPE: random, popular, adversarial), in the overall numbers too.
        const auto* categories = questions[i].find("category");
        if (!categories) all.add(questions[i], marks[i]);
        else
            for (const auto& category : split(*categories, ',')) {
                all.add(questions[i], marks[i]);
                splits[category].add(questions[i], marks[i]);
            }
    }
    std::vector<ScoreFigure> figures{{"f1", 100 * all.f1(), 100, all.items},
                                     {"accuracy", 100 * all.accuracy(), 100, all.items}};
    if (!f1_first) std::swap(figures[0], figures[1]);
    figures.push_back({"precision", 100 * all.precision(), 100, all.items});
    figures.push_back({"recall", 100 * all.recall(), 100, all.items});
    for (const auto& [name, counts] : splits) {
        figures.push_back({"f1, " + name, 100 * counts.f1(), 100, counts.items});
        figures.push_back({"accuracy, " + name, 100 * counts.accuracy(), 100, counts.items});
    }
    return figures;
}

}  // namespace

std::vector<ScoreFigure> by_category(std::span<const Question> questions, std::span<const Mark> marks) {
    std::vector<ScoreFigure> figures{share("overall", mean_credit(marks))};
    add_usual_groups(figures, questions, marks);
    return figures;
}

std::vector<ScoreFigure> by_circle(std::span<const Question> questions, std::span<const Mark> marks) {
    constexpr long long rotation_step = 1'000'000;
    const auto number = [](const Question& question, const std::string& text) {
        // pandas writes whole numbers of a column with gaps as 7.0
        if (const auto whole = python::to_int(text)) return *whole;
        if (const auto real = python::to_float(text);
            real && *real == static_cast<double>(static_cast<long long>(*real)))
            return static_cast<long long>(*real);
        throw InputError(fmt::format("question '{}': circular scoring needs whole numbers in 'index' and 'g_index'",
                                     question.index));
    };
    std::map<long long, bool> groups;
    for (std::size_t i = 0; i < questions.size(); ++i) {
        const auto* group = questions[i].find("g_index");
        const auto id = group ? number(questions[i], *group) : number(questions[i], questions[i].index) % rotation_step;
        auto& all = groups.try_emplace(id, true).first->second;
        all = all && marks[i].credit > 0;
    }
    // A group is told by its base row: the row whose index is the group's number.
    std::vector<Question> base;
    std::vector<Mark> base_verdicts;
    Mean vanilla;
    for (std::size_t i = 0; i < questions.size(); ++i) {
        const auto found = groups.find(number(questions[i], questions[i].index));
        const auto* group = questions[i].find("g_index");
        if (found == groups.end() || (group && number(questions[i], *group) != found->first)) continue;
        base.push_back(questions[i]);
        base_verdicts.push_back({.said = "", .credit = found->second ? 1.0 : 0.0});
        vanilla.add(marks[i].credit);
    }
    std::vector<ScoreFigure> figures{share("overall", mean_credit(base_verdicts)), share("one rotation only", vanilla)};
    add_usual_groups(figures, base, base_verdicts);
    return figures;
}

std::vector<ScoreFigure> by_mme_task(std::span<const Question> questions, std::span<const Mark> marks) {
    constexpr std::array cognition{"commonsense_reasoning", "numerical_calculation", "text_translation",
                                   "code_reasoning"};
    std::map<std::string, Mean> answers;
    std::map<std::string, std::map<std::string, bool>> pictures;
    for (std::size_t i = 0; i < questions.size(); ++i) {
        const auto& task = questions[i].text("category");
        answers[task].add(marks[i].credit);
        join_group(pictures[task], questions[i].text("image_path"), marks[i].credit > 0);
    }
    ScoreFigure total{"total", 0, 0, questions.size()}, perception{"perception", 0, 0, 0},
        reasoning{"cognition", 0, 0, 0};
    std::vector<ScoreFigure> tasks;
    for (const auto& [task, mean] : answers) {
        const ScoreFigure score{"task: " + task, 100 * mean.value() + 100 * all_right(pictures[task]).value(), 200,
                                mean.items};
        auto& part = std::find(cognition.begin(), cognition.end(), task) == cognition.end() ? perception : reasoning;
        for (auto* sum : {&total, &part}) {
            sum->value += score.value;
            sum->full += score.full;
        }
        part.items += score.items;
        tasks.push_back(score);
    }
    std::vector<ScoreFigure> figures{total};
    for (const auto& part : {perception, reasoning})
        if (part.items > 0) figures.push_back(part);
    figures.insert(figures.end(), tasks.begin(), tasks.end());
    return figures;
}

std::vector<ScoreFigure> by_f1(std::span<const Question> questions, std::span<const Mark> marks) {
    return yes_no_figures(questions, marks, true);
}

std::vector<ScoreFigure> by_yes_no(std::span<const Question> questions, std::span<const Mark> marks) {
    return yes_no_figures(questions, marks, false);
}

std::vector<ScoreFigure> by_figure_and_question(std::span<const Question> questions, std::span<const Mark> marks) {
    struct Part {
        Mean answers;
        std::map<std::string, bool> figures, questions;
    };
    std::map<std::string, Part> parts{{"", {}}};  // "": all
    for (std::size_t i = 0; i < questions.size(); ++i) {
        const auto fields = split(questions[i].index, '_');
        if (fields.size() < 6)
            throw InputError(
                fmt::format("question '{}': HallusionBench's index must have its set, figure and question as fields 4 "
                            "to 6, set apart by '_'",
                            questions[i].index));
        const auto stem = fmt::format("{}_{}", questions[i].text("l2-category"), fields[3]);
        const bool right = marks[i].credit > 0;
        std::vector<std::string> names{""};
        for (const char* column : {"category", "l2-category"})
            for (const auto& name : cell_or_none(questions[i], column))
                names.push_back(fmt::format("{}: {}", column, name));
        for (const auto& name : names) {
            auto& part = parts[name];
            part.answers.add(marks[i].credit);
            join_group(part.figures, stem + "_" + fields[4], right);
            join_group(part.questions, stem + "_" + fields[5], right);
        }
    }
    std::vector<ScoreFigure> figures;
    for (const auto& [name, part] : parts) {
        const auto answers = share("aAcc", part.answers), by_figure = share("fAcc", all_right(part.figures)),
                   by_question = share("qAcc", all_right(part.questions));
        const ScoreFigure mean{name.empty() ? "overall" : name,
                               (answers.value + by_figure.value + by_question.value) / 3, 100, part.answers.items};
        figures.push_back(mean);
        for (auto figure : {answers, by_figure, by_question}) {
            if (!name.empty()) figure.name = fmt::format("{}, {}", figure.name, name);
            figures.push_back(figure);
        }
    }
    return figures;
}

std::vector<ScoreFigure> by_skill(std::span<const Question> questions, std::span<const Mark> marks) {
    Mean read;
    for (const auto& mark : marks) read.add(mark.understood ? 1 : 0);
    std::vector<ScoreFigure> figures{share("overall", mean_credit(marks)), share("answers read", read)};
    add_groups(figures, questions, marks, "task: ", [](const Question& q) { return cell_or_none(q, "task"); });
    add_groups(figures, questions, marks, "skill: ", [](const Question& q) {
        return parse_list_literal(q.text("skills")).value_or(cell_or_none(q, "skills"));
    });
    return figures;
}

std::vector<ScoreFigure> by_capability(std::span<const Question> questions, std::span<const Mark> marks) {
    std::vector<ScoreFigure> figures{share("overall", mean_credit(marks))};
    add_groups(figures, questions, marks, "capability: ", [](const Question& q) {
        return q.find("category") ? split(q.text("category"), ',') : std::vector<std::string>{};
    });
    return figures;
}

std::vector<ScoreFigure> by_relative_score(std::span<const Question> questions, std::span<const Mark> marks) {
    std::map<std::string, std::pair<Mean, Mean>> parts;  // model, reference
    std::uint64_t unread = 0;
    for (std::size_t i = 0; i < questions.size(); ++i) {
        if (!marks[i].understood) {
            ++unread;
            continue;
        }
        for (const auto& name : {std::string("overall"), "category: " + questions[i].text("category")}) {
            parts[name].first.add(marks[i].credit);
            parts[name].second.add(marks[i].against);
        }
    }
    std::vector<ScoreFigure> figures;
    const auto add = [&](const std::string& name) {
        const auto& [model, reference] = parts[name];
        figures.push_back(
            {name, reference.value() == 0 ? 0 : 100 * model.value() / reference.value(), 100, model.items});
    };
    add("overall");
    for (const auto& [name, means] : std::map(parts))
        if (name != "overall") add(name);
    figures.push_back({"left out: judge's scores unreadable", static_cast<double>(unread),
                       static_cast<double>(std::max<std::size_t>(questions.size(), 1)), unread});
    return figures;
}

}  // namespace tg::evaluation
