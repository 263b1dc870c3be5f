"""Real jobs on a real (local) Slurm: two nodes under srun and mpirun, requeues, scancel --signal, a node that is lost
and one that is back before Slurm misses it, the lock on a run directory, dependent phases, an array and a scaling
study, each but the last against the results of a calm run. Skipped, with the reason, where Slurm cannot be installed or
started."""

import os
import pathlib
import subprocess
import sys
import tempfile
import time

from program import ROOT, Simulator, program, same_bytes, same_hdf5, small_pool

RESULTS = ("pool.h5", "taxonomy.h5", "image_embeddings.h5", "text_embeddings.h5", "matches.h5", "samples.h5")
LOOK_AND_ASK = ("--stages", "ingest,expand,embed,match,refine,generate,screen,export")
SMALL = (
    "pool.items_per_part=4", "embed.images_per_part=4", "expand.level1_target=8", "expand.level2_target=24",
    "expand.level3_target=48", "train.max_steps=4", "benchmark.stamps.limit=20", "benchmark.stamps_yesno.limit=20",
)
DEMO = "jobs/demo.cfg"
TWO_BY_TWO = ("--nodes=2", "--ntasks-per-node=2")
ALONE = ("--nodes=1", "--ntasks-per-node=1")
ENDED = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY")


def asking_takes(minutes):
    """A setting: the small job asks about 250 times."""
    return f"endpoint.generator.requests_per_minute={round(250 / minutes)}"


def shell(*words, **more):
    return subprocess.run([str(word) for word in words], capture_output=True, text=True, **more)


class Cluster:
    def __init__(self, folder):
        self.folder = folder
        started = self.do("start", 2, 4)
        if started.returncode == 77:
            print("skipped:", started.stderr.strip())
            sys.exit(77)
        assert started.returncode == 0, started.stderr
        os.environ.update(line.removeprefix("export ").split("=", 1) for line in started.stdout.splitlines())

    def do(self, verb, *words):
        return shell(ROOT / "slurm/testing/cluster.sh", verb, self.folder, *words)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.do("stop")


def shown(job):
    return shell("scontrol", "-o", "show", "job", job).stdout


def field(job, name):
    for word in shown(job).split():
        if word.startswith(name + "="):
            return word.split("=", 1)[1]
    return ""


def requeues(job):
    return int(field(job, "Restarts") or 0)


