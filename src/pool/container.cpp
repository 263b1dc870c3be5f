#include "taskgalaxy/pool/container.hpp"

#include <span>
#include <type_traits>

namespace tg::pool {
namespace {

// One text column, joined; `writes` as in write_containers.
void write_column(storage::Hdf5File& file, const std::string& name, const std::vector<std::string>& texts,
                  bool writes) {
    std::vector<std::uint8_t> bytes;
    std::vector<std::uint32_t> lengths;
    for (const auto& text : texts) {
        bytes.insert(bytes.end(), text.begin(), text.end());
        lengths.push_back(static_cast<std::uint32_t>(text.size()));
    }
    const auto write = [&](const std::string& dataset, const auto& values) {
        using T = typename std::decay_t<decltype(values)>::value_type;
        const std::uint64_t shape[] = {values.size()};
        file.make_dataset(dataset, storage::hdf5_type<T>(), shape);
        file.write_rows(dataset, 0, writes ? values.size() : 0,
                        writes ? std::span<const T>(values) : std::span<const T>());
    };
    write(name + "/bytes", bytes);
    write(name + "/lengths", lengths);
}

}  // namespace

void write_containers(storage::Hdf5File& file, const std::vector<Container>& containers, bool writes) {
    std::vector<std::string> paths, prefixes;
    std::vector<std::uint8_t> kinds;
    for (const auto& container : containers) {
        paths.push_back(container.path.string());
        prefixes.push_back(container.prefix);
        kinds.push_back(static_cast<std::uint8_t>(container.kind));
    }
    write_column(file, "containers/path", paths, writes);
    write_column(file, "containers/prefix", prefixes, writes);
    const std::uint64_t shape[] = {kinds.size()};
    file.make_dataset("containers/kind", storage::Hdf5Type::u8, shape);
    file.write_rows("containers/kind", 0, writes ? kinds.size() : 0,
                    writes ? std::span<const std::uint8_t>(kinds) : std::span<const std::uint8_t>());
}

std::vector<Container> read_containers(const storage::Hdf5File& file) {
    const storage::TextColumn paths(file, "containers/path"), prefixes(file, "containers/prefix");
    const auto kinds = file.read<std::uint8_t>("containers/kind");
    std::vector<Container> containers;
    for (std::size_t i = 0; i < kinds.size(); ++i)
        containers.push_back(
            {static_cast<Container::Kind>(kinds[i]), std::filesystem::path(paths[i]), std::string(prefixes[i])});
    return containers;
}

}  // namespace tg::pool
