// What embed.py and match.py run of ours, with figures as JSON lines on standard output:
//   embed_match_bench images MODEL FOLDER DTYPE TIMES [BATCH]   every picture of FOLDER, from files to vectors, the
//   best of TIMES; written to
//                                                       FOLDER/vectors.f32 [N, D]
//   embed_match_bench forward MODEL BATCHES DTYPE BATCH  the vision tower alone on random pixels (of a GPU: in its
//   memory), BATCH at once embed_match_bench texts MODEL FILE DTYPE       one text a line; written to FILE.f32 [N, D]
//   embed_match_bench tokens MODEL FILE            one JSON string a line; one JSON list of ids a line on standard
//   output embed_match_bench match TYPES QUERIES D K ARITHMETIC   raw float files; nearest written to QUERIES.i64 [Q,
//   K] mpirun -n R embed_match_bench stage IMAGES TYPES D K FOLDER   the stage `match` on random unit vectors in HDF5,
//   with all ranks
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <numeric>
#include <string>
#include <sys/resource.h>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include "taskgalaxy/core/error.hpp"
#include "taskgalaxy/core/random.hpp"
#include "taskgalaxy/core/text.hpp"
#include "taskgalaxy/core/threads.hpp"
#include "taskgalaxy/ingest/ingest_stage.hpp"
#include "taskgalaxy/matching/embed_pictures.hpp"
#include "taskgalaxy/matching/match_stage.hpp"
#include "taskgalaxy/matching/top_k.hpp"
#include "taskgalaxy/nn/kernels/slices.hpp"
#include "taskgalaxy/nn/layers/device.hpp"
#include "taskgalaxy/nn/layers/torch.hpp"
#include "taskgalaxy/nn/models/dual_encoder.hpp"
#include "taskgalaxy/parallel/session.hpp"
#include "taskgalaxy/storage/publish.hpp"

namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;
double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

template <class T> std::vector<T> read_raw(const fs::path& path) {
    std::vector<T> values(fs::file_size(path) / sizeof(T));
    std::ifstream(path, std::ios::binary)
        .read(reinterpret_cast<char*>(values.data()), static_cast<std::streamsize>(values.size() * sizeof(T)));
    return values;
}
template <class T> void write_raw(const fs::path& path, const T* values, std::size_t count) {
    std::ofstream(path, std::ios::binary)
        .write(reinterpret_cast<const char*>(values), static_cast<std::streamsize>(count * sizeof(T)));
}

void images(const fs::path& model_folder, const fs::path& folder, const std::string& dtype, int times, int batch) {
    const auto device = tg::layers::choose_device(tg::layers::DeviceChoice::automatic);
    const auto kind = tg::layers::choose_dtype(tg::meaning_of(tg::layers::dtype_words(), dtype, "dtype"), device);
    const auto model = tg::models::load_dual_encoder(model_folder, device, kind);
    tg::pool::PoolSettings settings;
    settings.sources = {folder.string()};
    settings.verify = tg::pool::Verify::header;
    const auto run = fs::temp_directory_path() / fmt::format("embed-bench-{}", ::getpid());
    const auto solo = tg::parallel::make_solo();
    tg::run::StageContext context{*solo, tg::run::Paths(run), "benchmark"};
    tg::ingest::make_ingest_stage(settings)->run(context);
    const tg::pool::Pool pool(run / "pool.h5", settings);
    std::vector<std::uint64_t> indices(pool.size());
    for (std::size_t i = 0; i < indices.size(); ++i) indices[i] = i;
    const auto recipe = tg::pictures::ImageRecipe::read(model_folder);
    tg::matching::EmbedSettings embed;
    embed.batch = batch;
    tg::matching::PictureVectors vectors;
    double best = 1e30;
    tg::pool::AheadFigures figures;
    for (int time = 0; time <= times; ++time) {  // the first warms caches and allocators
        const auto start = Clock::now();
        vectors = tg::matching::embed_pictures(*model, pool, indices, recipe, embed, "benchmark");
        const auto took = seconds_since(start);
        if (time == 0 || took > best) continue;
        best = took;
        figures = vectors.figures;
    }
    write_raw(folder / "vectors.f32", vectors.rows.data(), vectors.rows.size());
    fs::remove_all(run);
    fmt::print(
        "{{\"images_per_s\": {:.3f}, \"images\": {}, \"decode_s\": {:.3f}, \"read_s\": {:.3f}, \"model_waited_s\": "
        "{:.3f}, \"seconds\": {:.3f}}}\n",
        static_cast<double>(pool.size()) / best, pool.size(), figures.decode_s, figures.read_s,
        figures.consumer_waited_s, best);
}

