"""Servers that refuse, budgets, keys and stop signals, on the whole program: one clear line and the right exit code
each; after the mend the same command goes on to the end, buys nothing again and makes the samples of a calm run.

    python3 tests/fault/endpoints.py [CASE ...]
"""

import collections
import contextlib
import http.client
import http.server
import json
import os
import pathlib
import re
import secrets
import signal
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse

from program import Job, Simulator, program, same_hdf5, small_pool

STAGES = "ingest,expand,embed,match,refine,generate,screen"
NAMES = ["generator", "judge1", "judge2", "judge3"]
IN_FLIGHT = 4  # at each endpoint
BOUND_S = 60   # what cannot go on has ended by then; alone on its cores it takes 3 s
DRAIN_S = 5
KEY = "TASKGALAXY_TEST_KEY"


def of_each(setting, value):
    return [f"endpoint.{name}.{setting}={value}" for name in NAMES]


def command_lines():
    """Of all processes, by their number."""
    lines = {}
    for pid in os.listdir("/proc"):
        with contextlib.suppress(OSError):  # it ended meanwhile
            if pid.isdigit():
                lines[int(pid)] = pathlib.Path("/proc", pid, "cmdline").read_text(errors="replace")
    return lines


class Relay:
    """Stands before a simulator: speaks TLS where `certificate` is given; takes no key but `key`, and after
    `revoke_after` answers none but `next_key`. It repeats the key that it refuses, as some servers do."""

    def __init__(self, simulator, certificate=None, key=None, next_key=None, revoke_after=None):
        self.key, self.answered, self.refused = key, 0, 0
        relay, lock = self, threading.Lock()

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1  # head and body leave together

            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                given = self.headers.get("Authorization", "").removeprefix("Bearer ")
                with lock:
                    good = relay.key in (None, given)
                    relay.refused += not good
                    relay.answered += good and self.command == "POST"
                    if relay.answered == revoke_after:
                        relay.key = next_key
                status, answer = (
                    401,
                    json.dumps(
                        {"error": {"message": f"Incorrect API key provided: {given}.", "code": "invalid_api_key"}}
                    ).encode(),
                )
                if good:
                    onward = http.client.HTTPConnection(urllib.parse.urlsplit(simulator.url).netloc)
                    onward.request(self.command, self.path, body, {"Content-Type": "application/json"})
                    response = onward.getresponse()
                    status, answer = response.status, response.read()
                    onward.close()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            do_GET = do_POST
            log_message = lambda *_: None

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.handle_error = lambda *_: None  # a client that does not trust the certificate hangs up
        if certificate:
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(*certificate)
            self.server.socket = self.context.wrap_socket(
                self.server.socket, server_side=True, do_handshake_on_connect=False
            )
        self.url = f"{'https' if certificate else 'http'}://127.0.0.1:{self.server.server_port}/v1"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


