#include "read_job.hpp"

#include "taskgalaxy/core/error.hpp"
#include "taskgalaxy/core/text.hpp"

namespace tg::app {

pipeline::Job read_job(const parallel::Communicator& world, const std::string& path,
                       const std::vector<std::string>& sets, const std::vector<std::string>& only) {
    std::string text;
    parallel::together(world, [&] {
        if (!world.is_root()) return;
        try {
            text = read_text_file(path);
        } catch (const InputError& error) {
            throw UsageError(error.what(), "give the path of a job file, for example jobs/demo.cfg");
        }
    });
    text = world.broadcast(std::move(text));
    pipeline::Job job;
    parallel::together(world, [&] { job.read(path, text, sets, only); });
    return job;
}

}  // namespace tg::app
