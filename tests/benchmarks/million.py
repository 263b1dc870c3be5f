"""A million requests through the whole program: memory of the rank that asks, size of what it keeps, and how long
`status` takes.

    python3 tests/benchmarks/million.py [--copies 134] [--ranks 2]

The pool is `--copies` times Debian's 796 stamps (hard links, so no disk is needed): about 9.5 requests a picture, for
refinement, questions and three judges each. The simulator answers. Prints a line every half minute and a JSON of the
figures at the end.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "fault"))
from program import Job, STAMPS, Simulator, descendants, program  # noqa: E402


def pool_of_copies(folder, copies):
    names = [f.relative_to(STAMPS) for f in sorted(STAMPS.rglob("*.png"))]
    own = folder / "stamps"  # links do not cross file systems
    for name in names:
        (own / name).parent.mkdir(parents=True, exist_ok=True)
        (own / name).write_bytes((STAMPS / name).read_bytes())
    for copy in range(copies):
        for name in names:
            target = folder / "pool" / f"copy{copy:04}" / name
            target.parent.mkdir(parents=True, exist_ok=True)
            os.link(own / name, target)
    return folder / "pool", copies * len(names)


def peak_mib(pids):
    """The largest peak of these processes so far."""
    peaks = [0]
    for pid in pids:
        try:
            text = pathlib.Path(f"/proc/{pid}/status").read_text()
        except OSError:
            continue
        if "Name:\ttaskgalaxy" in text:
            peaks += [int(line.split()[1]) / 1024 for line in text.splitlines() if line.startswith("VmHWM")]
    return max(peaks)


def timed_status(run):
    began = time.monotonic()
    text = subprocess.run([program(), "status", str(run)], capture_output=True, text=True, check=True).stdout
    return time.monotonic() - began, text.splitlines()[-1].strip()


def size_mib(folder, pattern):
    return sum(f.stat().st_size for f in folder.glob(pattern)) / 2**20


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--copies", type=int, default=134)
    parser.add_argument("--ranks", type=int, default=2)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch, Simulator(STAMPS) as simulator:
        scratch = pathlib.Path(scratch)
        pool, pictures = pool_of_copies(scratch, args.copies)
        run = scratch / "run"
        settings = [f"pool.sources=folder:{pool}", "pool.items_per_part=4096", "api.max_failure_share=1"]
        Job(run, simulator.url, *settings, stages="ingest,embed,expand,match").run(args.ranks, timeout=3600)
        began = time.monotonic()
        process = Job(run, simulator.url, *settings, stages="screen").start(args.ranks)
        peak, slowest, told = 0, 0, began
        while process.poll() is None:
            time.sleep(1)
            peak = max(peak, peak_mib(descendants(process.pid)))
            if time.monotonic() - told >= 30 and (run / "progress").exists():
                told = time.monotonic()
                seconds, line = timed_status(run)
                slowest = max(slowest, seconds)
                print(
                    f"{told - began:.0f} s: peak {peak:.0f} MiB, journal {size_mib(run, 'journal/*.journal'):.0f} MiB,"
                    f" status in {seconds:.2f} s: {line}",
                    flush=True,
                )
        output = process.stdout.read()
        assert process.returncode == 0, output[-3000:]
        wall = time.monotonic() - began
        slowest = max(slowest, timed_status(run)[0])
        requests = json.loads((run / "costs/curate.json").read_text())
        print(*[line for line in output.splitlines() if " by " in line], sep="\n")
        print(
            json.dumps(
                {
                    "pictures": pictures, "seconds": round(wall), "peak_mib": round(peak),
                    "slowest_status_s": round(slowest, 2), "folded_mib": round(size_mib(run, "journal/*.h5")),
                    "folded_files": len(list(run.glob("journal/*.h5"))),
                    "journal_mib_left": round(size_mib(run, "journal/*.journal")),
                    "costs": requests,
                }
            )
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