class Case:
    """A run directory of its own, and a log of all that its simulators were asked."""

    def __init__(self, name):
        self.name, self.folder, self.log = name, scratch / name / "run", scratch / name / "requests"
        self.had = 0
        (scratch / name).mkdir()

    def simulator(self, *settings, variables=None):
        return Simulator(
            pool, f"ground_truth.pictures={pool}", f"simulator.request_log={self.log}", *settings, variables=variables
        )

    def job(self, url, *settings, stages=STAGES, variables=None):
        return Job(self.folder, url, *COMMON, *settings, stages=stages, variables=variables)

    def asked(self):
        return [json.loads(line) for line in self.log.read_text().split("\n")[:-1]] if self.log.exists() else []

    def paid(self):
        return collections.Counter(entry["content"] for entry in self.asked() if entry["paid"])

    def stopped(self, why, output, *words, level="error"):
        """The ranks agreed on one last line, which says `words`; nothing runs any more."""
        lines = [line for line in output.splitlines() if re.match(rf"\d\d:\d\d:\d\d {level} |taskgalaxy: rank ", line)]
        assert level == "error" or " error " not in output, output[-3000:]
        assert len(lines) == 1 and all(
            word in lines[0] for word in words
        ), f"{why}: wanted one line with {words}, got {len(lines)}:\n{output[-3000:]}"
        assert "MPI_ABORT" not in output, f"{why}: ended by force:\n{output[-3000:]}"
        left = [line for line in command_lines().values() if str(self.folder) in line]
        assert not left, f"{why}: still running: {left}"
        self.had = self.paid().total()
        print(f"{why}: {lines[0]}")

    def refused(self, outcome, count):
        """As many as were in flight, and no more."""
        assert (
            0 < count <= IN_FLIGHT * len(NAMES)
        ), f"{self.name}: {count} requests were refused ({outcome}) before it stopped"

    def done(self, amid=False):
        """At its end: the samples of the calm run, every answer bought once; `amid`: some, else none, of them before
        the mend."""
        same_hdf5(calm.folder / "samples.h5", self.folder / "samples.h5")
        paid, wanted = self.paid(), calm.paid()
        assert paid == wanted, (
            f"{self.name}: {paid.total()} answers were bought, {wanted.total()} by the calm run;"
            f" {sum(n > 1 for n in paid.values())} twice"
        )
        assert (0 < self.had < paid.total()) == amid, (
            f"{self.name}: {self.had} of {paid.total()} answers were bought before the mend, which is not what this"
            " case is about"
        )
        print(
            f"{self.name}: went on to the end; {self.had} answers were there, {paid.total() - self.had} bought, none"
            " twice"
        )

    def files_with(self, text):
        return [
            str(f.relative_to(self.folder))
            for f in self.folder.rglob("*")
            if f.is_file() and text.encode() in f.read_bytes()
        ]

    def run_unseen(self, job, keys, said):
        """To the end; the keys are in no file of the run directory, no line of `said` or of the output, and no command
        line."""
        seen, ended = set(), threading.Event()

        def watch():
            while not ended.wait(0.1):
                seen.update(command_lines().items())

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            said += job.run(2)
        finally:
            ended.set()
            watcher.join()
        # The search finds what is known to be there.
        assert sum(str(self.folder) in line for _, line in seen) >= 3, "mpirun and two ranks were not seen"
        for known, places in (
            ("judge1", ["job.cfg", "journal/", "log/", "report/"]),
            ("animal recognition", ["taxonomy.h5"]),
        ):
            found = self.files_with(known)
            assert all(
                any(file.startswith(place) for file in found) for place in places
            ), f"'{known}' was found in {found} only"
        for key in keys:
            assert not self.files_with(key), f"{self.name}: a key is in {self.files_with(key)}"
            assert key not in said, f"{self.name}: a key was said:\n{said}"
            assert not any(key in line for _, line in seen), f"{self.name}: a key was on a command line"
        print(f"{self.name}: {len(keys)} keys, in no file, output or command line")


def key_from_environment():
    case, right, wrong = Case("wrong key"), secrets.token_hex(20), secrets.token_hex(20)
    with case.simulator(f"simulator.key_env={KEY}", variables={KEY: right}) as simulator:
        job = case.job(simulator.url, *of_each("api_key_env", KEY), stages=STAGES + ",report", variables={KEY: wrong})
        said = job.run(2, expect=4, timeout=BOUND_S)
        case.stopped("wrong key at the start, exit 4", said, "endpoint generator at", "wrong key", "check the key")
        job.variables[KEY] = right
        case.run_unseen(job, [right, wrong], said)
    case.done()


def key_from_file():
    case, first, second, key_file = Case("revoked key"), secrets.token_hex(20), secrets.token_hex(20), scratch / "key"
    key_file.touch(mode=0o600)
    key_file.write_text(first + "\n")
    with case.simulator() as simulator, Relay(
        simulator, key=first, next_key=second, revoke_after=calm.paid().total() * 2 // 3
    ) as relay:
        job = case.job(relay.url, *of_each("api_key_file", key_file), stages=STAGES + ",report")
        said = job.run(2, expect=4, timeout=BOUND_S)
        case.stopped("key revoked amid the run, exit 4", said, "endpoint ", "wrong key", "check the key")
        case.refused("401", relay.refused)
        key_file.write_text(second + "\n")
        case.run_unseen(job, [first, second], said)
    case.done(amid=True)


def quota():
    case, tokens = Case("quota"), sum(entry["in"] + entry["out"] for entry in calm.asked())
    with case.simulator(f"simulator.quota_tokens={tokens * 2 // 3}") as simulator:
        job = case.job(simulator.url)
        case.stopped(
            "quota exhausted amid the run, exit 4", job.run(2, expect=4, timeout=BOUND_S), "endpoint ",
            "quota exhausted", "raise the account's quota",
        )
        case.refused("429 quota", sum(entry["outcome"] == "429 quota" for entry in case.asked()))
    with case.simulator(f"simulator.port={urllib.parse.urlsplit(simulator.url).port}"):
        job.run(2)
    case.done(amid=True)


def unknown_model():
    case = Case("unknown model")
    with case.simulator(
        "simulator.models=simulated-generator,simulated-judge-1,simulated-judge-2,simulated-judge-3"
    ) as simulator:
        output = case.job(simulator.url, "endpoint.judge2.model=no-such-judge").run(2, expect=4, timeout=BOUND_S)
        case.stopped(
            "unknown model, exit 4", output, "endpoint judge2 at", "unknown model", "no-such-judge", "check model"
        )
        case.job(simulator.url).run(2)
    case.done(amid=True)


