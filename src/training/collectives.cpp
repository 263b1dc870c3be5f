#include "collectives.hpp"

#include <chrono>

#include "taskgalaxy/core/error.hpp"

namespace tg {

namespace {

template <class T> std::span<T> span_of(const torch::Tensor& tensor) { return {static_cast<T*>(tensor.data_ptr()), static_cast<std::size_t>(tensor.numel()) * tensor.element_size() / sizeof(T)}; }

class HostCollectives : public Collectives {
public:
    explicit HostCollectives(const Communicator& ranks) : Collectives(ranks) {}

protected:
    void gather_flat(const torch::Tensor& mine, const torch::Tensor& all) override { ranks_.all_gather(span_of<const std::byte>(mine), span_of<std::byte>(all)); }
    void reduce_flat(const torch::Tensor& all, const torch::Tensor& mine) override { ranks_.reduce_scatter_sum(span_of<const float>(all), span_of<float>(mine)); }
};

class Timed {
public:
    explicit Timed(double& seconds) : seconds_(seconds) {}
    ~Timed() { seconds_ += std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count(); }

private:
    double& seconds_;
    std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

}  // namespace

void Collectives::all_gather(const torch::Tensor& mine, const torch::Tensor& all) {
    if (size() == 1) {
        if (mine.data_ptr() != all.data_ptr()) all.copy_(mine);
        return;
    }
    const Timed timed(figures_.seconds);
    figures_.bytes_sent += static_cast<std::uint64_t>(mine.numel()) * mine.element_size() * static_cast<std::uint64_t>(size() - 1);
    gather_flat(mine, all);
}

void Collectives::reduce_scatter_sum(const torch::Tensor& all, const torch::Tensor& mine) {
    if (size() == 1) {
        if (mine.data_ptr() != all.data_ptr()) mine.copy_(all);
        return;
    }
    const Timed timed(figures_.seconds);
    figures_.bytes_sent += static_cast<std::uint64_t>(mine.numel()) * mine.element_size() * static_cast<std::uint64_t>(size() - 1);
    reduce_flat(all, mine);
}

double Collectives::sum(double mine) {
    const Timed timed(figures_.seconds);
    return ranks_.sum(mine);
}

std::unique_ptr<Collectives> make_collectives(const Communicator& ranks, const torch::Device& device) {
    if (device.is_cpu()) return std::make_unique<HostCollectives>(ranks);
    if (ranks.size() == 1) return std::make_unique<HostCollectives>(ranks);  // one rank: only copies on its own device
    throw UsageError("training over several GPUs is not in this build", "set train.device = cpu, or run one rank");
}

}  // namespace tg
