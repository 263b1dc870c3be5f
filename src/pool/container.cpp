#include "taskgalaxy/pool/container.hpp"

#include "taskgalaxy/storage/dataset.hpp"

namespace tg::pool {
namespace {

namespace container_sets {
constexpr storage::Dataset<std::string> path{"containers/path"}, prefix{"containers/prefix"};
constexpr storage::Dataset<std::uint8_t> kind{"containers/kind"};
}  // namespace container_sets

}  // namespace

void write_containers(storage::Hdf5File& file, const std::vector<Container>& containers, bool writes) {
    std::vector<std::string> paths, prefixes;
    std::vector<std::uint8_t> kinds;
    for (const auto& container : containers) {
        paths.push_back(container.path.string());
        prefixes.push_back(container.prefix);
        kinds.push_back(static_cast<std::uint8_t>(container.kind));
    }
    container_sets::path.write_together(file, paths, writes);
    container_sets::prefix.write_together(file, prefixes, writes);
    container_sets::kind.write_together(file, kinds, {kinds.size()}, writes);
}

std::vector<Container> read_containers(const storage::Hdf5File& file) {
    const auto paths = container_sets::path.column(file), prefixes = container_sets::prefix.column(file);
    const auto kinds = container_sets::kind.read(file);
    std::vector<Container> containers;
    for (std::size_t i = 0; i < kinds.size(); ++i)
        containers.push_back(
            {static_cast<Container::Kind>(kinds[i]), std::filesystem::path(paths[i]), std::string(prefixes[i])});
    return containers;
}

}  // namespace tg::pool