def unknown_host():
    case = Case("unknown host")
    with case.simulator() as simulator:
        output = case.job(simulator.url, "endpoint.judge1.urls=https://nowhere.invalid/v1").run(
            2, expect=4, timeout=BOUND_S
        )
        case.stopped(
            "unknown host, exit 4", output, "endpoint judge1 at", "unknown host", "nowhere.invalid",
            "check the host name in urls",
        )
        case.job(simulator.url).run(2)
    case.done()


def expired_certificate():
    case, folder = Case("certificate"), scratch / "certificates"
    folder.mkdir()

    def openssl(*words):
        subprocess.run(["openssl", *words], check=True, capture_output=True, cwd=folder)

    new_key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes".split()
    openssl(
        "req", "-x509", *new_key, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=taskgalaxy test", "-days", "2"
    )
    openssl("req", *new_key, "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=127.0.0.1")
    (folder / "names").write_text("subjectAltName=IP:127.0.0.1\n")
    for name, days in (("expired.pem", "-1"), ("good.pem", "2")):
        openssl(
            *f"x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -extfile names -days {days} -out"
            f" {name}".split()
        )
    with case.simulator() as simulator, Relay(
        simulator, certificate=(folder / "expired.pem", folder / "server.key")
    ) as relay:
        job = case.job(relay.url, f"api.ca_bundle={folder / 'ca.pem'}")
        case.stopped(
            "expired certificate, exit 4", job.run(2, expect=4, timeout=BOUND_S), "endpoint generator at https://",
            "certificate has expired", "api.ca_bundle",
        )
        relay.context.load_cert_chain(folder / "good.pem", folder / "server.key")
        job.run(2)
    case.done()


def budget():
    case = Case("budget")
    # Each token for the same dollars, so that the simulator's log tells what was spent.
    prices = [*of_each("price_in", 2), *of_each("price_out", 2), "endpoint.generator.image_tokens=765"]
    dollars = lambda case: 2e-6 * sum(entry["in"] + entry["out"] for entry in case.asked())
    limit = dollars(calm) * 2 / 3
    with case.simulator() as simulator:
        output = case.job(simulator.url, *prices, f"api.budget_usd={limit:.4f}").run(2, expect=0, timeout=BOUND_S)
        case.stopped(
            "budget spent, exit 0 with a note", output, "api.budget_usd is spent", "raise the budget", level="warning"
        )
        # Two ranks share it, and one at its end ends both.
        spent = dollars(case)
        assert limit / 2 < spent <= limit, f"${spent:.4f} were spent of ${limit:.4f}"
        case.job(simulator.url, *prices, f"api.budget_usd={limit * 2:.4f}").run(2)
    case.done(amid=True)


def stop_signal(name, wanted, to_mpirun, moment):
    case = Case(name)
    with case.simulator("simulator.latency_ms=200") as simulator:
        job = case.job(simulator.url, f"api.drain_s={DRAIN_S}")
        process, deadline = job.start(2), time.time() + 120
        while process.poll() is None and not moment(case.asked()) and time.time() < deadline:
            time.sleep(0.02)
        ranks = [
            pid
            for pid, line in command_lines().items()
            if line.startswith(program() + "\0") and str(case.folder) in line
        ]
        for pid in [process.pid] if to_mpirun else ranks:
            os.kill(pid, wanted)
        begin = time.time()
        output = job.finish(process, expect=75, timeout=10 + DRAIN_S)
        case.stopped(
            f"{name}, exit 75 after {time.time() - begin:.1f} s", output, "stopped on request",
            "the same command goes on",
        )
        assert case.files_with("answers in flight are waited for"), f"{name}: nothing was in flight"
        job.run(2)
    case.done(amid=True)


def usr1_while_expanding():
    stop_signal("SIGUSR1 by mpirun while expanding", signal.SIGUSR1, True, lambda asked: len(asked) >= 5)


def term_while_curating():
    stop_signal(
        "SIGTERM to each rank while curating", signal.SIGTERM, False,
        lambda asked: any("judge" in entry["model"] for entry in asked),
    )


with tempfile.TemporaryDirectory() as name:
    scratch = pathlib.Path(name)
    pool = small_pool(scratch / "pool", every=40)
    # Both ranks ask, each about several parts; a small taxonomy.
    COMMON = [
        f"pool.sources=folder:{pool}", f"ground_truth.pictures={pool}", "api.ranks=2", "refine.images_per_part=4",
        "expand.level1_target=24", "expand.level2_target=30", "expand.level3_target=30",
        *of_each("concurrency", IN_FLIGHT),
    ]
    calm = Case("calm")
    with calm.simulator() as simulator:
        calm.job(simulator.url).run(2)
    assert set(calm.paid().values()) == {1}
    for case in (
        key_from_environment, key_from_file, quota, unknown_model, unknown_host, expired_certificate, budget,
        usr1_while_expanding, term_while_curating,
    ):
        if case.__name__ in (sys.argv[1:] or [case.__name__]):
            case()
