// Datasets and tables of HDF5 files, named and typed once, so that what writes a column and what reads it are the same
// value and cannot drift. Who owns a file keeps its Datasets and Columns beside its writer and its reader. Errors are
// those of Hdf5File: StorageError naming file and dataset.
#pragma once

#include <cstdint>
#include <fmt/format.h>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "taskgalaxy/core/error.hpp"
#include "taskgalaxy/storage/hdf5.hpp"

namespace tg::storage {

// Numbers of type T in one dataset of any shape.
template <class T> struct Dataset {
    std::string_view name;

    void write(Hdf5File& file, const std::vector<T>& values) const { file.write(name, values); }
    void write(Hdf5File& file, std::span<const T> values, std::initializer_list<std::uint64_t> shape) const {
        file.write(name, values, std::span(shape.begin(), shape.size()));
    }
    // Collective on files made together: every rank gives the shape, the one that `writes` the values.
    void write_together(Hdf5File& file, std::span<const T> values, std::initializer_list<std::uint64_t> shape,
                        bool writes) const {
        file.make_dataset(name, hdf5_type<T>(), std::span(shape.begin(), shape.size()));
        write_again(file, values, *shape.begin(), writes);
    }
    // Its first `rows` rows once more, where the dataset is there already. Collective in the same way.
    void write_again(Hdf5File& file, std::span<const T> values, std::uint64_t rows, bool writes) const {
        file.write_rows(name, 0, writes ? rows : 0, writes ? values : std::span<const T>());
    }

    std::uint64_t rows(const Hdf5File& file) const { return file.rows(name); }
    // Numbers in a row: D of [N,D].
    std::uint64_t width(const Hdf5File& file) const { return file.row_elements(name); }
    std::vector<T> read(const Hdf5File& file) const { return file.read<T>(name); }
    std::vector<T> read(const Hdf5File& file, std::uint64_t first, std::uint64_t count) const {
        return file.read_rows<T>(name, first, count);
    }
};

// A column of texts.
template <> struct Dataset<std::string> {
    std::string_view name;

    void write(Hdf5File& file, const std::vector<std::string>& texts) const { file.write_texts(name, texts); }
    void write_together(Hdf5File& file, const std::vector<std::string>& texts, bool writes) const {
        file.write_texts(name, texts, writes);
    }
    std::vector<std::string> read(const Hdf5File& file) const { return file.read_texts(name); }
    TextColumn column(const Hdf5File& file) const { return TextColumn(file, name); }
};

// A column of a table of rows: its dataset, and the member of a row that lies in it. Truth values lie there as u8.
template <class Row, class T> struct Column {
    std::string_view name;
    T Row::*member;
    using Stored = std::conditional_t<std::is_same_v<T, bool>, std::uint8_t, T>;
};
template <class Row, class T> Column(const char*, T Row::*) -> Column<Row, T>;

// One dataset a column, GROUP/NAME each, in the order of the columns. Collective on files made together: every rank
// gives the rows, one `writes` them.
template <class Row, class... T> void write_table(Hdf5File& file, const std::string& group,
                                                  const std::tuple<Column<Row, T>...>& columns,
                                                  const std::vector<Row>& rows, bool writes = true) {
    const auto write = [&](const auto& column) {
        using Stored = typename std::decay_t<decltype(column)>::Stored;
        std::vector<Stored> values;
        values.reserve(rows.size());
        for (const auto& row : rows) values.push_back(row.*column.member);
        const auto name = group + std::string(column.name);
        const Dataset<Stored> dataset{name};
        if constexpr (std::is_same_v<Stored, std::string>) dataset.write_together(file, values, writes);
        else dataset.write_together(file, values, {values.size()}, writes);
    };
    std::apply([&](const auto&... column) { (write(column), ...); }, columns);
}

// Throws StorageError where a column is not as long as the first.
template <class Row, class... T> std::vector<Row> read_table(const Hdf5File& file, const std::string& group,
                                                             const std::tuple<Column<Row, T>...>& columns) {
    std::vector<Row> rows;
    bool first = true;
    const auto read = [&](const auto& column) {
        using Member = std::decay_t<decltype(rows[0].*column.member)>;
        const auto name = group + std::string(column.name);
        const auto values = Dataset<typename std::decay_t<decltype(column)>::Stored>{name}.read(file);
        if (std::exchange(first, false)) rows.resize(values.size());
        if (values.size() != rows.size())
            throw StorageError(fmt::format("{} /{}: {} rows beside {} of /{}{}", file.path().string(), name,
                                           values.size(), rows.size(), group, std::get<0>(columns).name),
                               "remove the file and run its stage again");
        for (std::size_t i = 0; i < rows.size(); ++i) rows[i].*column.member = static_cast<Member>(values[i]);
    };
    std::apply([&](const auto&... column) { (read(column), ...); }, columns);
    return rows;
}

}  // namespace tg::storage
