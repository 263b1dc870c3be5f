#include "taskgalaxy/pool/decode_ahead.hpp"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <mutex>
#include <thread>

namespace tg::pool {
namespace {

class Stopwatch {
public:
    double lap() {
        const auto now = std::chrono::steady_clock::now();
        const double seconds = std::chrono::duration<double>(now - start_).count();
        start_ = now;
        return seconds;
    }

private:
    std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

}  // namespace

// Pictures are handed out one by one, in order, to whichever thread is free, across the borders of batches: all threads
// work on the front of the queue, so a batch is ready as soon as it can be. Batch k lies in slot k % slots.
struct DecodeAhead::Impl {
    struct Slot {
        PixelBatch batch;
        std::size_t open = 0;    // pictures not done yet
        std::thread::id holder;  // of the consumer that has it; none: nobody
    };

    Impl(const Pool& the_pool, std::vector<std::uint64_t> the_indices, const pictures::ImageRecipe& the_recipe,
         AheadOptions the_options)
        : pool(the_pool),
          indices(std::move(the_indices)),
          recipe(the_recipe),
          options(std::move(the_options)),
          picture_bytes(recipe.values() * (options.bf16 ? 2 : 4)),
          slots(std::max<std::size_t>(options.batches_ahead, 1)) {
        options.batch = std::max<std::size_t>(options.batch, 1);
        if (!options.allocate) options.allocate = [](std::size_t bytes) { return new std::byte[bytes]; };
        if (!options.release) options.release = [](std::byte* memory) { delete[] memory; };
        for (auto& slot : slots) slot.batch.pixels = options.allocate(options.batch * picture_bytes);
    }
    ~Impl() {
        {
            const std::lock_guard lock(mutex);
            stopping = true;
        }
        room.notify_all();
        workers.clear();
        for (auto& slot : slots) options.release(slot.batch.pixels);
    }

    std::size_t batches() const { return (indices.size() + options.batch - 1) / options.batch; }
    Slot& slot_of(std::size_t batch) { return slots[batch % slots.size()]; }

    // Opens the next batches' slots as they come free; called with the mutex held.
    void open_slots() {
        while (opened < batches() && opened < released + slots.size()) {
            auto& slot = slot_of(opened);
            const auto first = opened * options.batch, count = std::min(options.batch, indices.size() - first);
            slot.batch.first = first;
            slot.batch.indices = std::span(indices).subspan(first, count);
            slot.batch.failures.assign(count, {});
            slot.open = count;
            ++opened;
        }
    }

    void work() {
        for (;;) {
            AheadFigures mine;
            std::size_t position;
            {
                Stopwatch waited;
                std::unique_lock lock(mutex);
                room.wait(lock, [&] {
                    return stopping || next_position == indices.size() || next_position < opened * options.batch;
                });
                if (stopping || next_position == indices.size()) return;
                position = next_position++;
                figures.threads_waited_s += waited.lap();
            }
            auto& slot = slot_of(position / options.batch);
            const auto row = position % options.batch;
            auto* pixels = slot.batch.pixels + row * picture_bytes;
            auto& failure = slot.batch.failures[row];
            try {
                Stopwatch watch;
                const auto bytes = pool.read(indices[position]);
                mine.read_s += watch.lap();
                mine.bytes += bytes.size();
                if (options.bf16)
                    pictures::decode_to_pixels(bytes, pool.decode_options(), recipe,
                                               std::span(reinterpret_cast<std::uint16_t*>(pixels), recipe.values()));
                else
                    pictures::decode_to_pixels(bytes, pool.decode_options(), recipe,
                                               std::span(reinterpret_cast<float*>(pixels), recipe.values()));
                mine.decode_s += watch.lap();
            } catch (const pictures::UnreadableImage& error) {
                failure = error.what();
            } catch (...) {  // the machine's failure, not the picture's: next() throws it
                const std::lock_guard lock(mutex);
                if (!broken) broken = std::current_exception();
            }
            if (!failure.empty()) {
                std::memset(pixels, 0, picture_bytes);
                ++mine.failed;
            }
            ++mine.pictures;
            const std::lock_guard lock(
                mutex);  // before the picture is given out: who has all of them has all figures too
            figures.read_s += mine.read_s, figures.decode_s += mine.decode_s, figures.pictures += mine.pictures,
                figures.failed += mine.failed, figures.bytes += mine.bytes;
            if (--slot.open == 0 || broken) ready.notify_all();
        }
    }

    const Pool& pool;
    const std::vector<std::uint64_t> indices;
    const pictures::ImageRecipe recipe;
    AheadOptions options;
    const std::size_t picture_bytes;

    std::mutex mutex;
    std::condition_variable room, ready;
    std::vector<Slot> slots;
    std::size_t opened = 0, taken = 0, released = 0;  // batches, counted from the start
    std::size_t next_position = 0;
    bool stopping = false;
    std::exception_ptr broken;
    AheadFigures figures;
    std::vector<std::jthread> workers;  // last: they use all of the above
};

DecodeAhead::DecodeAhead(const Pool& pool, std::vector<std::uint64_t> indices, const pictures::ImageRecipe& recipe,
                         AheadOptions options)
    : impl_(std::make_unique<Impl>(pool, std::move(indices), recipe, std::move(options))) {
    impl_->open_slots();
    const auto threads = impl_->options.threads > 0 ? impl_->options.threads : pool.worker_threads();
    for (std::size_t i = 0; i < threads; ++i) impl_->workers.emplace_back([this] { impl_->work(); });
}

DecodeAhead::~DecodeAhead() = default;

PixelBatch* DecodeAhead::next() {
    auto& all = *impl_;
    const auto me = std::this_thread::get_id();
    std::unique_lock lock(all.mutex);
    Stopwatch waited;
    all.ready.wait(lock, [&] {
        if (std::ranges::all_of(all.slots, [&](const auto& slot) { return slot.holder == me; }))
            throw std::logic_error("DecodeAhead: next() with every batch still held; release() one first");
        return all.taken == all.batches() || all.taken < all.opened || all.broken;
    });
    if (all.broken) std::rethrow_exception(all.broken);
    if (all.taken == all.batches()) return nullptr;
    auto& slot = all.slot_of(all.taken++);
    slot.holder = me;
    all.ready.wait(lock, [&] { return slot.open == 0 || all.broken; });
    all.figures.consumer_waited_s += waited.lap();
    if (all.broken) std::rethrow_exception(all.broken);
    return &slot.batch;
}

void DecodeAhead::release(PixelBatch* batch) {
    auto& all = *impl_;
    const std::lock_guard lock(all.mutex);
    all.slot_of(batch->first / all.options.batch).holder = {};
    // Slots come free in the order of batches; one released early waits for those before it.
    while (all.released < all.taken && all.slot_of(all.released).holder == std::thread::id()) ++all.released;
    all.open_slots();
    all.room.notify_all();
    all.ready.notify_all();
}

AheadFigures DecodeAhead::figures() const {
    const std::lock_guard lock(impl_->mutex);
    return impl_->figures;
}

}  // namespace tg::pool