def submit(script, *words, options=(), **variables):
    result = shell(
        "sbatch", "--parsable", "--output", logs / "job-%j.log", *options, ROOT / "slurm" / script, *words,
        env={**os.environ, **variables}, cwd=ROOT,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.split(";")[0].strip()


def log_of(job):
    path = logs / f"job-{job}.log"
    return path.read_text(errors="replace") if path.exists() else ""


def until(condition, what, timeout=120, job=None):
    end = time.time() + timeout
    while not condition():
        assert time.time() < end, f"{what} did not happen within {timeout} s" + (
            f"\n{shown(job)}{log_of(job)[-3000:]}" if job else ""
        )
        time.sleep(0.1)


def amid(job, run):
    """Waits until `job` has its pictures and asks: a state that lasts, however fast the machine, unlike a file that is
    there for a moment."""
    until(lambda: (run / "pool.h5").exists() and list(run.glob("journal/*")), "the first question", job=job)
    assert (
        field(job, "JobState") == "RUNNING"
    ), f"job {job} was over too soon: nothing is tested\n{shown(job)}{log_of(job)[-3000:]}"


def ended(job, timeout=300):
    """The final state of a job. One that waits to be begun again is let go at once instead of after Slurm's two
    minutes."""
    state, waits = "", 0

    def over():
        nonlocal state, waits
        state = field(job, "JobState")
        waits = waits + 1 if state == "PENDING" and requeues(job) else 0
        if waits == 20:  # 2 s: its last life must be quite gone
            shell("scontrol", "update", f"JobId={job}", "StartTime=now")
        if state not in ENDED:
            return False
        time.sleep(1)  # a job on its way back into the queue looks failed for a moment
        return field(job, "JobState") == state

    until(over, f"the end of job {job}", timeout, job)
    return state


def completed(job):
    state = ended(job)
    assert state == "COMPLETED", f"job {job}: {state}\n{shown(job)}{log_of(job)[-3000:]}"


def sets(folder, *more):
    return [
        "--set",
        f"run.folder={folder}",
        *(word for s in (f"pool.sources=folder:{pool}", *SMALL, *more) for word in ("--set", s)),
    ]


def same_results(run):
    for name in RESULTS:
        same_hdf5(calm / name, run / name)
    same_bytes(calm / "export/train.json", run / "export/train.json")


begun = time.time()


def tell(text):
    print(f"[{time.time() - begun:5.1f} s] {text}", flush=True)


with tempfile.TemporaryDirectory() as scratch:
    scratch = pathlib.Path(scratch)
    logs = scratch / "logs"
    logs.mkdir()
    pool = small_pool(scratch / "pool", every=24)
    with Cluster(scratch / "slurm") as cluster, Simulator(pool, "simulator.latency_ms=20") as simulator:
        os.environ.update(
            TASKGALAXY=program(), TASKGALAXY_ROOT=str(ROOT), TASKGALAXY_SIMULATOR=simulator.url, OMP_NUM_THREADS="1",
            OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1", TASKGALAXY_MPIRUN_OPTIONS="--oversubscribe",
        )

        calm = scratch / "calm"
        completed(submit("run.sbatch", DEMO, *LOOK_AND_ASK, *sets(calm), options=TWO_BY_TWO))
        tell("2 nodes x 2 tasks under srun --mpi=pmix: done")

        by_mpirun = scratch / "mpirun"
        completed(
            submit("run.sbatch", DEMO, *LOOK_AND_ASK, *sets(by_mpirun), options=TWO_BY_TWO, TASKGALAXY_LAUNCH="mpirun")
        )
        same_results(by_mpirun)
        tell("the same under mpirun: equal results")

        # Slurm's own limit of a minute, of which the program keeps all but some seconds for its stop; asking alone
        # takes longer.
        often = scratch / "often"
        job = submit(
            "run.sbatch", DEMO, *LOOK_AND_ASK,
            *sets(often, "run.stop_margin_s=50", asking_takes(minutes=1)),
            options=(*TWO_BY_TWO, "--time=1", "--signal=USR1@1"),
        )
        completed(job)
        assert requeues(job) >= 2, f"only {requeues(job)} requeues: nothing was tested\n{log_of(job)}"
        same_results(often)
        tell(f"a short time limit: {requeues(job)} requeues, equal results")

        # Where requeueing is not allowed the script is submitted again, with its words and size.
        cancelled = scratch / "signal"
        job = submit(
            "run.sbatch", DEMO, *LOOK_AND_ASK, *sets(cancelled, asking_takes(minutes=0.25)),
            options=(*TWO_BY_TWO, "--no-requeue"),
        )
        amid(job, cancelled)
        sent = time.time()
        shell("scancel", "--signal=USR1", job)
        until(lambda: "Submitted batch job" in log_of(job), "another submission after scancel --signal", 60, job)
        tell(f"scancel --signal=USR1: stopped and submitted again after {time.time() - sent:.1f} s")
        completed(log_of(job).split("Submitted batch job")[1].split()[0])
        same_results(cancelled)

        # Slurm misses a node after SlurmdTimeout; one that is back before that, with its tasks gone, only the ranks
        # themselves can miss.
        for name, back_at_once in (("lost", False), ("blinked", True)):
            lost = scratch / name
            job = submit("run.sbatch", DEMO, *LOOK_AND_ASK, *sets(lost, asking_takes(minutes=0.25)), options=TWO_BY_TWO)
            amid(job, lost)
            cut = cluster.do("lose", "n2")
            assert cut.returncode == 0, cut.stderr
            sent = time.time()
            if back_at_once:
                cluster.do("back", "n2")
            until(lambda: requeues(job), "the requeue after the loss of a node", 90, job)
            tell(
                f"a node killed with all its ranks{', back at once' if back_at_once else ''}: requeued after"
                f" {time.time() - sent:.1f} s"
            )
            if back_at_once:
                assert "is gone (its process or node died)" in log_of(
                    job
                ), f"the ranks did not miss it\n{log_of(job)[-3000:]}"
            else:
                cluster.do("back", "n2")
            completed(job)
            same_results(lost)
            tell("and went on to equal results")

        # From here on jobs share the nodes: nothing more is lost.
        shared = scratch / "shared"
        first = submit("run.sbatch", DEMO, *LOOK_AND_ASK, *sets(shared), options=ALONE)
        until(lambda: (shared / "run.h5").exists(), "the first job's start", job=first)
        second = submit("run.sbatch", DEMO, *LOOK_AND_ASK, *sets(shared), options=ALONE)
        refusal = (
            next((line for line in log_of(second).splitlines() if "in use by" in line), "")
            if ended(second) == "FAILED"
            else ""
        )
        assert f"(Slurm job {first})" in refusal, f"the second job on one run directory:\n{log_of(second)}"
        tell("two jobs on one run directory, the second: " + refusal)

        chain = scratch / "chain"
        phases = shell(
            ROOT / "slurm/phases.sh", DEMO, *sets(chain), cwd=ROOT,
            env={
                **os.environ, "SBATCH_OUTPUT": str(logs / "job-%j.log"), "LOOK": "--nodes=2", "ASK": " ".join(ALONE),
                "TRAIN": "--nodes=2",
            },
        )
        assert phases.returncode == 0, phases.stderr
        points = scratch / "points.txt"
        points.write_text(
            "".join(f"{' '.join(LOOK_AND_ASK)} {' '.join(sets('')[2:])} --set match.k={k}\n" for k in (3, 5, 20))
        )
        array = submit("study.sbatch", DEMO, points, scratch / "study", options=("--array=1-3%2", *ALONE))
        scaling = submit(
            "scaling/scaling.sbatch", scratch / "scaling", DEMO, pool, "1,2", "--repeats", "1", "--items", "32",
            "--items-per-rank", "16", "--types", "64", options=("--nodes=1", "--ntasks-per-node=2"),
        )
        completed(first)
        same_results(shared)
        for job in phases.stdout.split():
            completed(job)
        same_results(chain)
        assert (chain / "report/index.html").exists()
        tell("three dependent phases: done, with report")
        until(lambda: not shell("squeue", "-h", "-j", array).stdout.strip(), "the end of the array", 300)
        states = shown(array)
        assert states.count("JobState=COMPLETED") == 3, states
        same_results(scratch / "study/3")
        tell("an array of a 3-point study: done")
        completed(scaling)
        assert "checkpoint read" in log_of(scaling) and (scratch / "scaling/model.svg").exists(), log_of(scaling)
        tell("a scaling study inside one allocation: done")
