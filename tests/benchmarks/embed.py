"""CLIP embedding beside transformers and open_clip: the same geometry, pictures and threads, in turns; and parity with
transformers.

    python3 tests/benchmarks/embed.py [--bench build/release/tests/benchmarks/embed_match_bench] [--model b32|l14] \
        [--dtype fp32|bf16] [--device cpu|cuda] [--json out.json]

Random weights of the true geometry (speed does not care) in one CLIPModel folder that ours and transformers load;
open_clip's own random weights. Tokenizer: OpenAI's vocabulary, which open_clip's wheel holds. Reported: images a second
from JPEG files to vectors (peers: the best of several DataLoader settings, one try each; ours: the best of as many
tries) and of the forward pass alone; cosines with transformers for pictures and texts; and on how many of 20,000
strings of many scripts the token ids are the same. On a GPU the peers are compiled (torch.compile), their DataLoaders
pin memory, and the forward pass is also told as the share of the card's dense bf16 peak.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from peers import ROOT, environment, last_json

GEOMETRY = {
    "b32": dict(
        name="ViT-B-32-quickgelu",
        vision=dict(
            hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12, patch_size=32
        ),
        text=dict(hidden_size=512, intermediate_size=2048, num_hidden_layers=12, num_attention_heads=8),
        dim=512,
    ),
    "l14": dict(
        name="ViT-L-14-quickgelu",
        vision=dict(
            hidden_size=1024, intermediate_size=4096, num_hidden_layers=24, num_attention_heads=16, patch_size=14
        ),
        text=dict(hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12),
        dim=768,
    ),
}

# Dense bf16 products, in 1e12 flop/s, as NVIDIA's data sheets say, by a part of the card's name.
PEAK = {"H100 PCIe": 756, "H100 NVL": 835, "H100": 989, "H200": 989, "A100": 312, "L40S": 362}


def flop_a_picture(vision: dict) -> float:
    """Of the whole tower, whatever a program can leave out of it."""
    hidden, mlp, patches = vision["hidden_size"], vision["intermediate_size"], (224 // vision["patch_size"]) ** 2
    positions = patches + 1
    block = 2 * positions * (4 * hidden**2 + 2 * hidden * mlp) + 4 * positions**2 * hidden
    return vision["num_hidden_layers"] * block + 2 * patches * 3 * vision["patch_size"] ** 2 * hidden


MAKE = r"""
import gzip, json, sys
from pathlib import Path
import open_clip, torch
from transformers import CLIPConfig, CLIPModel
folder, geometry = Path(sys.argv[1]), json.loads(sys.argv[2])
torch.manual_seed(0)
config = CLIPConfig(
    projection_dim=geometry["dim"],
    vision_config={**geometry["vision"], "image_size": 224},
    text_config={**geometry["text"], "vocab_size": 49408, "eos_token_id": 49407},
)
CLIPModel(config).save_pretrained(folder)
lines = (
    gzip.open(Path(open_clip.__file__).parent / "bpe_simple_vocab_16e6.txt.gz")
    .read()
    .decode()
    .split("\n")[1 : 49152 - 256 - 2 + 1]
)
from open_clip.tokenizer import bytes_to_unicode
symbols = list(bytes_to_unicode().values())
vocabulary = (
    symbols
    + [s + "</w>" for s in symbols]
    + ["".join(line.split()) for line in lines]
    + ["<|startoftext|>", "<|endoftext|>"]
)
(folder / "vocab.json").write_text(json.dumps({token: i for i, token in enumerate(vocabulary)}, ensure_ascii=False))
(folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(lines) + "\n")
(folder / "tokenizer_config.json").write_text(
    json.dumps(
        {
            "tokenizer_class": "CLIPTokenizer", "model_max_length": 77, "bos_token": "<|startoftext|>",
            "eos_token": "<|endoftext|>", "pad_token": "<|endoftext|>", "unk_token": "<|endoftext|>",
        }
    )
)
(folder / "preprocessor_config.json").write_text(
    json.dumps(
        {
            "image_processor_type": "CLIPImageProcessor", "do_convert_rgb": True, "do_resize": True,
            "size": {"shortest_edge": 224}, "resample": 3, "do_center_crop": True,
            "crop_size": {"height": 224, "width": 224}, "do_rescale": True, "rescale_factor": 1 / 255,
            "do_normalize": True, "image_mean": [0.48145466, 0.4578275, 0.40821073],
            "image_std": [0.26862954, 0.26130258, 0.27577711],
        }
    )
)
"""

PEER = r"""
import json, sys, time
from pathlib import Path
import torch
from PIL import Image
which, model_folder, pictures, dtype, threads, batches, name, size, device = sys.argv[1:10]
threads, batches, size, gpu = int(threads), int(batches), int(size), device == "cuda"
torch.set_num_threads(threads)
kind = torch.bfloat16 if dtype == "bf16" else torch.float32
files = sorted(Path(pictures).glob("*.jpg"))
if which == "transformers":
    from transformers import CLIPImageProcessor, CLIPModel
    model = CLIPModel.from_pretrained(model_folder, dtype=kind).to(device).eval()
    processor = CLIPImageProcessor.from_pretrained(model_folder)
    prepare = lambda image: processor(image, return_tensors="pt")["pixel_values"][0]
    encode = lambda pixels: model.visual_projection(model.vision_model(pixels).pooler_output)
