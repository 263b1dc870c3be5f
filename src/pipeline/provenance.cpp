#include "taskgalaxy/pipeline/provenance.hpp"

#include <boost/version.hpp>
#include <cstdlib>
#include <curl/curl.h>
#include <fmt/format.h>
#include <sys/utsname.h>
#include <thread>

#include "taskgalaxy/core/text.hpp"
#include "taskgalaxy/core/threads.hpp"

namespace tg::pipeline {

std::string version() { return TG_VERSION " (" TG_COMMIT ")"; }

std::string library_versions() {
    return fmt::format("MPI {}, HDF5 {}, libtorch {}, libcurl {}, Boost {}.{}.{}, gcc {}", TG_MPI_VERSION,
                       TG_HDF5_VERSION, TG_TORCH_VERSION, curl_version_info(CURLVERSION_NOW)->version,
                       BOOST_VERSION / 100000, BOOST_VERSION / 100 % 1000, BOOST_VERSION % 100, __VERSION__);
}

void describe_provenance(std::map<std::string, std::string>& provenance, const std::string& job_path, int ranks) {
    utsname machine{};
    uname(&machine);
    provenance.try_emplace("created", utc_now());
    provenance["version"] = version();
    provenance["libraries"] = library_versions();
    provenance["host"] = fmt::format("{} ({} {}, {} cores, {} a rank)", machine.nodename, machine.sysname,
                                     machine.machine, std::thread::hardware_concurrency(), usable_cores());
    provenance["ranks"] = std::to_string(ranks);
    provenance["job"] = job_path;
    auto& lives = provenance["lives"];
    const char* slurm_job = std::getenv("SLURM_JOB_ID");
    lives += fmt::format("{} {} ranks{}\n", utc_now(), ranks, slurm_job ? fmt::format(" Slurm job {}", slurm_job) : "");
}

}  // namespace tg::pipeline
