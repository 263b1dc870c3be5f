"""kill -9 of the whole job in three stages (embedding, asking, training), each time going on with another number of
ranks where the stage allows it: the final results equal those of a run that was left alone."""

import pathlib
import tempfile

from program import Job, Simulator, same_bytes, same_hdf5, seeded, small_pool

chance = seeded("restart")


def any_file(folder, pattern, at_least=1):
    return lambda: len(list(pathlib.Path(folder).glob(pattern))) >= at_least


def journal_beyond(folder, size):
    return lambda: sum(f.stat().st_size for f in pathlib.Path(folder).glob("journal/*.journal")) > size


def run_until_done(job, ranks_of_life, kills):
    """One life a kill; the last life runs to its end."""
    for ranks, when in zip(ranks_of_life, kills):
        killed = job.run_and_kill(ranks, when, delay=chance.random() * 0.2)
        print(f"life on {ranks} ranks: {'killed' if killed else 'ended before it could be killed'}")
        assert killed, "the run ended before the kill: nothing was tested"
    return job.run(ranks_of_life[-1])


with tempfile.TemporaryDirectory() as scratch:
    scratch = pathlib.Path(scratch)
    pool = small_pool(scratch / "pool", every=6)
    # Small parts and often-saved checkpoints, so that there is something to lose and to find again in each stage.
    settings = [
        f"pool.sources=folder:{pool}", "pool.items_per_part=8", "embed.images_per_part=8", "refine.images_per_part=8",
        "train.checkpoint_steps=2", "train.max_steps=12",
    ]
    with Simulator(pool, "simulator.latency_ms=30") as simulator:
        calm = Job(scratch / "calm", simulator.url, *settings)
        calm.run(2)
        broken = Job(scratch / "broken", simulator.url, *settings)
        run = scratch / "broken"
        output = run_until_done(broken, [2, 3, 2, 2], [
            any_file(run, "parts/embed*/*.h5"),
            journal_beyond(run, 100_000),
            any_file(run, "checkpoints/*.h5", 2),
        ])
    for name in ("pool.h5", "image_embeddings.h5", "text_embeddings.h5", "matches.h5", "samples.h5"):
        same_hdf5(scratch / "calm" / name, run / name)
    for name in ("export/train.json", "export/model/model.safetensors"):
        same_bytes(scratch / "calm" / name, run / name)
    print("after three kills: embeddings, matches, samples, export and trained weights equal those of the calm run")
