"""Real jobs on a real (local) Slurm: two nodes, requeues, scancel --signal, a node that dies, the lock on a run directory, dependent
phases and an array. Skipped, with the reason, where Slurm cannot be installed or started."""
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time

from program import ROOT, Simulator, program, same_bytes, same_hdf5, small_pool

RESULTS = ("pool.h5", "taxonomy.h5", "image_embeddings.h5", "matches.h5", "samples.h5")
LOOK_AND_ASK = "ingest,expand,embed,match,refine,generate,screen,export"


def shell(*words, **more):
    return subprocess.run(words, capture_output=True, text=True, **more)


class Cluster:
    def __init__(self, folder):
        self.folder = folder
        started = shell(str(ROOT / "slurm/testing/cluster.sh"), "start", str(folder), "2", "4")
        if started.returncode == 77:
            print("skipped:", started.stderr.strip())
            sys.exit(77)
        assert started.returncode == 0, started.stderr
        os.environ["SLURM_CONF"] = str(folder / "slurm.conf")

    def close(self):
        shell(str(ROOT / "slurm/testing/cluster.sh"), "stop", str(self.folder))

    def restart_node(self, name):
        shell("slurmd", "-f", os.environ["SLURM_CONF"], "-N", name)


def field(job, name):
    text = shell("scontrol", "-o", "show", "job", job).stdout
    for word in text.split():
        if word.startswith(name + "="):
            return word.split("=", 1)[1]
    return ""


def submit(script, *words, options=(), environment=()):
    result = shell("sbatch", "--parsable", "--output", str(logs / "job-%j.log"), *options, str(ROOT / "slurm" / script), *words,
                   env={**os.environ, **dict(environment)}, cwd=ROOT)
    assert result.returncode == 0, result.stderr
    return result.stdout.split(";")[0].strip()


def wait(job, states=("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY"), timeout=400):
    """Until the job is in one of `states`; a requeued job is let go at once instead of after Slurm's two minutes."""
    end = time.time() + timeout
    while time.time() < end:
        state = field(job, "JobState")
        if state in states:
            return state
        if state == "PENDING" and field(job, "Restarts") not in ("", "0"):
            shell("scontrol", "update", f"JobId={job}", "StartTime=now")
        time.sleep(0.3)
    raise AssertionError(f"job {job} is {field(job, 'JobState')} after {timeout} s:\n{log_of(job)[-3000:]}")


def log_of(job):
    path = logs / f"job-{job}.log"
    return path.read_text(errors="replace") if path.exists() else ""


def completed(job):
    state = wait(job)
    assert state == "COMPLETED", f"job {job}: {state}\n{log_of(job)[-3000:]}"
    return job


def sets(folder, *more):
    return [word for s in (f"run.folder={folder}", f"pool.sources=folder:{pool}", *more) for word in ("--set", s)]


def equal_results(a, b):
    for name in RESULTS:
        same_hdf5(a / name, b / name)
    same_bytes(a / "export/train.json", b / "export/train.json")


def until(condition, what, timeout=120):
    end = time.time() + timeout
    while not condition():
        assert time.time() < end, f"{what} did not happen within {timeout} s"
        time.sleep(0.05)


