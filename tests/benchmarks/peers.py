"""The Python packages that embed.py and match.py compare with, in a folder of their own beside the pinned peers of
jobs/setup.sh."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / ".deps" / "peers-embed"
PACKAGES = [
    "open_clip_torch==3.2.0", "torchvision==0.26.0", "ftfy==6.3.1", "wcwidth==0.9.4", "timm==1.0.31",
    "faiss-cpu==1.15.1",
]


def environment(threads: int, *packages: str) -> dict[str, str]:
    """Installs what is missing of what a peer imports, `packages`, and returns the environment that runs it on
    `threads` threads."""
    plain = {**os.environ, "OMP_NUM_THREADS": str(threads), "TRANSFORMERS_VERBOSITY": "error", "HF_HUB_OFFLINE": "1"}
    if not FOLDER.exists() and all(importlib.util.find_spec(name) for name in packages):
        return plain  # a machine without a package registry, whose Python has them
    if not (ROOT / ".deps" / "peers").exists():
        subprocess.run([ROOT / "jobs" / "setup.sh", "peers"], check=True)
    if not (FOLDER / "faiss").exists():
        subprocess.run(
            [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", FOLDER, *PACKAGES], check=True
        )
    paths = [str(ROOT / ".deps" / name) for name in ("python", "peers", "peers-embed")]
    return {**plain, "PYTHONPATH": os.pathsep.join(paths)}


def last_json(command: list, env: dict) -> dict:
    """Runs a program to its end and reads the last line it printed."""
    done = subprocess.run([str(c) for c in command], env=env, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{command[:3]} failed:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])
