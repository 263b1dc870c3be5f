"""kill -9 at many random moments of a faulty run of the request engine; the stand-in server's log is the judge.

    BENCH_REQUESTS=PATH python3 tests/fault/llm_kill.py [--kills 50] [--items 2000]

Holds: the results equal those of a calm run; no item is lost or counted twice; an item is paid for twice only by a
fault that spoils a paid answer or by a kill while it was in flight (at most as many as may be in flight, a kill). Exit
77: the driver is not built.
"""

import argparse
import collections
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

IN_FLIGHT = 16
FAULTS = {"rate_limited": 0.05, "error_500": 0.02, "reset": 0.01, "broken_json": 0.01, "stall": 0.01}
SPOILED = {"reset", "broken_json", "stall"}  # paid for, and cannot be used


def start_server(bench, folder, name, **settings):
    port_file = folder / f"{name}.port"
    server = subprocess.Popen(
        [
            bench, "serve", f"port_file={port_file}", f"request_log={folder / name}.jsonl", "latency_ms=20",
            "latency_sigma=0.5", "stall_s=20", "threads=2000", *(f"{k}={v}" for k, v in settings.items()),
        ],
        stderr=subprocess.DEVNULL,
    )
    for _ in range(600):
        if port_file.exists():
            return server, f"http://127.0.0.1:{port_file.read_text().strip()}/v1"
        time.sleep(0.05)
    raise SystemExit("the stand-in server did not start")


def command(bench, folder, name, url, items):
    return [
        bench, "ask", f"urls={url}", f"journal={folder / name}-journal", f"results={folder / name}.tsv",
        f"items={items}", f"concurrency={IN_FLIGHT}", "timeout_s=1", "backoff_first_s=0.05", "backoff_longest_s=1",
        "attempts=20", "ask_again=20", "queued_items=200",
    ]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--items", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    bench = os.environ.get("BENCH_REQUESTS", "")
    if not Path(bench).is_file():
        print("BENCH_REQUESTS names no program: skipped")
        return 77
    random.seed(args.seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        server, url = start_server(bench, folder, "calm")
        subprocess.run(
            command(bench, folder, "calm", url, args.items), check=True, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        server.send_signal(signal.SIGTERM), server.wait()

        server, url = start_server(bench, folder, "faulty", **FAULTS)
        kills = 0
        for life in range(args.kills * 4):
            process = subprocess.Popen(
                command(bench, folder, "faulty", url, args.items), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            try:
                # Later lives are let run longer, so that kills fall into every part of the run.
                process.wait(timeout=random.uniform(0.05, 0.6) if kills < args.kills else 600)
                break
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                process.wait()
                kills += 1
        assert process.returncode == 0, f"the last life ended with {process.returncode}"
        server.send_signal(signal.SIGTERM), server.wait()

        calm, faulty = (folder / "calm.tsv").read_text(), (folder / "faulty.tsv").read_text()
        assert calm == faulty, "the results differ from those of the calm run"
        assert len(faulty.splitlines()) == args.items and faulty.count("\tanswered\t") == args.items
        paid, spoiled = collections.Counter(), collections.Counter()
        for line in (folder / "faulty.jsonl").read_text().splitlines():
            entry = json.loads(line)
            paid[entry["content"]] += entry["paid"]
            spoiled[entry["content"]] += entry["paid"] and entry["outcome"] in SPOILED
        assert len(paid) == args.items
        bought_twice = sum(paid[c] - spoiled[c] - 1 for c in paid)
        assert all(paid[c] - spoiled[c] >= 1 for c in paid), "an item counts as answered that the server never answered"
        assert (
            bought_twice <= kills * IN_FLIGHT
        ), f"{bought_twice} bought twice in {kills} kills of at most {IN_FLIGHT} in flight"
        print(
            f"{kills} kills, {args.items} items: results as in the calm run; {sum(paid.values())} paid,"
            f" {sum(spoiled.values())} of them spoiled by faults, {bought_twice} bought twice (at most"
            f" {kills * IN_FLIGHT} were in flight at the kills)"
        )
        assert kills >= min(args.kills, 3), "the run was over before it was killed often enough; give more --items"
    return 0


if __name__ == "__main__":
    sys.exit(main())
