"""Runs the whole program as its users do (mpirun, a job file, a simulator beside it), kills it, and compares run
directories."""

import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path += [str(ROOT / "tests"), str(ROOT / ".deps/peers")]  # h5py: jobs/setup.sh peers
from same_hdf5 import differences  # noqa: E402

STAMPS = pathlib.Path("/usr/share/tuxpaint/stamps")


def program():
    """The executable under test: TASKGALAXY, given by CMake."""
    return os.environ.get("TASKGALAXY", str(ROOT / "build/release/src/app/taskgalaxy"))


def small_pool(folder, every=8):
    """Copies every `every`-th stamp with its caption, folders kept: a pool that a test can afford."""
    pictures = sorted(STAMPS.rglob("*.png"))
    if not pictures:
        print(f"skipped: {STAMPS} is missing; apt-get install tuxpaint-stamps-default")
        sys.exit(77)
    for picture in pictures[::every]:
        target = folder / picture.relative_to(STAMPS)
        target.parent.mkdir(parents=True, exist_ok=True)
        for source in (picture, picture.with_suffix(".txt")):
            if source.exists():
                shutil.copy(source, target.parent)
    return folder


def descendants(pid):
    """Every process below `pid`, from /proc; mpirun's ranks are in sessions of their own, so a process group is not
    enough."""
    children = {}
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
            except OSError:
                continue
            children.setdefault(int(fields[1]), []).append(int(entry.name))
    found, todo = [], [pid]
    while todo:
        below = children.get(todo.pop(), [])
        found += below
        todo += below
    return found


class Simulator:
    def __init__(self, pool, *settings, variables=None):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="taskgalaxy-simulator-"))
        port_file = self.folder / "port"
        sets = [f"simulator.port_file={port_file}", f"pool.sources=folder:{pool}", *settings]
        self.process = subprocess.Popen(
            [program(), "simulate", str(ROOT / "jobs/demo.cfg")] + [word for s in sets for word in ("--set", s)],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd=ROOT, env={**os.environ, **(variables or {})})
        for _ in range(300):
            if port_file.exists():
                break
            if self.process.poll() is not None:
                raise RuntimeError("the simulator ended: " + self.process.stderr.read().decode())
            time.sleep(0.1)
        self.url = f"http://127.0.0.1:{port_file.read_text().strip()}/v1"

    def close(self):
        self.process.terminate()
        self.process.wait(timeout=30)
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Job:
    """One run directory and the settings and variables of the environment it is run with."""

    def __init__(self, folder, simulator_url, *settings, stages=None, job="jobs/demo.cfg", variables=None):
        self.folder, self.url, self.settings, self.stages, self.job = (
            pathlib.Path(folder), simulator_url, settings, stages, job,
        )
        self.variables = dict(variables or {})

    def command(self, ranks, extra=(), words=()):
        sets = [f"run.folder={self.folder}", *self.settings, *extra]
        command = ["mpirun", "--oversubscribe", "-n", str(ranks), program(), "run", str(ROOT / self.job)]
        if self.stages:
            command += ["--stages", self.stages]
        return command + list(words) + [word for s in sets for word in ("--set", s)]

    def environment(self):
        return {**os.environ, "TASKGALAXY_SIMULATOR": self.url, "OMP_NUM_THREADS": "1",
                "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1", **self.variables}

    def start(self, ranks, extra=(), words=()):
        return subprocess.Popen(
            self.command(ranks, extra, words), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=ROOT,
            env=self.environment(), text=True,
        )

    def run(self, ranks, extra=(), expect=0, timeout=900):
        return self.finish(self.start(ranks, extra), expect, timeout)

    def finish(self, process, expect=0, timeout=900):
        try:
            output, _ = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            kill_tree(process)
            raise AssertionError(f"hung after {timeout} s: {' '.join(process.args)}")
        assert process.returncode == expect, f"exit code {process.returncode}, expected {expect}:\n{output[-4000:]}"
        return output

    def run_and_kill(self, ranks, when, extra=(), timeout=600, delay=0.0):
        """kill -9 of mpirun and every rank as soon as when() holds. False if the run ended before."""
        process = self.start(ranks, extra)
        deadline = time.time() + timeout
        while process.poll() is None and not when() and time.time() < deadline:
            time.sleep(0.005)
        time.sleep(delay)
        killed = process.poll() is None
        kill_tree(process)
        return killed


def kill_tree(process):
    pids = descendants(process.pid) + [process.pid]
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    process.communicate()
    for _ in range(200):  # the kernel drops locks and ports only when the last one is gone
        if not any(pathlib.Path(f"/proc/{pid}").exists() for pid in pids):
            return
        time.sleep(0.05)


def same_hdf5(a, b, ignored=()):
    """Every name, type, shape, attribute and bit is equal, but for what is ignored (tests/same_hdf5.py)."""
    found = differences(a, b, ignored)
    assert not found, f"{a} and {b} differ:\n" + "\n".join(found[:20])


def same_bytes(a, b):
    assert pathlib.Path(a).read_bytes() == pathlib.Path(b).read_bytes(), f"{a} and {b} differ"


def seeded(name):
    """Random numbers for a test that name their seed, so that a failure can be done again (TASKGALAXY_SEED)."""
    seed = int(os.environ.get("TASKGALAXY_SEED", random.randrange(1 << 30)))
    print(f"{name}: TASKGALAXY_SEED={seed}")
    return random.Random(seed)
