"""Fine-tuning killed at random moments, again and again: on the same number of ranks the losses and the weights end as
the same bits as those of a run left alone; on another number of ranks the losses agree within 1e-5; SIGUSR1 ends with
75 and a checkpoint; a broken checkpoint is named and the one before is used.

    python3 tests/fault/training_kill.py [--kills 20]
"""

import argparse
import csv
import json
import os
import pathlib
import signal
import tempfile
import time

from program import ROOT, Job, descendants, kill_tree, same_bytes, seeded

chance = seeded("training_kill")
parser = argparse.ArgumentParser()
parser.add_argument("--kills", type=int, default=4)
KILLS, STEPS = parser.parse_args().kills, 90


def make_job(folder):
    texts = [
        line
        for line in (ROOT / "inputs/seeds.txt").read_text().splitlines()
        if line.strip() and not line.startswith("#")
    ]
    samples = [
        {
            "id": str(i),
            "conversations": [
                {"from": "human", "value": f"What is task {i}?"},
                {"from": "gpt", "value": texts[i % len(texts)]},
            ],
        }
        for i in range(160)
    ]
    (folder / "data.json").write_text(json.dumps(samples))
    (folder / "job.cfg").write_text(
        f"[train]\nmodel = {ROOT}/tests/fixtures/vlm/tiny-llava\ndata = {folder}/data.json\nimage_root = {folder}\n"
        f"global_batch = 8\nmicro_batch = 2\nmax_steps = {STEPS}\nlearning_rate = 1e-3\ncheckpoint_steps = 3\n"
    )
    return folder / "job.cfg"


def curve(run):
    return [
        (row["step"], float(row["loss"]), float(row["grad_norm"]))
        for row in csv.DictReader((run / "training_log.csv").open())
    ]


def checkpoints(run):
    return sorted((run / "checkpoints").glob("step-*.h5"))


def wait_for_checkpoint(process, run, beyond):
    for _ in range(1200):
        if process.poll() is not None:
            return False
        if [f for f in checkpoints(run) if f.name > beyond]:
            return True
        time.sleep(0.02)
    raise AssertionError("no checkpoint in 24 s")


with tempfile.TemporaryDirectory() as scratch:
    scratch = pathlib.Path(scratch)
    job_file = make_job(scratch)
    start = lambda name: Job(scratch / name, "http://127.0.0.1:9/v1", stages="train", job=str(job_file))
    start("calm").run(2)
    calm = curve(scratch / "calm")
    assert len(calm) == STEPS and calm[-1][1] < calm[0][1]

    broken, run, kills = start("broken"), scratch / "broken", 0
    for _ in range(10 * KILLS):
        if kills == KILLS:
            break
        last = checkpoints(run)[-1].name if checkpoints(run) else ""
        process = broken.start(2)
        if not wait_for_checkpoint(process, run, last):
            output, _ = process.communicate()
            assert process.returncode == 0, output
            break
        time.sleep(chance.random() * 0.05)
        if process.poll() is None:
            kills += 1
        kill_tree(process)
    broken.run(2)
    assert kills >= KILLS, f"only {kills} kills before the training ended"
    assert curve(run) == calm, "the losses of the killed run differ"
    same_bytes(scratch / "calm/export/model/model.safetensors", run / "export/model/model.safetensors")
    print(f"{kills} kills on 2 ranks: the same bits")

    moved, run = start("moved"), scratch / "moved"
    for ranks in (1, 3):
        last = checkpoints(run)[-1].name if checkpoints(run) else ""
        process = moved.start(ranks)
        assert wait_for_checkpoint(process, run, last)
        kill_tree(process)
    moved.run(2)
    for (_, a, _), (_, b, _) in zip(curve(run), calm):
        assert abs(a - b) <= 1e-5 * b, (a, b)
    print("1, 3, then 2 ranks: the same losses within 1e-5")

    stopped, run = start("stopped"), scratch / "stopped"
    process = stopped.start(2)
    assert wait_for_checkpoint(process, run, "")
    for pid in descendants(process.pid):
        if b"taskgalaxy" in pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0]:
            os.kill(pid, signal.SIGUSR1)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 75, (process.returncode, output)
    newest = checkpoints(run)[-1]
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 0x10
    newest.write_bytes(content)
    output = stopped.run(2)
    assert newest.name in output and "cannot be used" in output, output
    assert curve(run) == calm
    print("SIGUSR1: 75 and a checkpoint; a flipped bit in it: named, and the one before used")
