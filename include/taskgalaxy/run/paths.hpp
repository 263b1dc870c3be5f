// Where things lie in a run directory, and what its files are called. Who owns which:
//   pool.h5                                    pool/pool_table.hpp
//   taxonomy.h5                                taxonomy/taxonomy.hpp
//   image_embeddings.h5, text_embeddings.h5    run/embedding_table.hpp
//   matches.h5                                 run/match_table.hpp
//   samples.h5                                 run/sample_table.hpp
//   training_log.h5                            run/training_log_table.hpp
//   evaluation.h5                              run/evaluation_table.hpp
//   run.h5                                     run/record.hpp
//   log/costs.csv                              run/cost_log.hpp
#pragma once

#include <filesystem>
#include <string_view>
#include <utility>

namespace tg::run {

namespace files {
inline constexpr auto pool = "pool.h5";
inline constexpr auto taxonomy = "taxonomy.h5";
inline constexpr auto image_embeddings = "image_embeddings.h5";
inline constexpr auto text_embeddings = "text_embeddings.h5";
inline constexpr auto matches = "matches.h5";
inline constexpr auto samples = "samples.h5";
inline constexpr auto training_log = "training_log.h5";
inline constexpr auto evaluation = "evaluation.h5";
inline constexpr auto record = "run.h5";
inline constexpr auto job = "job.cfg";
}  // namespace files

class Paths {
public:
    explicit Paths(std::filesystem::path root) : root_(std::move(root)) {}
    const std::filesystem::path& root() const { return root_; }
    std::filesystem::path file(std::string_view name) const { return root_ / name; }
    std::filesystem::path parts(std::string_view stage) const { return root_ / "parts" / stage; }
    std::filesystem::path journal() const { return root_ / "journal"; }
    std::filesystem::path checkpoints() const { return root_ / "checkpoints"; }
    std::filesystem::path exported() const { return root_ / "export"; }
    std::filesystem::path report() const { return root_ / "report"; }
    std::filesystem::path log() const { return root_ / "log"; }
    std::filesystem::path progress() const { return root_ / "progress"; }

private:
    std::filesystem::path root_;
};

}  // namespace tg::run
