"""Memory of fine-tuning, measured beside what `plan` says, and a model that one rank cannot hold.

  PYTHONPATH=.deps/python:.deps/peers python tests/benchmarks/memory.py \
      --bench build/release/tests/benchmarks/bench_sft --program build/release/src/app/taskgalaxy

1. Peak resident memory of a rank (2 ranks, an 8-layer, 512-wide LLaMA, 4 x 512 tokens) for each sharding, in fp32,
   beside the plan; at most 10 % apart. 2. A 12-layer, 1,024-wide LLaMA under `ulimit -v`: one rank stops and names a
   setting, four with sharding = full train and export it.
Exits with 1 where something is not as it should be.
"""

import argparse
import base64
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

from sft import SHAPES, figures, make

DOT = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
LARGE = dict(
    vocab_size=8000, hidden_size=1024, intermediate_size=2752, num_hidden_layers=12, num_attention_heads=16,
    num_key_value_heads=16, rms_norm_eps=1e-5,
)


def planned_beside_measured(bench, scratch):
    shape, batch, length = SHAPES["llama-8x512"]
    make(scratch / "small", shape)
    fine = True
    for sharding in ("optimizer", "full"):
        got, _ = figures(
            [
                "mpirun", "--oversubscribe", "-n", 2, bench, "train", scratch / "small", batch, length, 3, "fp32", 1,
                sharding,
            ]
        )
        apart = got["planned_mib"] / got["peak_mib"] - 1
        fine = fine and abs(apart) <= 0.1
        print(
            f"2 ranks, {sharding:9}  plan {got['planned_mib']:6.0f} MiB   peak {got['peak_mib']:6.0f} MiB  "
            f" {apart:+.1%}",
            flush=True,
        )
    return fine


def under_a_limit(program, scratch):
    make(scratch / "large", LARGE)
    samples = [
        {
            "id": str(i),
            "conversations": [{"from": "human", "value": f"What is {i}?"}, {"from": "gpt", "value": "A number. " * 8}],
        }
        for i in range(16)
    ]
    (scratch / "data.json").write_text(json.dumps(samples))
    (scratch / "job.cfg").write_text(
        f"[train]\nmodel = {scratch}/large\ndata = {scratch}/data.json\nimage_root = {scratch}\nglobal_batch ="
        " 4\nmicro_batch = 1\nmax_steps = 2\nmax_length = 512\nsharding = full\nactivation_checkpointing = yes\n"
    )

    def run(ranks, limit_kib):
        command = (
            f"ulimit -v {limit_kib} && exec {program} run {scratch}/job.cfg --stages train --set"
            f" run.folder={scratch}/run{ranks}"
        )
        done = subprocess.run(
            ["mpirun", "--oversubscribe", "-n", str(ranks), "bash", "-c", command], capture_output=True, text=True
        )
        return done.returncode, done.stdout + done.stderr

    (scratch / "pictures").mkdir()  # plan looks at every stage
    (scratch / "pictures/dot.png").write_bytes(base64.b64decode(DOT))
    plan = subprocess.run(
        [
            program, "plan", scratch / "job.cfg", "--set", f"run.folder={scratch}/plan", "--set",
            f"pool.sources=folder:{scratch}/pictures",
        ],
        capture_output=True,
        text=True,
    ).stdout
    print("\n".join(line.strip() for line in plan.splitlines() if "memory a rank" in line))
    limit = 2560 << 10  # KiB: less than the model's state
    code, output = run(1, limit)
    knob = re.search(r"train: .*out of memory.*", output)
    print(f"1 rank under {limit >> 10} MiB: exit {code}; {knob.group(0)[:240] if knob else output[-400:]}")
    code_of_four, output = run(4, limit)
    exported = (scratch / "run4/export/model/model.safetensors").exists()
    print(
        f"4 ranks under {limit >> 10} MiB each: exit {code_of_four}, exported: {exported}"
        + ("" if code_of_four == 0 else "; " + output[-400:])
    )
    return code != 0 and knob is not None and code_of_four == 0 and exported


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--bench", required=True, type=pathlib.Path)
    parser.add_argument("--program", required=True, type=pathlib.Path)
    args = parser.parse_args()
    os.environ.update(OMP_NUM_THREADS="1", OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1")
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        results = [planned_beside_measured(args.bench, scratch), under_a_limit(args.program, scratch)]
    sys.exit(0 if all(results) else 1)


if __name__ == "__main__":
    main()
