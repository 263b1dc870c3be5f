// The words after a command, read by Boost.Program_options. What is wrong with them is a UsageError that ends in the
// command's usage.
#pragma once

#include <boost/program_options.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "taskgalaxy/core/error.hpp"

namespace tg::app {

namespace po = boost::program_options;
using Arguments = std::vector<std::string>;

class CommandLine {
public:
    // Takes options, and up to `most` words that are none, which the usage calls `positional`.
    CommandLine(std::string_view command, const Arguments& arguments, const po::options_description& options,
                const char* positional, int most = 1);

    bool has(const char* option) const { return values_.count(option) > 0; }
    template <class T> T get(const char* option) const { return values_[option].as<T>(); }
    // Every time it was given; empty where it was not.
    Arguments all(const char* option) const { return has(option) ? get<Arguments>(option) : Arguments{}; }
    // The same, each cut at commas.
    Arguments list(const char* option) const;
    // The same as numbers from 1; `what` one of them is.
    std::vector<int> counts(const char* option, const char* what) const;

    Arguments words() const { return all(positional_); }
    // The first of them. Throws UsageError where there is none.
    std::string word() const;

    UsageError wrong(const std::string& what) const { return UsageError(what, "usage: taskgalaxy " + usage_); }

private:
    std::string usage_;
    const char* positional_;
    po::variables_map values_;
};

}  // namespace tg::app
