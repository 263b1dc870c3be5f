"""Do refinement, generation and screening overlap? Each asks an endpoint with a limit of its own; the whole should take
little longer than the endpoint that needs longest by itself.

    python3 tests/benchmarks/overlap.py [--ranks 2]

The demo's pictures and simulator; limits are those that the job states (requests a minute). An endpoint's own time:
requests sent / limit.
"""

import argparse
import collections
import json
import pathlib
import re
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/fault"))
from program import STAMPS, Job, Simulator  # noqa: E402

LIMITS = {"refiner": 1200, "generator": 900, "judge1": 2400, "judge2": 1600, "judge3": 2400}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ranks", type=int, default=2)
    ranks = parser.parse_args().ranks
    with tempfile.TemporaryDirectory() as scratch, Simulator(
        STAMPS, "simulator.threads=400", "simulator.latency_ms=500"
    ) as simulator:
        run = pathlib.Path(scratch) / "run"
        Job(run, simulator.url, stages="ingest,expand,embed,match").run(ranks)
        settings = [f"endpoint.{name}.requests_per_minute={limit}" for name, limit in LIMITS.items()]
        settings += [
            f"endpoint.refiner.urls={simulator.url}", "endpoint.refiner.model=simulated-refiner",
            "endpoint.refiner.price_in=1", "endpoint.refiner.price_out=1", "refine.endpoint=refiner",
        ]
        output = Job(run, simulator.url, *settings, stages="refine,generate,screen").run(ranks)
        # The stage's own seconds: mpirun's start and the checks before are not asking.
        value, unit = re.search(r"curate: done in (?:(\d+) min )?([\d.]+) s", output).groups()
        wall = 60 * int(value or 0) + float(unit)
        sent = collections.Counter()
        for row in json.loads((run / "costs/curate.json").read_text()):
            sent[row["endpoint"]] += row["sent"]
        own = {name: 60 * count / LIMITS[name] for name, count in sent.items()}
        slowest = max(own, key=own.get)
        print("; ".join(f"{name}: {sent[name]} requests at {LIMITS[name]}/min are {own[name]:.1f} s" for name in own))
        print(
            f"all three steps, {ranks} ranks: {wall:.1f} s, {wall / own[slowest]:.3f} of {slowest}'s own time; one"
            " after the other they would take"
            f" {own['refiner'] + own['generator'] + max(v for k, v in own.items() if k.startswith('judge')):.1f} s"
        )


if __name__ == "__main__":
    main()