else:
    import open_clip
    model, _, prepare = open_clip.create_model_and_transforms(name, precision="fp32")
    model = model.to(device, kind).eval()
    encode = model.encode_image
if gpu:
    encode = torch.compile(encode)

class Pictures(torch.utils.data.Dataset):
    def __len__(self):
        return len(files)
    def __getitem__(self, i):
        return prepare(Image.open(files[i]).convert("RGB"))

out = {}
with torch.inference_mode():
    finish = torch.cuda.synchronize if gpu else lambda: None
    pixels = torch.randn(size, 3, 224, 224, dtype=kind, device=device)
    for _ in range(3 if gpu else 1):
        encode(pixels if gpu else pixels[:16])
    finish()
    start = time.perf_counter()
    for _ in range(batches):
        encode(pixels)
    finish()
    out["forward_images_per_s"] = size * batches / (time.perf_counter() - start)
    best, vectors = 0.0, None
    for workers in (threads // 2, threads) if gpu else range(threads + 1):
        loader = torch.utils.data.DataLoader(
            Pictures(), batch_size=size, num_workers=workers, prefetch_factor=2 if workers else None, pin_memory=gpu
        )
        start = time.perf_counter()
        rows = torch.cat([encode(batch.to(device, kind, non_blocking=True)).float() for batch in loader]).cpu()
        speed = len(files) / (time.perf_counter() - start)
        if speed > best:
            best, out["workers"] = speed, workers
        vectors = torch.nn.functional.normalize(rows, dim=-1)
    out["images_per_s"] = best
if which == "transformers":
    ours = torch.frombuffer(bytearray((Path(pictures) / "vectors.f32").read_bytes()), dtype=torch.float32).view(
        len(files), -1
    )
    cosines = (vectors * ours).sum(-1)
    out["least_image_cosine"], out["mean_image_cosine"] = cosines.min().item(), cosines.mean().item()
print(json.dumps(out))
"""

TEXTS = r"""
import json, sys, time
from pathlib import Path
import torch
from transformers import CLIPModel, CLIPTokenizer
model_folder, folder, threads = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
torch.set_num_threads(threads)
tokenizer = CLIPTokenizer.from_pretrained(model_folder)
strings = [json.loads(line) for line in open(folder / "strings.jsonl")]
ids = [json.loads(line) for line in open(folder / "ids.jsonl")]
differ = [
    text
    for text, ours in zip(strings, ids, strict=True)
    if tokenizer(text, truncation=True, max_length=77)["input_ids"] != ours
]
model = CLIPModel.from_pretrained(model_folder).eval()
lines = (folder / "lines.txt").read_text().splitlines()
start, rows = time.perf_counter(), []
with torch.inference_mode():
    for first in range(0, len(lines), 64):
        batch = tokenizer(lines[first : first + 64], padding=True, truncation=True, max_length=77, return_tensors="pt")
        rows.append(
            torch.nn.functional.normalize(model.text_projection(model.text_model(**batch).pooler_output), dim=-1)
        )
took = time.perf_counter() - start
ours = torch.frombuffer(bytearray((folder / "lines.txt.f32").read_bytes()), dtype=torch.float32).view(len(lines), -1)
print(
    json.dumps(
        {
            "strings": len(strings), "strings_with_other_ids": len(differ), "examples": differ[:5],
            "least_text_cosine": (torch.cat(rows) * ours).sum(-1).min().item(),
            "texts_per_s": len(lines) / took,
        }
    )
)
"""

STRINGS = r"""
import json, random, sys, unicodedata
random.seed(11)
assigned = [chr(c) for c in range(0x20, 0x30000) if unicodedata.category(chr(c)) not in ("Cn", "Cs", "Co")]
scripts = [
    assigned, [c for c in assigned if ord(c) < 0x250], [c for c in assigned if 0x370 <= ord(c) < 0x700],
    [c for c in assigned if 0x900 <= ord(c) < 0xE80], [c for c in assigned if 0x3000 <= ord(c) < 0xA000],
    [c for c in assigned if 0x1F000 <= ord(c) < 0x1FB00], [chr(c) for c in range(0x20)] + list("abc .,'"),
]
words = (
    "a photo of the animal recognition~birds~naming bird it's don't we'll 3 42 1999 <|endoftext|> COUNTING text-reading"
    " chart_understanding naive cafe".split()
)
with open(sys.argv[1], "w") as out:
    for i in range(20000):
        if i % 3 == 0:
            text = " ".join(random.choice(words) for _ in range(random.randint(0, 25)))
        else:
            alphabet = random.choice(scripts)
            text = "".join(
                random.choice(alphabet) if random.random() < 0.85 else " "
                for _ in range(random.choice([3, 12, 40, 300]))
            )
        out.write(json.dumps(text) + "\n")
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bench", type=Path, default=ROOT / "build/release/tests/benchmarks/embed_match_bench")
    parser.add_argument("--model", choices=list(GEOMETRY), default="b32")
    parser.add_argument("--dtype", choices=["fp32", "bf16"], default="fp32")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--pictures", type=int, help="256; on a GPU 16,384, of which 256 differ")
    parser.add_argument("--batches", type=int, help="of the forward pass alone: 2; on a GPU 50")
    parser.add_argument(
        "--batch",
        type=int,
        help="pictures at once: 64; on a GPU 256; fewer where a large model takes a second a picture",
    )
    parser.add_argument("--threads", type=int, help="2; on a GPU all cores")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--only", choices=["speed", "parity"])
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    gpu = args.device == "cuda"
    for name, cpu_default, gpu_default in (
        ("pictures", 256, 16384), ("batches", 2, 50), ("batch", 64, 256), ("threads", 2, len(os.sched_getaffinity(0))),
    ):
        if getattr(args, name) is None:
            setattr(args, name, gpu_default if gpu else cpu_default)
    env, geometry = environment(args.threads, "torch", "transformers", "open_clip"), GEOMETRY[args.model]
    if not gpu:
        env["CUDA_VISIBLE_DEVICES"] = ""
    figures: dict[str, dict] = {"ours": {}, "transformers": {}, "open_clip": {}}
    with tempfile.TemporaryDirectory() as scratch:
        model, pictures = Path(scratch) / "model", Path(scratch) / "pictures"
        model.mkdir()
        pictures.mkdir()
        subprocess.run(
            [sys.executable, "-c", MAKE, model, json.dumps(geometry)], env=env, check=True, stderr=subprocess.DEVNULL
        )
        photos = (
            "import sys; sys.path.insert(0, sys.argv[1]); from decode import make_photos; from pathlib import Path;"
            " make_photos(Path(sys.argv[2]), int(sys.argv[3]))"
        )
        subprocess.run(
            [sys.executable, "-c", photos, Path(__file__).parent, pictures, str(min(args.pictures, 256))],
            env=env,
            check=True,
        )
        for i in range(256, args.pictures):
            os.link(pictures / f"{i % 256:03}.jpg", pictures / f"{i:06}.jpg")
        for _ in range(args.rounds if args.only != "parity" else 1):
            runs = {
                "ours": [
                    [args.bench, "images", model, pictures, args.dtype, 2 if gpu else args.threads + 1, args.batch],
                    [args.bench, "forward", model, args.batches, args.dtype, args.batch],
                ],
                "transformers": [
                    [
                        sys.executable, "-c", PEER, "transformers", model, pictures, args.dtype, args.threads,
                        args.batches, geometry["name"], args.batch, args.device,
                    ]
                ],
                "open_clip": [
                    [
                        sys.executable, "-c", PEER, "open_clip", model, pictures, args.dtype, args.threads,
                        args.batches, geometry["name"], args.batch, args.device,
                    ]
                ],
            }
            for name, commands in runs.items():
                if args.only == "parity" and name == "open_clip":
                    continue
                got: dict = {}
                for command in commands:
                    new = last_json(command, env)
                    got |= {"forward_images_per_s": new["images_per_s"]} if command[1] == "forward" else new
                print(name, *(f"{key} {value:.5g}" for key, value in got.items()), file=sys.stderr, flush=True)
                for key, value in got.items():
                    figures[name][key] = max(value, figures[name].get(key, 0)) if key.endswith("per_s") else value
        if args.only != "speed":
            subprocess.run([sys.executable, "-c", STRINGS, f"{scratch}/strings.jsonl"], env=env, check=True)
            with open(f"{scratch}/ids.jsonl", "w") as out:
                subprocess.run(
                    [args.bench, "tokens", model, f"{scratch}/strings.jsonl"], env=env, check=True, stdout=out
                )
            lines = [
                f"{a}~{b}~{c} of picture {i}"
                for i in range(8)
                for a in ("counting", "reading text")
                for b in ("birds", "road signs", "charts")
                for c in ("naming it", "how many are there")
            ]
            Path(f"{scratch}/lines.txt").write_text("\n".join(lines) + "\n")
            figures["ours"]["texts_per_s"] = last_json(
                [args.bench, "texts", model, f"{scratch}/lines.txt", args.dtype], env
            )["texts_per_s"]
            figures["texts"] = last_json([sys.executable, "-c", TEXTS, model, scratch, args.threads], env)
    card = (
        subprocess.run(
            [sys.executable, "-c", "import torch; print(torch.cuda.get_device_name())"],
            env=env, check=True, capture_output=True, text=True,
        ).stdout.strip()
        if gpu
        else ""
    )
    peak = next((value for part, value in PEAK.items() if part in card), None)
    share = lambda speed: (
        f" = {speed * flop_a_picture(geometry['vision']) / peak / 1e12:.1%} of the card's peak"
        if peak and args.dtype == "bf16"
        else ""
    )
    print(
        f"{geometry['name']} {args.dtype}, {card + ', ' if gpu else ''}{args.threads} threads, {args.pictures} pictures"
    )
    for name in ("ours", "transformers", "open_clip"):
        if "images_per_s" in figures[name]:
            print(
                f"  {name:13} {figures[name]['images_per_s']:8.1f} images/s from files  "
                f" {figures[name].get('forward_images_per_s', 0):8.1f} images/s forward"
                f" alone{share(figures[name].get('forward_images_per_s', 0))}"
            )
    print(
        f"  least cosine with transformers: pictures {figures['transformers']['least_image_cosine']:.7f}",
        f"texts {figures['texts']['least_text_cosine']:.7f}" if "texts" in figures else "",
    )
    if "texts" in figures:
        print(
            f"  token ids differ for {figures['texts']['strings_with_other_ids']} of {figures['texts']['strings']}"
            f" strings {figures['texts']['examples']}"
        )
        print(
            f"  texts/s: ours {figures['ours']['texts_per_s']:.1f}, transformers {figures['texts']['texts_per_s']:.1f}"
        )
    if args.json:
        args.json.write_text(
            json.dumps({"settings": {k: str(v) for k, v in vars(args).items()}, "figures": figures}, indent=2) + "\n"
        )


main()
