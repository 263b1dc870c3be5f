"""What users get wrong or meet: one clear line each and the right exit code; a bad picture is recorded and the run goes
on."""

import os
import pathlib
import subprocess
import tempfile

from program import Job, Simulator, program, small_pool


def expect(output, code_line, *words):
    lines = [line for line in output.splitlines() if all(word in line for word in words)]
    assert len(lines) == 1, f"{code_line}: wanted one line with {words}, got {len(lines)}:\n{output[-3000:]}"
    print(f"{code_line}: {lines[0].strip()[:300]}")


with tempfile.TemporaryDirectory() as scratch:
    scratch = pathlib.Path(scratch)
    pool = small_pool(scratch / "pool", every=40)
    here = [f"pool.sources=folder:{pool}"]
    nowhere = "http://127.0.0.1:9/v1"

    bad_job = scratch / "bad.cfg"
    bad_job.write_text("[match]\nkk = 10\n")
    output = Job(scratch / "a", nowhere, job=bad_job).run(2, expect=2)
    expect(output, "unknown key, exit 2", f"{bad_job}:2", "match.kk is not known", "did you mean 'k'?")

    output = Job(scratch / "b", nowhere, *here, f"embed.model={scratch}/no-such-clip").run(2, expect=3)
    expect(output, "missing weights folder, exit 3", "no-such-clip")

    output = Job(scratch / "c", nowhere, *here, "api.first_answer_s=3").run(2, expect=4, timeout=120)
    expect(output, "dead endpoint, exit 4", "127.0.0.1:9")

    # A picture cut in half: recorded, and the run goes on.
    victim = sorted(pool.rglob("*.png"))[3]
    victim.write_bytes(victim.read_bytes()[: victim.stat().st_size // 2])
    with Simulator(pool) as simulator:
        Job(scratch / "d", simulator.url, *here, stages="ingest,expand,embed,match,refine,generate,screen,export").run(
            2
        )
        dump = subprocess.run(
            ["h5dump", "-d", "/status", "-y", "-w", "0", str(scratch / "d/pool.h5")], capture_output=True, text=True
        ).stdout
        bad = [v for v in dump.split("DATA {")[1].split("}")[0].replace(",", " ").split() if v != "0"]
        assert len(bad) == 1, f"one picture is cut, {len(bad)} are recorded as unusable"
        status = subprocess.run([program(), "status", str(scratch / "d")], capture_output=True, text=True)
        assert status.returncode == 0 and "ingest" in status.stdout
        print("a picture cut in half: recorded in pool.h5, the run went on to the end")

        # A full disk: a small file system of its own, where this may be mounted.
        disk = scratch / "disk"
        disk.mkdir()
        if (
            os.geteuid() == 0
            and subprocess.run(
                ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)], capture_output=True
            ).returncode
            == 0
        ):
            try:
                output = Job(disk / "run", simulator.url, *here, "pool.items_per_part=4").run(2, expect=5, timeout=300)
                expect(output, "full disk, exit 5", str(disk), "No space left")
            finally:
                subprocess.run(["umount", str(disk)], check=True)
        else:
            print("skipped: a full disk (mounting a small file system is not allowed here)")

        # Changed settings are not mixed into results of others.
        output = Job(scratch / "d", simulator.url, *here, "match.k=4").run(2, expect=2)
        expect(
            output, "changed setting, exit 2", "stage match was done with other settings", "match.k 20 -> 4",
            "--redo match",
        )
