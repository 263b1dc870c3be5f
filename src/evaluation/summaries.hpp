// How the answers of one benchmark become its numbers; the column `summarise` of the suite. The headline is the first
// figure.
#pragma once

#include <span>
#include <vector>

#include "suite.hpp"

namespace tg::evaluation {

using Figuring = std::vector<ScoreFigure>(std::span<const Question>, std::span<const Mark>);

Figuring by_category;  // mean credit x 100; beside it by split, l2-category and category
Figuring by_circle;    // MMBench: groups of rotations
Figuring by_mme_task;
Figuring by_f1;                   // POPE: F1 first
Figuring by_yes_no;               // the same figures, accuracy first
Figuring by_figure_and_question;  // HallusionBench
Figuring by_skill;                // MathVista
Figuring by_capability;           // MM-Vet
Figuring by_relative_score;       // LLaVA-in-the-wild

}  // namespace tg::evaluation