void forward(const fs::path& model_folder, int batches, const std::string& dtype, int batch) {
    const auto device = tg::layers::choose_device(tg::layers::DeviceChoice::automatic);
    const auto model = tg::models::load_dual_encoder(
        model_folder, device,
        tg::layers::choose_dtype(tg::meaning_of(tg::layers::dtype_words(), dtype, "dtype"), device));
    auto pixels = torch::randn({batch, 3, model->image_size(), model->image_size()});
    if (device.is_cuda()) pixels = pixels.to(device, model->dtype());
    const auto encode = [&](int times) {
        const auto start = Clock::now();
        if (device.is_cuda())
            tg::kernels::for_each_slice(
                times,
                [&](std::int64_t) {
                    const tg::layers::OwnStream stream(device);
                    model->encode_images(pixels);
                },
                tg::matching::model_threads(device));
        else
            for (int i = 0; i < times; ++i) model->encode_images(pixels);
        return seconds_since(start);
    };
    if (device.is_cuda()) torch::cuda::synchronize(device.index()), encode(4);
    else model->encode_images(pixels.narrow(0, 0, std::min(batch, 16)));
    fmt::print("{{\"images_per_s\": {:.3f}}}\n", static_cast<double>(batch) * batches / encode(batches));
}

void texts(const fs::path& model_folder, const fs::path& file, const std::string& dtype) {
    const auto device = tg::layers::choose_device(tg::layers::DeviceChoice::automatic);
    const auto model = tg::models::load_dual_encoder(
        model_folder, device,
        tg::layers::choose_dtype(tg::meaning_of(tg::layers::dtype_words(), dtype, "dtype"), device));
    auto lines = tg::split(tg::read_text_file(file), '\n');
    if (!lines.empty() && lines.back().empty()) lines.pop_back();
    const auto start = Clock::now();
    std::vector<float> vectors;
    for (std::size_t first = 0; first < lines.size(); first += 64) {
        std::vector<std::vector<std::int64_t>> ids;
        for (auto i = first; i < std::min(lines.size(), first + 64); ++i)
            ids.push_back(model->tokenizer().encode(lines[i]));
        const auto rows = model->encode_texts(ids);
        vectors.insert(vectors.end(), rows.data_ptr<float>(), rows.data_ptr<float>() + rows.numel());
    }
    fmt::print("{{\"texts_per_s\": {:.3f}, \"texts\": {}}}\n", static_cast<double>(lines.size()) / seconds_since(start),
               lines.size());
    write_raw(file.string() + ".f32", vectors.data(), vectors.size());
}

void tokens(const fs::path& model_folder, const fs::path& file) {
    const auto type =
        nlohmann::json::parse(tg::read_text_file(model_folder / "config.json")).value("model_type", "clip");
    std::unique_ptr<tg::text::Tokenizer> tokenizer;
    if (type == "siglip") tokenizer = std::make_unique<tg::text::SiglipTokenizer>(model_folder);
    else tokenizer = std::make_unique<tg::text::ClipTokenizer>(model_folder);
    std::ifstream in(file);
    for (std::string line; std::getline(in, line);)
        fmt::print("[{}]\n", fmt::join(tokenizer->encode(nlohmann::json::parse(line).get<std::string>()), ","));
}

void match(const fs::path& types_file, const fs::path& queries_file, std::int64_t dim, int k,
           const std::string& arithmetic) {
    const auto types = read_raw<float>(types_file), queries = read_raw<float>(queries_file);
    const auto num = queries.size() / static_cast<std::size_t>(dim);
    std::vector<std::int64_t> nearest(num * static_cast<std::size_t>(k));
    std::vector<double> scores(nearest.size());
    const auto start = Clock::now();
    const tg::matching::TopK top_k(types, dim, k, 0, arithmetic);
    const auto prepared = seconds_since(start);
    double best = 1e30;
    for (int round = 0; round < 3; ++round) {
        const auto begin = Clock::now();
        top_k(queries, nearest, scores);
        best = std::min(best, seconds_since(begin));
    }
    write_raw(queries_file.string() + ".i64", nearest.data(), nearest.size());
    const auto multiplications = static_cast<double>(num) * static_cast<double>(types.size());
    fmt::print(
        "{{\"queries_per_s\": {:.1f}, \"arithmetic\": \"{}\", \"prepare_s\": {:.3f}, \"gflop_per_s\": {:.1f}, "
        "\"threads\": {}}}\n",
        static_cast<double>(num) / best, top_k.arithmetic(), prepared, 2e-9 * multiplications / best,
        tg::usable_cores());
}

// Rows [first, first + count) of random unit vectors, the same whoever makes them.
std::vector<float> unit_rows(std::uint64_t seed, std::uint64_t first, std::uint64_t count, std::uint64_t dim) {
    std::vector<float> rows(count * dim);
    for (std::uint64_t row = 0; row < count; ++row) {
        tg::RandomStream random(seed + first + row);
        double norm = 0;
        const auto vector = std::span(rows).subspan(row * dim, dim);
        for (auto& x : vector) {
            x = static_cast<float>(random.unit() + random.unit() + random.unit() - 1.5);  // close enough to normal
            norm += static_cast<double>(x) * x;
        }
        for (auto& x : vector) x = static_cast<float>(x / std::sqrt(norm));
    }
    return rows;
}

double peak_mib() {
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    return static_cast<double>(usage.ru_maxrss) / 1024;
}

