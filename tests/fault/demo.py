"""The demo as its users run it: the whole pool, every stage, and figures that must hold whatever the machine."""
import json
import pathlib
import re
import subprocess
import tempfile

from program import Job, STAMPS, Simulator, program

with tempfile.TemporaryDirectory() as scratch:
    run = pathlib.Path(scratch) / "demo"
    with Simulator(STAMPS) as simulator:
        summary = Job(run, simulator.url).run(2)
    print(summary[-2000:])
    for name in (
        "report/index.html", "export/train.json", "export/train.internvl.jsonl", "export/README.md",
        "export/model/config.json", "evaluation.h5",
    ):
        assert (run / name).stat().st_size > 0, f"{name} is missing or empty"
    page = (run / "report/index.html").read_text()
    assert "<script src" not in page and 'href="http' not in page, "the report is not self-contained"

    held_out = set((pathlib.Path(__file__).parents[2] / "inputs/demo/held_out.txt").read_text().split())
    trained_on = {sample["image"] for sample in json.loads((run / "export/train.json").read_text())}
    assert trained_on and not trained_on & held_out, "held-out pictures are in the training file"

    hits, chance = map(
        float, re.search(r"own folder among the first 10 for ([\d.]+) %.* ([\d.]+) % by chance", summary).groups()
    )
    assert hits > 4 * chance, f"matching is hardly better than chance: {hits} % against {chance} %"
    precision, recall = map(float, re.search(r"precision ([\d.]+) %, recall ([\d.]+) %", summary).groups())
    assert precision > 50 and recall > 80, f"screening: precision {precision} %, recall {recall} %"
    before, after = map(float, re.search(r"stamps: ([\d.]+) before, ([\d.]+) after", summary).groups())
    assert after > before + 10, f"fine-tuning taught little: {before} before, {after} after"

    again = Job(run, simulator.url).run(2)  # with no simulator any more: nothing is left to ask
    assert all(f"{stage}: done before" in again for stage in ("ingest", "curate", "train", "report")), again
    status = json.loads(
        subprocess.run([program(), "status", str(run), "--json"], capture_output=True, text=True, check=True).stdout
    )
    assert all(stage["done"] for stage in status["stages"].values()), status
