// Values as messages between ranks: numbers, enumerations, texts, vectors, pairs, tuples, maps, optionals of those, and
// structs that name their fields once:
//   struct Expense {
//       std::string stage; double usd = 0;
//       template <class Self> static auto fields(Self& self) { return std::tie(self.stage, self.usd); }
//   };
// All ranks run one program on one kind of machine: numbers travel as they lie in memory.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <map>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

namespace tg::parallel {

namespace detail {

template <class T> struct IsPlain : std::bool_constant<std::is_arithmetic_v<T> || std::is_enum_v<T>> {};
template <class T, std::size_t n> struct IsPlain<std::array<T, n>> : IsPlain<T> {};

class MessageWriter {
public:
    template <class T> void put(const T& value) {
        if constexpr (IsPlain<T>::value) put_bytes(&value, sizeof value);
        else if constexpr (requires { T::fields(value); })
            std::apply([&](const auto&... field) { (put(field), ...); }, T::fields(value));
        else put_parts(value);
    }
    std::vector<std::byte> take() { return std::move(bytes_); }

private:
    void put_bytes(const void* data, std::size_t size) {
        const auto* begin = static_cast<const std::byte*>(data);
        bytes_.insert(bytes_.end(), begin, begin + size);
    }
    void put_size(std::size_t size) { put(static_cast<std::uint64_t>(size)); }

    void put_parts(const std::string& text) {
        put_size(text.size());
        put_bytes(text.data(), text.size());
    }
    template <class T> void put_parts(const std::vector<T>& values) {
        put_size(values.size());
        if constexpr (std::is_same_v<T, bool>)
            for (const bool value : values) put(value);
        else if constexpr (IsPlain<T>::value) put_bytes(values.data(), values.size() * sizeof(T));
        else
            for (const auto& value : values) put(value);
    }
    template <class K, class V> void put_parts(const std::map<K, V>& values) {
        put_size(values.size());
        for (const auto& entry : values) put(entry);
    }
    template <class A, class B> void put_parts(const std::pair<A, B>& both) { put(both.first), put(both.second); }
    template <class... T> void put_parts(const std::tuple<T...>& all) {
        std::apply([&](const auto&... part) { (put(part), ...); }, all);
    }
    template <class T> void put_parts(const std::optional<T>& value) {
        put(value.has_value());
        if (value) put(*value);
    }

    std::vector<std::byte> bytes_;
};

class MessageReader {
public:
    explicit MessageReader(std::span<const std::byte> bytes) : left_(bytes) {}
    template <class T> T take() {
        T value{};
        read(value);
        return value;
    }
    bool at_end() const { return left_.empty(); }

private:
    template <class T> void read(T& value) {
        if constexpr (IsPlain<T>::value) read_bytes(&value, sizeof value);
        else if constexpr (requires { T::fields(value); })
            std::apply([&](auto&... field) { (read(field), ...); }, T::fields(value));
        else read_parts(value);
    }
    void read_bytes(void* data, std::size_t size) {
        if (size > left_.size()) throw std::logic_error("a message between ranks is shorter than its type says");
        if (size > 0) std::memcpy(data, left_.data(), size);
        left_ = left_.subspan(size);
    }
    std::size_t read_size() { return static_cast<std::size_t>(take<std::uint64_t>()); }

    void read_parts(std::string& text) {
        text.resize(read_size());
        read_bytes(text.data(), text.size());
    }
    template <class T> void read_parts(std::vector<T>& values) {
        values.resize(read_size());
        if constexpr (std::is_same_v<T, bool>)
            for (std::size_t i = 0; i < values.size(); ++i) values[i] = take<bool>();
        else if constexpr (IsPlain<T>::value) read_bytes(values.data(), values.size() * sizeof(T));
        else
            for (auto& value : values) read(value);
    }
    template <class K, class V> void read_parts(std::map<K, V>& values) {
        for (auto left = read_size(); left > 0; --left) {
            auto key = take<K>();
            values.insert_or_assign(std::move(key), take<V>());
        }
    }
    template <class A, class B> void read_parts(std::pair<A, B>& both) { read(both.first), read(both.second); }
    template <class... T> void read_parts(std::tuple<T...>& all) {
        std::apply([&](auto&... part) { (read(part), ...); }, all);
    }
    template <class T> void read_parts(std::optional<T>& value) {
        if (take<bool>()) value = take<T>();
        else value.reset();
    }

    std::span<const std::byte> left_;
};

}  // namespace detail

template <class T> std::vector<std::byte> to_message(const T& value) {
    detail::MessageWriter writer;
    writer.put(value);
    return writer.take();
}

// Throws std::logic_error where the bytes are not one T, all of them.
template <class T> T from_message(std::span<const std::byte> bytes) {
    detail::MessageReader reader(bytes);
    auto value = reader.take<T>();
    if (!reader.at_end()) throw std::logic_error("a message between ranks is longer than its type says");
    return value;
}

}  // namespace tg::parallel
