"""How fast a checkpoint reaches the disk, beside dd with fsync on the same disk in the same run, and what training
notices of it.

  PYTHONPATH=.deps/python:.deps/peers python tests/benchmarks/checkpoint.py \
      --bench build/release/tests/benchmarks/bench_sft [--folder DIR]

Model: an 8-layer, 512-wide, 32k-vocabulary LLaMA in fp32 (0.65 GiB a checkpoint), 2 ranks, sharding = full. Two
measurements, `--rounds` times each in turn with as many runs of dd: written with nothing else to do, and behind the
steps: steps without and with a checkpoint on its way take turns.
"""

import argparse
import os
import pathlib
import re
import shutil
import subprocess
import tempfile

from sft import SHAPES, figures, make


WRITES = 5  # a round


def dd_rate(folder, mib):
    target = folder / "dd"
    done = subprocess.run(
        ["dd", "if=/dev/zero", f"of={target}", "bs=16M", f"count={mib // 16}", "conv=fsync"],
        capture_output=True, text=True, check=True,
    )
    target.unlink()
    return mib / float(re.search(r"copied, ([\d.]+) s", done.stderr).group(1))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--bench", required=True)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=pathlib.Path, help="on the disk to measure")
    args = parser.parse_args()
    os.environ.update(OMP_NUM_THREADS="1", OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1")
    shape, batch, length = SHAPES["llama-8x512"]
    with tempfile.TemporaryDirectory(dir=args.folder) as scratch:
        scratch = pathlib.Path(scratch)
        make(scratch / "model", shape)
        run = lambda what, tokens: figures(
            [
                "mpirun", "--oversubscribe", "-n", 2, args.bench, what, scratch / "model", batch, tokens, WRITES,
                "fp32", 1, "full", scratch / "checkpoints",
            ]
        )[0]
        best_dd = best_write = 0
        behind = {}
        for _ in range(args.rounds):
            got = run("write", 8)
            mib = got["checkpoint_mib"]
            best_write = max(best_write, mib / got["checkpoint_s"])
            best_dd = max([best_dd] + [dd_rate(scratch, int(mib) // 16 * 16) for _ in range(WRITES)])
            behind = run("train", length)
            shutil.rmtree(scratch / "checkpoints", ignore_errors=True)
        print(
            f"checkpoint of {mib:.0f} MiB: {best_write:.0f} MiB/s with fsync and rename; dd conv=fsync {best_dd:.0f}"
            f" MiB/s; ratio {best_write / best_dd:.2f}"
        )
        print(
            f"step {behind['calm_step_s']:.2f} s without, {behind['busy_step_s']:.2f} s while one is written:"
            f" {behind['busy_step_s'] / behind['calm_step_s'] - 1:+.1%}"
        )
        print(
            f"peak memory {behind['peak_calm_mib']:.0f} MiB before the first, {behind['peak_mib']:.0f} MiB in all:"
            f" {behind['peak_mib'] / behind['peak_calm_mib'] - 1:+.1%}"
        )


if __name__ == "__main__":
    main()
