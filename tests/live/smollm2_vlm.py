"""SmolLM2-135M taught to see: the demo's CLIP tower and a fresh projector in front of it, fine-tuned on the demo's
samples over two ranks, killed in the middle and gone on with; scores on held-out pictures before and after, and the
exported folder's answers beside transformers'.

    jobs/demo.sh                                     # makes the samples: runs/demo/export/train.json
    python3 tests/live/smollm2_vlm.py [--steps 60]

Not part of the test suite: SmolLM2 is a download of 100 MB, and two cores take half an hour or more. Exit code 1 where
an answer differs, or where the held-out scores did not rise.
"""

import argparse
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

from smollm2_folder import ROOT, environment, smollm2

sys.path.insert(0, str(ROOT / "tests/fault"))
from program import STAMPS, kill_tree  # noqa: E402

SAMPLES = ROOT / "runs/demo/export/train.json"
ASSEMBLE = """
import sys, torch
from transformers import AutoModelForCausalLM, AutoTokenizer, CLIPModel, LlavaConfig, LlavaForConditionalGeneration
language, clip, out = (
    AutoModelForCausalLM.from_pretrained(sys.argv[1], dtype=torch.float32),
    CLIPModel.from_pretrained(sys.argv[2], dtype=torch.float32),
    sys.argv[3],
)
tokenizer = AutoTokenizer.from_pretrained(sys.argv[1])
tokenizer.add_tokens(["<image>"], special_tokens=True)
image = tokenizer.convert_tokens_to_ids("<image>")
torch.manual_seed(1)
language.resize_token_embeddings(len(tokenizer), pad_to_multiple_of=64)
config = LlavaConfig(
    vision_config=clip.config.vision_config.to_dict() | {"model_type": "clip_vision_model"},
    text_config=language.config, image_token_index=image, projector_hidden_act="gelu", vision_feature_layer=-2,
    vision_feature_select_strategy="default", tie_word_embeddings=True,
)
model = LlavaForConditionalGeneration(config).float()
model.model.language_model.load_state_dict(language.model.state_dict())
told = model.model.vision_tower.load_state_dict(
    (
        {k.removeprefix("vision_model."): v for k, v in clip.vision_model.state_dict().items()}
        if not hasattr(model.model.vision_tower, "vision_model")
        else {"vision_model." + k: v for k, v in clip.vision_model.state_dict().items()}
    ),
    strict=False,
)
assert not [k for k in told.missing_keys if "position_ids" not in k], told
model.tie_weights()
model.save_pretrained(out)
tokenizer.save_pretrained(out)
print(sum(p.numel() for p in model.parameters()), "parameters, <image> is", image)
"""
ANSWER = """
import json, sys, torch
from PIL import Image
from transformers import AutoTokenizer, CLIPImageProcessor, LlavaForConditionalGeneration
folder, cases = sys.argv[1], json.load(open(sys.argv[2]))
model, told = LlavaForConditionalGeneration.from_pretrained(folder, dtype=torch.float32, output_loading_info=True)
assert not told["missing_keys"] and not told["unexpected_keys"], told
model.eval()
tokenizer, processor = AutoTokenizer.from_pretrained(folder), CLIPImageProcessor.from_pretrained(folder)
image, end = model.config.image_token_index, tokenizer.convert_tokens_to_ids("<|im_end|>")
vision = model.config.vision_config
seen = (vision.image_size // vision.patch_size) ** 2
encode = lambda text: tokenizer(text, add_special_tokens=False).input_ids
answers = []
for picture, question in cases:
    before = "<|im_start|>system\\nYou are a helpful assistant.<|im_end|>\\n<|im_start|>user\\n"
    behind = f"\\n{question}<|im_end|>\\n<|im_start|>assistant\\n"
    ids = torch.tensor([encode(before) + [image] * seen + encode(behind)])
    pixels = processor(Image.open(picture).convert("RGB"), return_tensors="pt").pixel_values
    with torch.inference_mode():
        out = model.generate(
            input_ids=ids, attention_mask=torch.ones_like(ids), pixel_values=pixels, max_new_tokens=16, do_sample=False,
            eos_token_id=end, pad_token_id=end,
        )[0, ids.shape[1] :]
    answers.append(tokenizer.decode([t for t in out.tolist() if t != end], skip_special_tokens=True).strip())
print(json.dumps(answers))
"""


