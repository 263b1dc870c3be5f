#include "moments.hpp"

#include <algorithm>
#include <cmath>

#include <ATen/ops/_fused_adamw.h>

namespace tg::training {

using torch::Tensor;

namespace {

constexpr std::int64_t piece =
    std::int64_t{1} << 22;  // elements in fp32 at once where moments are kept otherwise; a multiple of a block

// Section 1.3 of the paper: the decimal exponent takes the bits up to the first set one, the rest divides [0.1, 1]
// evenly.
std::vector<float> dynamic_map(bool is_signed) {
    std::vector<float> values{0, 1};
    for (int exponent = 0; exponent < 7; ++exponent) {
        const int parts = 1 << (is_signed ? exponent : exponent + 1);
        for (int part = 0; part < parts; ++part) {
            const auto value = static_cast<float>(std::pow(10.0, exponent - 6) * (0.1 + 0.9 * (part + 0.5) / parts));
            values.push_back(value);
            if (is_signed) values.push_back(exponent == 0 ? -1.0f : -value);
        }
    }
    std::sort(values.begin(), values.end());
    return values;
}

}  // namespace

BlockCodes::BlockCodes(std::int64_t size, torch::Device device, bool is_signed) : signed_(is_signed) {
    const auto blocks = (size + block - 1) / block;
    map_ = torch::tensor(dynamic_map(is_signed)).to(device);
    borders_ = (map_.narrow(0, 0, 255) + map_.narrow(0, 1, 255)) / 2;
    codes_ = torch::zeros({blocks, block}, torch::dtype(torch::kUInt8).device(device));
    largest_ = torch::zeros({blocks}, torch::dtype(torch::kFloat32).device(device));
}

Tensor BlockCodes::read(std::int64_t from, std::int64_t count) const {
    const auto first = from / block, blocks = (count + block - 1) / block;
    const auto values =
        map_.index_select(0, codes_.narrow(0, first, blocks).reshape({-1}).to(torch::kInt32)).view({blocks, block});
    return values.mul_(largest_.narrow(0, first, blocks).unsqueeze(1)).view({-1}).narrow(0, 0, count);
}

void BlockCodes::write(std::int64_t from, const Tensor& values) {
    const auto first = from / block, blocks = (values.numel() + block - 1) / block;
    auto rows = values;
    if (const auto missing = blocks * block - values.numel())
        rows = torch::cat({values, torch::zeros({missing}, values.options())});
    rows = rows.view({blocks, block});
    const auto largest = rows.abs().amax(1);
    auto codes = torch::bucketize(rows / largest.clamp_min(1e-38).unsqueeze(1), borders_, true);
    if (signed_) codes.masked_fill_((largest == 0).unsqueeze(1), 127);  // the code of zero
    else codes = torch::where(rows > 0, codes.clamp_min(1), torch::zeros_like(codes));
    codes_.narrow(0, first, blocks).copy_(codes);
    largest_.narrow(0, first, blocks).copy_(largest);
}

Moments::Moments(std::int64_t size, torch::Device device, MomentFormat format) : format_(format), size_(size) {
    if (format == MomentFormat::int8) {
        first_codes_ = BlockCodes(size, device, true);
        second_codes_ = BlockCodes(size, device, false);
        return;
    }
    auto where =
        torch::dtype(torch::kFloat32).device(format == MomentFormat::host ? torch::Device(torch::kCPU) : device);
    if (format == MomentFormat::host && device.is_cuda())
        where = where.pinned_memory(true);  // so that copies run at the bus's rate
    first_ = torch::zeros({size}, where);
    second_ = torch::zeros({size}, where);
}

void Moments::step(const Tensor& master, const Tensor& gradient, const std::vector<DecayRange>& ranges,
                   const AdamW& adam, double rate, std::int64_t number) {
    const auto count = torch::full({}, static_cast<double>(number), torch::kFloat32).to(master.device());
    const bool in_place = format_ == MomentFormat::fp32 || (format_ == MomentFormat::host && master.is_cpu());
    const auto length = in_place ? size_ : piece;
    for (std::int64_t begin = 0; begin < size_; begin += length) {
        const auto n = std::min(length, size_ - begin);
        auto first = format_ == MomentFormat::int8 ? first_codes_.read(begin, n) : first_.narrow(0, begin, n);
        auto second = format_ == MomentFormat::int8 ? second_codes_.read(begin, n) : second_.narrow(0, begin, n);
        if (format_ == MomentFormat::host && !in_place)
            first = first.to(master.device()), second = second.to(master.device());
        for (const auto& range : ranges) {
            const auto from = std::max(range.from, begin), to = std::min(range.from + range.count, begin + n);
            if (from >= to) continue;
            std::vector<Tensor> weights{master.narrow(0, from, to - from)}, grads{gradient.narrow(0, from, to - from)},
                firsts{first.narrow(0, from - begin, to - from)}, seconds{second.narrow(0, from - begin, to - from)},
                none, counts{count};
            at::_fused_adamw_(weights, grads, firsts, seconds, none, counts, rate, adam.beta1, adam.beta2, range.decay,
                              adam.epsilon, false, false);
        }
        if (format_ == MomentFormat::int8) first_codes_.write(begin, first), second_codes_.write(begin, second);
        else if (!in_place) first_.narrow(0, begin, n).copy_(first), second_.narrow(0, begin, n).copy_(second);
    }
}

Tensor Moments::first(std::int64_t count) const {
    return format_ == MomentFormat::int8 ? first_codes_.read(0, count) : first_.narrow(0, 0, count);
}
Tensor Moments::second(std::int64_t count) const {
    return format_ == MomentFormat::int8 ? second_codes_.read(0, count) : second_.narrow(0, 0, count);
}

void Moments::set_first(const Tensor& values) {
    if (format_ == MomentFormat::int8) first_codes_.write(0, values.to(first_codes_.device()));
    else first_.narrow(0, 0, values.numel()).copy_(values);
}

void Moments::set_second(const Tensor& values) {
    if (format_ == MomentFormat::int8) second_codes_.write(0, values.to(second_codes_.device()));
    else second_.narrow(0, 0, values.numel()).copy_(values);
}

std::int64_t Moments::bytes_of(std::int64_t size, MomentFormat format, bool host_apart) {
    if (format == MomentFormat::int8)
        return 2 * ((size + BlockCodes::block - 1) / BlockCodes::block) * (BlockCodes::block + 4);
    return format == MomentFormat::host && host_apart ? 0 : 8 * size;
}

}  // namespace tg::training
