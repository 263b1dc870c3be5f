"""Lives of one run that are killed at random, each with other settings that only tune, other rank counts and touched
files: the end equals a calm run, or a life is refused by name and goes on once what was changed is put back. Not
training, whose sums over another number of ranks have other bits (tests/fault/restart.py kills it).

    tests/fault/changes.py [--runs 2] [--lives 6]
"""

import argparse
import os
import pathlib
import shutil
import tempfile
import time

from program import ROOT, Job, Simulator, kill_tree, same_bytes, same_hdf5, seeded, small_pool

# Every setting that cuts work into parts, with sizes from one item to more than all; and others that only tune.
SIZES = [1, 2, 3, 5, 8, 13, 50, 1000]
PARTS = [
    "pool.items_per_part", "embed.images_per_part", "embed.texts_per_part", "match.images_per_part",
    "refine.images_per_part", "evaluate.questions_per_part",
]
OTHERS = {
    "pool.threads": [1, 2], "embed.batches_ahead": [2, 4], "endpoint.generator.concurrency": [2, 16],
    "endpoint.generator.price_in": [0.5, 2.5], "run.watchdog_s": [600, 1800],
    "run.stop_margin_s": [5, 120],
}
RESULTS = [
    "pool.h5", "taxonomy.h5", "image_embeddings.h5", "text_embeddings.h5", "matches.h5", "samples.h5", "evaluation.h5",
]
STAGES = "ingest,expand,embed,match,refine,generate,screen,export,evaluate"
STALE = "was done with other settings or inputs"

chance = seeded("changes")


def changes():
    """Settings of one life: some of all, each of its own."""
    sets = [f"{key}={chance.choice(SIZES)}" for key in PARTS if chance.random() < 0.7]
    return sets + [f"{key}={chance.choice(values)}" for key, values in OTHERS.items() if chance.random() < 0.3]


def touched(file):
    """A later time of the same content; a function that takes it back."""
    before = file.stat()
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns + 1_000_000_000))
    return lambda: os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def life(job, model, longest):
    """Kills one life at a moment of its own. What became of it: killed, done, or refused by name."""
    undo = touched(chance.choice(sorted(model.iterdir()))) if chance.random() < 0.15 else lambda: None
    process = job.start(chance.choice([1, 2, 3, 5]), changes())
    end = time.time() + chance.random() * longest
    while process.poll() is None and time.time() < end:
        time.sleep(0.01)
    if process.poll() is None:
        kill_tree(process)
        undo()
        return "killed"
    output = process.communicate()[0]
    undo()
    if process.returncode == 2:
        assert STALE in output, f"refused, but not by name:\n{output[-3000:]}"
        return "refused"
    assert process.returncode == 0, f"exit code {process.returncode}:\n{output[-3000:]}"
    return "done"


def compare(calm, run):
    for name in RESULTS:
        same_hdf5(calm / name, run / name, ["/seconds"])
    same_bytes(calm / "export/train.json", run / "export/train.json")


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--runs", type=int, default=2)
parser.add_argument("--lives", type=int, default=6)
words = parser.parse_args()

with tempfile.TemporaryDirectory() as scratch:
    scratch = pathlib.Path(scratch)
    pool = small_pool(scratch / "pool", every=16)
    model = shutil.copytree(ROOT / "inputs/models/demo-clip", scratch / "clip")  # its times are ours to change
    settings = [
        f"pool.sources=folder:{pool}", f"embed.model={model}", "evaluate.models=base", "expand.level1_target=8",
        "expand.level2_target=24", "expand.level3_target=48", "benchmark.stamps.limit=40",
        "benchmark.stamps_yesno.limit=30",
    ]
    with Simulator(pool, "simulator.latency_ms=60") as simulator:
        begun = time.time()
        Job(scratch / "calm", simulator.url, *settings, stages=STAGES).run(2)
        # Short lives, so that many of them are needed; the last runs to its end.
        longest = 0.5 * (time.time() - begun)
        for run in range(words.runs):
            folder = scratch / f"run{run}"
            job = Job(folder, simulator.url, *settings, stages=STAGES)
            ends = [life(job, model, longest) for _ in range(words.lives)]
            job.run(chance.choice([1, 2, 3, 5]), changes())
            compare(scratch / "calm", folder)
            told = ", ".join(f"{ends.count(end)} {end}" for end in ("killed", "refused", "done"))
            print(f"run {run}: {told}; the end equals the calm run", flush=True)
            shutil.rmtree(folder)