demo = "jobs/demo.cfg"
two_by_two = ("--nodes=2", "--ntasks-per-node=2")
with tempfile.TemporaryDirectory() as scratch:
    scratch = pathlib.Path(scratch)
    logs = scratch / "logs"
    logs.mkdir()
    pool = small_pool(scratch / "pool", every=8)
    cluster = Cluster(scratch / "slurm")
    try:
        with Simulator(pool, "simulator.latency_ms=20") as simulator:
            os.environ.update(TASKGALAXY=program(), TASKGALAXY_ROOT=str(ROOT), TASKGALAXY_SIMULATOR=simulator.url, OMP_NUM_THREADS="1",
                              OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1", TASKGALAXY_SRUN_OPTIONS="--overcommit",
                              TASKGALAXY_MPIRUN_OPTIONS="--oversubscribe")
            calm = scratch / "calm"
            completed(submit("run.sbatch", demo, "--stages", LOOK_AND_ASK, *sets(calm), options=two_by_two))
            print("2 nodes x 2 tasks under srun --mpi=pmix: done")

            by_mpirun = scratch / "mpirun"
            completed(submit("run.sbatch", demo, "--stages", LOOK_AND_ASK, *sets(by_mpirun), options=two_by_two, environment={"TASKGALAXY_LAUNCH": "mpirun"}.items()))
            equal_results(calm, by_mpirun)
            print("the same under mpirun: equal results")

            # Its own time limit stops each life after a few seconds; Slurm brings it back until it is done.
            slow = ["pool.items_per_part=4", "embed.images_per_part=4", "refine.images_per_part=4"]
            often = scratch / "often"
            job = submit("run.sbatch", demo, "--stages", LOOK_AND_ASK, *sets(often, *slow, "run.time_limit_s=7", "run.stop_margin_s=4"), options=two_by_two)
            completed(job)
            lives = int(field(job, "Restarts"))
            assert lives >= 2, f"only {lives} requeues: nothing was tested"
            equal_results(calm, often)
            print(f"{lives} requeues: equal results")

            cancelled = scratch / "signal"
            job = submit("run.sbatch", demo, "--stages", LOOK_AND_ASK, *sets(cancelled, *slow), options=two_by_two)
            until(lambda: list(cancelled.glob("journal/*.journal")), "asking")
            start = time.time()
            shell("scancel", "--signal=USR1", job)
            until(lambda: field(job, "Restarts") not in ("", "0"), "the requeue after scancel --signal", 60)
            print(f"scancel --signal=USR1: requeued after {time.time() - start:.1f} s")
            completed(job)
            equal_results(calm, cancelled)

            first = submit("run.sbatch", demo, "--stages", LOOK_AND_ASK, *sets(scratch / "shared", *slow), options=("--nodes=1", "--ntasks-per-node=1"))
            until(lambda: (scratch / "shared/run.h5").exists(), "the first job's start")
            second = submit("run.sbatch", demo, "--stages", LOOK_AND_ASK, *sets(scratch / "shared", *slow), options=("--nodes=1", "--ntasks-per-node=1"))
            assert wait(second) == "FAILED" and "is in use by process" in log_of(second), log_of(second)
            completed(first)
            print("two jobs on one run directory: the second refused:", next(line for line in log_of(second).splitlines() if "in use by" in line))

            lost = scratch / "lost"
            job = submit("run.sbatch", demo, "--stages", LOOK_AND_ASK, *sets(lost, *slow), options=two_by_two)
            until(lambda: list(lost.glob("parts/*/*.h5")), "the first part")
            node_pid = int((scratch / "slurm/slurmd-n2.pid").read_text())
            os.kill(node_pid, signal.SIGKILL)
            for step in shell("pgrep", "-f", "slurmstepd.*").stdout.split():
                environment = pathlib.Path(f"/proc/{step}/cmdline").read_bytes() if pathlib.Path(f"/proc/{step}").exists() else b""
                if b"n2" in environment:
                    os.kill(int(step), signal.SIGKILL)
            cluster.restart_node("n2")
            wait(job, states=("COMPLETED", "FAILED", "NODE_FAIL", "CANCELLED"))
            if field(job, "JobState") != "COMPLETED":
                completed(submit("run.sbatch", demo, "--stages", LOOK_AND_ASK, *sets(lost, *slow), options=two_by_two))
            equal_results(calm, lost)
            print("a slurmd killed in the middle: equal results after going on")

            chain = scratch / "chain"
            os.environ["SBATCH_OUTPUT"] = str(logs / "job-%j.log")
            wrapper = scratch / "chain.cfg"
            text = (ROOT / demo).read_text().replace("folder = runs/demo", f"folder = {chain}").replace("folder:/usr/share/tuxpaint/stamps", f"folder:{pool}")
            wrapper.write_text(text + "\n[train]\nmax_steps = 4\n" if "[train]" not in text else text.replace("[train]\n", "[train]\nmax_steps = 4\n"))
            submitted = shell(str(ROOT / "slurm/phases.sh"), str(wrapper), cwd=ROOT, env={**os.environ, "LOOK": "--nodes=2", "ASK": "--nodes=1 --ntasks-per-node=1", "TRAIN": "--nodes=2"})
            assert submitted.returncode == 0, submitted.stderr
            for job in submitted.stdout.split():
                completed(job)
            equal_results(calm, chain)
            assert (chain / "report/index.html").exists()
            print("three dependent phases: done, with report")

            settings = scratch / "k.txt"
            settings.write_text("".join(f"--stages {LOOK_AND_ASK} --set pool.sources=folder:{pool} --set match.k={k}\n" for k in (3, 5, 20)))
            array = submit("study.sbatch", demo, str(settings), str(scratch / "study"), options=("--array=1-3%2", "--nodes=1", "--ntasks-per-node=1"))
            for index in (1, 2, 3):
                until(lambda: (scratch / f"study/{index}/export/train.json").exists(), f"array task {index}", 300)
            until(lambda: not shell("squeue", "-h", "-j", array).stdout.strip(), "the end of the array", 60)
            equal_results(calm, scratch / "study/3")
            print("an array of 3 points: done")
    finally:
        cluster.close()
