#include "preparer.hpp"

#include "request_key.hpp"
#include "taskgalaxy/core/error.hpp"

namespace tg::llm {

bool Preparer::prepare(Job* job) {
    if (!job->request.image) {
        make(*job);
        return true;
    }
    encoders_.submit([this, job] {
        make(*job);
        inbox_.put_prepared(job);
    });
    return false;
}

void Preparer::make(Job& job) const {
    try {
        std::shared_ptr<const ChatImage> image;
        if (job.request.image) {
            image = job.request.image();
            if (!image) throw InputError("there is no picture");
        }
        job.estimate = estimate(endpoints_.at(job.request.endpoint), job.request, image.get());
        job.message = transport_.prepare(job.request, image.get(), job.askings);
    } catch (const std::exception& e) {
        job.problem = e.what();
    }
}

}  // namespace tg::llm
