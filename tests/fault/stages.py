"""Each stage of a run on four ranks, struck at a random moment of its work: SIGUSR1 to every rank ends with 75 in
seconds; kill -9 of one rank ends the others with one clear line. The same command then goes on, and its results equal
those of a run that was left alone.

    python3 tests/fault/stages.py [STAGE ...]
"""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from program import Job, Simulator, descendants, kill_tree, program, same_bytes, same_hdf5, seeded, small_pool

RANKS = 4
# nothing here takes a quarter of it; the goals of 10 s and 30 s are printed, not asserted: the machine may be busy
HANG_S = 60
RESULTS = {
    "ingest": ["pool.h5"], "embed_images": ["image_embeddings.h5"], "expand": ["taxonomy.h5"],
    "embed_texts": ["text_embeddings.h5"], "match": ["matches.h5"], "curate": ["samples.h5"],
    "export": ["export/train.json"], "train": ["export/model/model.safetensors"], "evaluate": ["evaluation.h5"],
    "report": ["report/index.html"],
}
# What would make the stage shorter, second time round.
WORK_OF = {"expand": ["journal"], "curate": ["journal"], "train": ["checkpoints"]}
chance = seeded("stages")
wanted = sys.argv[1:] or list(RESULTS)


def ranks_of(process):
    """The ranks' processes, without mpirun's helpers."""
    name = pathlib.Path(program()).name
    return [
        pid
        for pid in descendants(process.pid)
        if pathlib.Path(f"/proc/{pid}/exe").exists() and os.readlink(f"/proc/{pid}/exe").endswith("/" + name)
    ]


def strike(job, extra, delay, hit):
    """One life, hit `delay` seconds after it came to its stage, or just before that where `delay` is 0. Exit code,
    seconds from the hit to the end, output."""
    process, log = job.start(RANKS, words=extra), job.folder / "log/rank-0.log"
    end = time.time() + HANG_S
    while (
        not (log.exists() and (delay == 0 or "run directory" in log.read_text()))
        and process.poll() is None
        and time.time() < end
    ):
        time.sleep(0.002)
    time.sleep(delay)
    struck = time.time()
    hit(ranks_of(process))
    try:
        output, _ = process.communicate(timeout=HANG_S)
    except subprocess.TimeoutExpired:
        kill_tree(process)
        raise AssertionError(f"still there {HANG_S} s after the hit")
    return process.returncode, time.time() - struck, output


def signal_all(ranks):
    for pid in ranks:
        os.kill(pid, signal.SIGUSR1)


def kill_one(ranks):
    if ranks:
        os.kill(chance.choice(ranks), signal.SIGKILL)


def compare(stage, calm, run):
    for name in RESULTS[stage]:
        if name == "evaluation.h5":  # it tells how long each answer took
            same_hdf5(calm / name, run / name, ["/seconds"])
        elif name == "report/index.html":
            assert (run / name).stat().st_size > 10_000, "the report is short"
        else:
            (same_hdf5 if name.endswith(".h5") else same_bytes)(calm / name, run / name)


def struck_in(stage, calm, job, seconds, hit):
    """Takes a copy of the calm run back to the beginning of the stage, hits it there, and goes on. The hit life's exit
    code, seconds from the hit to its end, and output."""
    for share in (
        0.8, 0.4, 0.2, 0, 0, 0,
    ):  # a moment near the end of a short stage may come too late; an earlier one is tried then
        shutil.rmtree(job.folder, ignore_errors=True)
        shutil.copytree(calm.folder, job.folder, ignore=shutil.ignore_patterns("log", *WORK_OF.get(stage, ())))
        code, took, output = strike(job, ["--redo", stage], chance.random() * seconds * share, hit)
        if code != 0:
            break
    job.run(RANKS, timeout=3 * HANG_S)
    compare(stage, calm.folder, job.folder)
    return code, took, output


with tempfile.TemporaryDirectory() as scratch:
    scratch = pathlib.Path(scratch)
    pool = small_pool(scratch / "pool", every=8)
    settings = [
        f"pool.sources=folder:{pool}", "pool.items_per_part=4", "embed.images_per_part=4", "embed.texts_per_part=4",
        "embed.batch=4", "match.images_per_part=4", "refine.images_per_part=8", "expand.level1_target=8",
        "expand.level2_target=40", "expand.level3_target=120", "train.checkpoint_steps=2", "train.max_steps=12",
        "train.micro_batch=2", "train.global_batch=8", "evaluate.questions_per_part=8", "benchmark.stamps.limit=40",
        "benchmark.stamps_yesno.limit=40",
    ]
    with Simulator(pool, "simulator.latency_ms=20") as simulator:
        calm = Job(scratch / "calm", simulator.url, *settings)
        calm.run(RANKS)
        status = json.loads(
            subprocess.run(
                [program(), "status", str(calm.folder), "--json"], capture_output=True, text=True, check=True
            ).stdout
        )
        for stage in wanted:
            job, seconds = (
                Job(scratch / "struck", simulator.url, *settings, stages=stage),
                status["stages"][stage]["seconds"],
            )
            code, took, output = struck_in(stage, calm, job, seconds, signal_all)
            assert code == 75, f"{stage}: exit code {code} after SIGUSR1:\n{output[-3000:]}"
            print(f"{stage}: SIGUSR1 to exit 75 in {took:.1f} s; equal results after going on", flush=True)
            code, took, output = struck_in(stage, calm, job, seconds, kill_one)
            told = [line for line in output.splitlines() if "exited on signal 9" in line]
            assert code == 137 and len(told) == 1, f"{stage}: exit code {code} after the kill:\n{output[-3000:]}"
            print(
                f"{stage}: one rank of {RANKS} killed, the others gone in {took:.1f} s; equal results after going on",
                flush=True,
            )