def every(file, out, step):
    lines = file.read_text().splitlines()
    out.write_text("\n".join(lines[:1] + lines[1::step]) + "\n")
    return [line.split("\t") for line in lines[1::step]]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--taskgalaxy", default=str(ROOT / "build/release/src/app/taskgalaxy"))
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--questions-every", type=int, default=6)
    args = parser.parse_args()
    if not SAMPLES.exists():
        sys.exit(f"{SAMPLES} is missing; run jobs/demo.sh first")
    env = {
        **environment(), "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1", "OMP_NUM_THREADS": "1",
    }
    language = smollm2(env)
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        model, run = scratch / "base", scratch / "run"
        print(
            subprocess.run(
                [sys.executable, "-c", ASSEMBLE, str(language), str(ROOT / "inputs/models/demo-clip"), str(model)],
                env=env, check=True, capture_output=True, text=True,
            ).stdout.strip(),
            flush=True,
        )
        shutil.copy(ROOT / "inputs/models/demo-vlm/preprocessor_config.json", model)
        asked = every(ROOT / "inputs/demo/stamps_yesno.tsv", scratch / "yesno.tsv", args.questions_every)
        every(ROOT / "inputs/demo/stamps.tsv", scratch / "choice.tsv", args.questions_every)
        (scratch / "job.cfg").write_text(
            f"[run]\nfolder = {run}\n[train]\nmodel = {model}\ndata = {SAMPLES}\nimage_root = {STAMPS}\nmax_steps ="
            f" {args.steps}\nglobal_batch = 16\nmicro_batch = 8\nlearning_rate = 2e-4\nprojector_learning_rate ="
            " 1e-3\nvalidation = 0.03\npad_images = no\ncheckpoint_steps = 5\n[evaluate]\ndtype = fp32\npad_images ="
            f" no\n[benchmark.stamps]\nkind = choice\nfile = {scratch}/choice.tsv\nimage_root ="
            f" {STAMPS}\n[benchmark.stamps_yesno]\nkind = yesno\nfile = {scratch}/yesno.tsv\nimage_root = {STAMPS}\n"
        )
        command = [
            "mpirun", "--oversubscribe", "-n", "2", args.taskgalaxy, "run", str(scratch / "job.cfg"), "--stages",
            "train,evaluate,report",
        ]
        began = time.monotonic()
        process = subprocess.Popen(
            command, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        middle = run / "checkpoints" / f"step-{args.steps // 2 // 5 * 5:08}.h5"
        while not middle.exists() and process.poll() is None:
            time.sleep(0.1)
        assert process.poll() is None, process.communicate()[0][-3000:]
        time.sleep(1)
        kill_tree(process)
        print(f"killed behind {middle.name}, after {time.monotonic() - began:.0f} s", flush=True)
        done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)
        output = done.stdout + done.stderr
        assert done.returncode == 0, output[-3000:]
        print(
            *[
                line
                for line in output.splitlines()
                if re.search(r"goes on after|validation loss|^  (loss|scores)|  stamps|before,", line)
            ],
            sep="\n",
            flush=True,
        )
        scores = [tuple(map(float, m)) for m in re.findall(r"([\d.]+) before, ([\d.]+) after", output)][-2:]

        cases = [(str(STAMPS / row[1]), row[2]) for row in asked[:: max(1, len(asked) // 20)]][:20]
        (scratch / "cases.json").write_text(json.dumps(cases))
        theirs = json.loads(
            subprocess.run(
                [sys.executable, "-c", ANSWER, str(run / "export/model"), str(scratch / "cases.json")],
                env={**env, "OMP_NUM_THREADS": "2"}, check=True, capture_output=True, text=True,
            ).stdout.splitlines()[-1]
        )
        ours = [
            subprocess.run(
                [
                    args.taskgalaxy, "chat", str(run / "export/model"), "--image", picture, "--prompt", question,
                    "--max-new-tokens", "16", "--dtype", "fp32",
                ],
                env=env, check=True, capture_output=True, text=True,
            ).stdout.strip()
            for picture, question in cases
        ]
        equal = sum(a == b for a, b in zip(ours, theirs))
        print(
            f"answers of the exported folder: {equal} of {len(cases)} the same in transformers'"
            f" LlavaForConditionalGeneration, for example {ours[0]!r}"
        )
    return not (equal == len(cases) and sum(after for _, after in scores) > sum(before for before, _ in scores))


if __name__ == "__main__":
    sys.exit(main())
