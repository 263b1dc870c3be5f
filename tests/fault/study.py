"""A small scaling study: stopped in the middle and gone on with, its tables agree with each other, its charts are
drawn."""

import csv
import os
import pathlib
import signal
import subprocess
import tempfile
import time

from program import ROOT, program, small_pool

PHASES = {"ingest", "embed", "match", "gather", "training step", "checkpoint write", "checkpoint read"}

with tempfile.TemporaryDirectory() as scratch:
    scratch = pathlib.Path(scratch)
    study = scratch / "study"
    words = [
        program(), "study", "scaling", str(study), str(ROOT / "jobs/scaling.cfg"), "--pictures",
        str(small_pool(scratch / "pool", every=20)), "--ranks", "1,2", "--repeats", "1", "--items", "48",
        "--items-per-rank", "32", "--types", "64", "--set", f"embed.model={ROOT}/inputs/models/demo-clip", "--set",
        f"train.model={ROOT}/inputs/models/demo-vlm",
    ]
    environment = {
        **os.environ, "OMP_NUM_THREADS": "1", "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    }
    first = subprocess.Popen(
        words, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    end = time.time() + 120
    while not (study / "strong-1-1.csv").exists() and first.poll() is None and time.time() < end:
        time.sleep(0.05)
    first.send_signal(signal.SIGUSR1)
    output, _ = first.communicate(timeout=120)
    assert first.returncode == 75, f"exit code {first.returncode} after SIGUSR1:\n{output}"
    kept = (study / "strong-1-1.csv").stat().st_mtime_ns

    done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (study / "strong-1-1.csv").stat().st_mtime_ns == kept, "a measured point was measured again"
    rows = list(csv.DictReader((study / "scaling.csv").open()))
    for mode in ("strong", "weak"):
        for ranks in ("1", "2"):
            found = {row["phase"] for row in rows if (row["mode"], row["ranks"]) == (mode, ranks)}
            assert found == PHASES, f"{mode}, {ranks} ranks: {sorted(PHASES - found)} missing"
    assert all(float(row["seconds"]) > 0 for row in rows)
    step = {
        row["ranks"]: int(row["collective_bytes"])
        for row in rows
        if row["mode"] == "strong" and row["phase"] == "training step"
    }
    assert step["2"] > 1_000_000 > step["1"], f"gradients of a step are summed over two ranks, not over one: {step}"
    modelled = list(csv.DictReader((study / "model.csv").open()))
    assert {int(row["ranks"]) for row in modelled} == {2**i for i in range(13)} and {
        row["phase"] for row in modelled
    } == PHASES
    for row in modelled:
        parts = sum(float(row[name]) for name in ("compute_s", "communication_s", "files_s"))
        assert abs(parts - float(row["seconds"])) < 1e-5, row
    for chart in ("strong", "strong-efficiency", "weak", "weak-efficiency", "model"):
        assert (study / f"{chart}.svg").read_text().rstrip().endswith("</svg>")
    listed = subprocess.run(["h5ls", str(study / "scaling.h5")], capture_output=True, text=True, check=True).stdout
    assert f"{{{len(rows)}}}" in listed, listed
    print(f"study scaling: stopped, gone on with, {len(rows)} rows, {len(modelled)} modelled points")
