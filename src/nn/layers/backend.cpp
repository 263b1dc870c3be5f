#include "backend.hpp"

#include <array>
#include <fmt/format.h>
#include <utility>

namespace tg::layers::ops {
namespace {

thread_local std::optional<Backend> only_backend;

}  // namespace

std::string_view backend_name(Backend backend) {
    constexpr std::array<std::string_view, 7> names{"cuda", "narrow", "wide", "dense", "rows", "flash", "aten"};
    return names.at(static_cast<std::size_t>(backend));
}

UseOnly::UseOnly(std::optional<Backend> backend) : before_(std::exchange(only_backend, backend)) {}
UseOnly::~UseOnly() { only_backend = before_; }
std::optional<Backend> UseOnly::current() { return only_backend; }

CannotRun::CannotRun(std::string_view op, Backend backend)
    : std::logic_error(
          fmt::format("{}: nothing of backend {} can run on these tensors here", op, backend_name(backend))) {}

}  // namespace tg::layers::ops