void stage(const tg::parallel::Communicator& ranks, std::uint64_t images, std::uint64_t types, std::uint64_t dim, int k,
           const fs::path& folder) {
    const tg::run::Paths paths(folder);
    const auto rank = static_cast<std::uint64_t>(ranks.rank()), size = static_cast<std::uint64_t>(ranks.size());
    tg::storage::publish_hdf5_together(paths.file("image_embeddings.h5"), ranks, [&](tg::storage::Hdf5File& file) {
        const std::uint64_t shape[] = {images, dim}, block = 8192;
        file.make_dataset("embedding", tg::storage::Hdf5Type::f32, shape);
        for (std::uint64_t begin = 0; begin < images; begin += block * size) {
            const auto first = std::min(images, begin + rank * block), count = std::min(images, first + block) - first;
            const auto rows = unit_rows(1'000'000'000, first, count, dim);
            file.write_rows("embedding", count ? first : 0, count, std::span(rows));
        }
    });
    tg::storage::publish_hdf5_together(paths.file("text_embeddings.h5"), ranks, [&](tg::storage::Hdf5File& file) {
        const std::uint64_t shape[] = {types, dim}, rows_shape[] = {types};
        file.make_dataset("embedding", tg::storage::Hdf5Type::f32, shape);
        file.make_dataset("type", tg::storage::Hdf5Type::i64, rows_shape);
        std::vector<std::int64_t> rows(ranks.is_root() ? types : 0);
        std::iota(rows.begin(), rows.end(), 0);
        const auto vectors = unit_rows(0, 0, rows.size(), dim);
        file.write_rows("embedding", 0, rows.size(), std::span(vectors));
        file.write_rows("type", 0, rows.size(), std::span<const std::int64_t>(rows));
    });
    // What a plain fp32 product of the same shape does on all ranks at once.
    double product_s = 1e30;
    {
        at::set_num_threads(static_cast<int>(tg::usable_cores()));
        const auto a = torch::randn({1024, static_cast<std::int64_t>(dim)}),
                   b = torch::randn({static_cast<std::int64_t>(types), static_cast<std::int64_t>(dim)}).t();
        auto out = torch::empty({1024, static_cast<std::int64_t>(types)});
        for (int round = 0; round < 5; ++round) {
            ranks.barrier();
            const auto begin = Clock::now();
            torch::mm_out(out, a, b);
            ranks.barrier();
            product_s = std::min(product_s, seconds_since(begin));
        }
    }
    const auto before = peak_mib();
    tg::matching::MatchSettings settings;
    settings.k = k;
    ranks.barrier();
    const auto start = Clock::now();
    tg::run::StageContext context{ranks, paths, "benchmark"};
    tg::matching::make_match_stage(settings)->run(context);
    ranks.barrier();
    const auto took = seconds_since(start);
    const auto flop = [&](double queries) {
        return 2e-9 * queries * static_cast<double>(types) * static_cast<double>(dim);
    };
    const auto peak = ranks.max(peak_mib());
    if (ranks.is_root())
        fmt::print(
            "{{\"images\": {}, \"types\": {}, \"ranks\": {}, \"seconds\": {:.1f}, \"images_per_s\": {:.0f}, "
            "\"gflop_per_s\": {:.0f}, \"fp32_product_gflop_per_s\": {:.0f}, \"peak_mib_a_rank\": {:.0f}, "
            "\"peak_mib_before\": {:.0f}}}\n",
            images, types, size, took, static_cast<double>(images) / took, flop(static_cast<double>(images)) / took,
            flop(1024.0 * static_cast<double>(size)) / product_s, peak, before);
}

}  // namespace

int main(int argc, char** argv) {
    const std::vector<std::string> words(argv + 1, argv + argc);
    const auto is = [&](const char* name, std::size_t count) { return words.size() == count + 1 && words[0] == name; };
    if (is("stage", 5)) {
        const tg::parallel::Session session(argc, argv);
        return tg::parallel::run_guarded(session.world(), [&] {
            stage(session.world(), std::stoull(words[1]), std::stoull(words[2]), std::stoull(words[3]),
                  std::stoi(words[4]), words[5]);
            return 0;
        });
    }
    try {
        if (is("images", 4) || is("images", 5))
            images(words[1], words[2], words[3], std::stoi(words[4]), words.size() > 5 ? std::stoi(words[5]) : 0);
        else if (is("forward", 4)) forward(words[1], std::stoi(words[2]), words[3], std::stoi(words[4]));
        else if (is("texts", 3)) texts(words[1], words[2], words[3]);
        else if (is("tokens", 2)) tokens(words[1], words[2]);
        else if (is("match", 5)) match(words[1], words[2], std::stoll(words[3]), std::stoi(words[4]), words[5]);
        else return std::fprintf(stderr, "see the head of tests/benchmarks/embed_match_bench.cpp\n"), 2;
    } catch (const tg::Error& error) {
        std::fprintf(stderr, "%s\n", error.what());
        return static_cast<int>(error.code());
    }
    return 0;
}
