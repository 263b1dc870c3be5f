"""The endpoint client and the stages that ask, against a server and a model that others wrote: `transformers serve`
with SmolLM2-135M.

    python3 tests/live/transformers_serve.py [--taskgalaxy build/release/src/app/taskgalaxy] [--pictures 8]

Not part of the test suite: it downloads 100 MB and generates on the CPU for some minutes. So small a model answers
clumsily: the point is that each answer is either understood or named for what is wrong with it, that nothing hangs, and
that a second run asks for nothing that was answered. Two jobs: in the first SmolLM2 does everything; since it finds no
type that fits a picture it cannot see, in the second the project's simulator expands and refines, and SmolLM2 writes
the questions and votes. A relay between program and server notes what was answered. Prints the program's own account,
stage by stage, and some of the answers.
"""

import argparse
import collections
import http.server
import json
import os
import pathlib
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "fault"))
from program import ROOT, STAMPS, Simulator, small_pool  # noqa: E402
from smollm2_folder import environment, smollm2  # noqa: E402

PACKAGES = [
    "fastapi==0.165.0", "uvicorn==0.54.0", "starlette==1.10.0", "openai==3.54.0", "pydantic==2.14.3",
    "pydantic-core==2.50.4", "annotated-types==0.8.0", "annotated-doc==0.0.7", "typing-extensions==4.16.0",
    "typing-inspection==0.4.5", "accelerate==1.15.0", "psutil==7.2.2", "jiter==0.19.0", "distro==1.9.0",
    "python-multipart==0.0.34", "markdown-it-py==4.3.0", "mdurl==0.1.2", "pygments==2.21.0",
    "opentelemetry-api==1.45.2", "opentelemetry-sdk==1.45.2", "opentelemetry-semantic-conventions==0.66b2",
    "importlib-metadata==10.2.0", "zipp==4.1.2",
]


def start_server(model, env, log):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen(
        [
            sys.executable, "-m", "transformers.cli.transformers", "serve", str(model), "--host", "127.0.0.1", "--port",
            str(port), "--device", "cpu", "--dtype", "float32",
        ],
        env=env, stdout=log, stderr=subprocess.STDOUT,
    )
    for _ in range(240):
        assert server.poll() is None, f"the server ended: {pathlib.Path(log.name).read_text()[-2000:]}"
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2)
            return server, f"http://127.0.0.1:{port}/v1"
        except (urllib.error.URLError, OSError):
            time.sleep(0.5)
    raise AssertionError("the server does not answer")


class Relay:
    """Passes requests on to `target` and keeps the answers: (status, text)."""

    def __init__(self, target):
        answers = self.answers = []

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def pass_on(self, body=None):
                request = urllib.request.Request(
                    target + self.path.removeprefix("/v1"), body, {"Content-Type": "application/json"}
                )
                try:
                    with urllib.request.urlopen(request, timeout=600) as reply:
                        status, text = reply.status, reply.read()
                except urllib.error.HTTPError as error:
                    status, text = error.code, error.read()
                if body:
                    said = json.loads(text)["choices"][0]["message"]["content"] if status == 200 else text.decode()
                    answers.append((status, said))
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def do_GET(self):
                self.pass_on()

            def do_POST(self):
                self.pass_on(self.rfile.read(int(self.headers["Content-Length"])))

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def tell(self):
        print(
            f"-- {len(self.answers)} answers of the server:",
            *(
                f"{n} x status {status}"
                for status, n in collections.Counter(status for status, _ in self.answers).items()
            ),
        )
        for _, said in self.answers[:: max(1, len(self.answers) // 12)]:
            print("   said:", json.dumps(said[:160]))
        self.answers.clear()


def endpoint(name, url, model):
    return (
        f"[endpoint.{name}]\nurls = {url}\nmodel = {model}\nconcurrency = 2\nprice_in = 0\nprice_out = 0\ntimeout_s ="
        " 300\nsilence_timeout_s = 300\nmax_tokens = 128\n"
    )


def run_twice(taskgalaxy, job, relay):
    command = [taskgalaxy, "run", str(job), "--stages", "ingest,expand,embed,match,refine,generate,screen"]
    for life in ("first", "second"):
        began = time.monotonic()
        done = subprocess.run(
            command,
            cwd=ROOT,
            env={**os.environ, "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"},
            capture_output=True, text=True, timeout=1500,
        )
        lines = [
            line
            for line in (done.stderr + done.stdout).splitlines()
            if re.search(
                r" warning | error |by [a-z0-9]+:|expand: \d+ task types at|generate: |done before|task types  |samples"
                r"  |None rate",
                line,
            )
        ]
        print(
            f"-- the {life} run: exit code {done.returncode}, {time.monotonic() - began:.0f} s",
            *lines, sep="\n", flush=True,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        if life == "first":
            relay.tell()
    assert not relay.answers, f"asked again: {relay.answers}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--taskgalaxy", default=str(ROOT / "build/release/src/app/taskgalaxy"))
    parser.add_argument("--pictures", type=int, default=8)
    args = parser.parse_args()
    env = environment("server", PACKAGES)
    model = smollm2(env)
    with tempfile.TemporaryDirectory() as scratch, Simulator(STAMPS) as simulator:
        scratch = pathlib.Path(scratch)
        pictures = small_pool(scratch / "pictures", max(1, 796 // args.pictures))
        (scratch / "seeds.txt").write_text("animal recognition\nobject counting\ntext reading\nvehicle recognition\n")
        with (scratch / "server.log").open("w") as log:
            server, url = start_server(model, env, log)
            try:
                relay = Relay(url)
                judges = "".join(endpoint(f"judge{n}", relay.url, model) for n in (1, 2, 3))
                common = (
                    f"[pool]\nsources = folder:{pictures}\nsuffixes = png\n[embed]\nmodel ="
                    f" {ROOT}/inputs/models/demo-clip\n[match]\nk = 4\n[api]\nask_again = 1\nmax_failure_share ="
                    f" 1\n{judges}{endpoint('generator', relay.url, model)}"
                )
                print("== SmolLM2 does everything", flush=True)
                everything = scratch / "everything.cfg"
                everything.write_text(
                    f"[run]\nfolder = {scratch}/everything\n[expand]\nseeds = {scratch}/seeds.txt\nlevel1_target ="
                    " 6\nlevel2_target = 12\nlevel3_target = 16\nnames_per_request ="
                    f" 4\n[refine]\ncandidates_per_request = 4\nmax_none_rate = 1\n{common}"
                )
                run_twice(args.taskgalaxy, everything, relay)
                print("== the simulator expands and refines, SmolLM2 generates and judges", flush=True)
                questions = scratch / "questions.cfg"
                questions.write_text(
                    f"[run]\nfolder = {scratch}/questions\n[expand]\nendpoint = refiner\nseeds ="
                    f" {ROOT}/inputs/demo/seeds.txt\nlevel1_target = 40\nlevel2_target = 120\nlevel3_target ="
                    " 240\n[refine]\nendpoint = refiner\nmax_none_rate ="
                    f" 1\n{common}{endpoint('refiner', simulator.url, 'simulated')}"
                )
                run_twice(args.taskgalaxy, questions, relay)
            finally:
                server.terminate()
                server.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
