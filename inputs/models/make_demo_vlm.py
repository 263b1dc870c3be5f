"""Make the demo's vision-language model: a small LLaVA in the llava-hf layout, `demo-vlm/`.

Its eyes are the vision tower of `demo-clip/`. Its language model, a LLaMA of 1.3 million parameters, is trained here
from nothing on text that this script writes (sentences about the training captions, questions and answers in the vicuna
v1 template); then the projector alone is aligned with plain captions of the training pictures (LLaVA's stage 1). No
question about a picture is taught: that is what the demo's fine-tuning is for, and why this is the model of "before".

    PYTHONPATH=... python3 inputs/models/make_demo_vlm.py          # makes and measures it
    # fine-tunes what is there for a minute, before and after
    PYTHONPATH=... python3 inputs/models/make_demo_vlm.py --trial

Shapes in comments: B samples of a step, L positions, V vocabulary.
"""

import argparse
import csv
import json
import platform
import random
import sys
import time
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import safetensors.torch
import sentencepiece
import torch
import torch.nn.functional as F
import transformers
from PIL import Image
from transformers import CLIPModel, LlavaConfig, LlavaForConditionalGeneration

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import stamps as pool
from make_demo_clip import MEAN, STD, write_json
from small_training import Clock, Muon, set_rates
from vlm_text import (
    BOS, EOS, IGNORED, IMAGE_ID, LETTER_PROMPT, LETTERS, PAD_ID, PIECES, ROWS, WORD_PROMPT,
    Encoder, Words, World, as_text, group_of, learn_pieces, padded, with_options, write_tokenizer,
)  # fmt: skip

SEED = 20250212
HERE = Path(__file__).resolve().parent
CLIP, FOLDER = HERE / "demo-clip", HERE / "demo-vlm"


# ---------------------------------------------------------------------------------------------- pictures


def squared(image: Image.Image, side: int) -> np.ndarray:
    """(3, side, side): LLaVA's padding to a square of the mean colour, then CLIP's processor."""
    longest = max(image.size)
    canvas = Image.new("RGB", (longest, longest), tuple(int(255 * mean) for mean in MEAN))
    canvas.paste(image, ((longest - image.width) // 2, (longest - image.height) // 2))
    pixels = np.asarray(canvas.resize((side, side), Image.Resampling.BICUBIC), np.float32) / 255
    return ((pixels - np.float32(MEAN)) / np.float32(STD)).transpose(2, 0, 1)


def patch_features(tower, pixels: torch.Tensor) -> torch.Tensor:
    """(B, patches, width): the last layer but one, without the class token."""
    with torch.no_grad():
        return torch.cat(
            [tower(pixel_values=part, output_hidden_states=True).hidden_states[-2][:, 1:] for part in pixels.split(64)]
        )


# ------------------------------------------------------------------------------------------------- model


def build() -> LlavaForConditionalGeneration:
    clip = CLIPModel.from_pretrained(CLIP, dtype=torch.float32)
    vision = clip.config.vision_config
    config = LlavaConfig(
        vision_config=vision.to_dict() | {"model_type": "clip_vision_model"},
        text_config=dict(
            model_type="llama", vocab_size=ROWS, hidden_size=128, intermediate_size=352, num_hidden_layers=4,
            num_attention_heads=4,
            num_key_value_heads=4, head_dim=32, max_position_embeddings=512, rms_norm_eps=1e-5, rope_theta=10000.0,
            bos_token_id=BOS, eos_token_id=EOS, pad_token_id=PAD_ID, tie_word_embeddings=False,
        ),
        image_token_index=IMAGE_ID, projector_hidden_act="gelu", vision_feature_layer=-2,
        vision_feature_select_strategy="default",
        image_seq_length=(vision.image_size // vision.patch_size) ** 2, tie_word_embeddings=False,
    )  # fmt: skip
    model = LlavaForConditionalGeneration(config)
    model.set_attn_implementation("eager")  # shows its attention, which is guided below
    tower = vision_of(model)
    (tower if not hasattr(tower, "vision_model") else tower.vision_model).load_state_dict(
        clip.vision_model.state_dict()
    )
    tower.requires_grad_(False).eval()
    return model


def vision_of(model):
    return model.model.vision_tower


def embedded(model, ids: torch.Tensor, seen: torch.Tensor | None) -> torch.Tensor:
    """(B, L, width): embeddings of the ids, with `seen` (B, image tokens, width) in the places of `<image>`."""
    embeddings = model.get_input_embeddings()(ids)
    return embeddings if seen is None else embeddings.masked_scatter((ids == IMAGE_ID)[..., None], seen)


def forward_loss(model, ids: torch.Tensor, labels: torch.Tensor, seen: torch.Tensor | None = None) -> torch.Tensor:
    """Mean over what is learnt."""
    hidden = model.model.language_model(inputs_embeds=embedded(model, ids, seen)).last_hidden_state
    learnt = labels[:, 1:] != IGNORED
    logits = model.lm_head(hidden[:, :-1][learnt])  # (learnt positions, V)
    return F.cross_entropy(logits, labels[:, 1:][learnt])


def imagined(model, encoder: Encoder, batch: list[Words], image_tokens: int) -> torch.Tensor:
    """(B, image tokens, width): what a projector might make of a picture of these words.

    Every position is a mixture of the words' embeddings, weighted anew, under noise. A language model that has read
    such blurs finds its way among the features of pictures; one that knows only clean words does not.
    """
    table = model.get_input_embeddings().weight
    blurs = []
    for words in batch:
        vectors = torch.stack([table[encoder.model.encode(word)].mean(0) for word, _ in words])
        weights = torch.tensor([weight for _, weight in words]) * torch.randn(image_tokens, len(words)).exp()
        mixture = weights / weights.sum(1, keepdim=True) @ vectors
        noise = torch.randn_like(mixture) * mixture.detach().square().mean().sqrt() * random.uniform(0, 1)
        blurs.append(mixture + noise)
    return torch.stack(blurs)


def optimisers_of(modules, muon: float, adamw: float):
    named = [item for module in modules for item in module.named_parameters() if item[1].requires_grad]
    matrices = [p for name, p in named if p.dim() == 2 and "embed" not in name and "lm_head" not in name]
    chosen = {id(p) for p in matrices}
    others = [p for _, p in named if id(p) not in chosen]
    return [
        (Muon(matrices, lr=muon), muon),
        (torch.optim.AdamW(others, lr=adamw, weight_decay=0.0, betas=(0.9, 0.98)), adamw),
    ]


def learn(what: str, optimisers, clock: Clock, end: float, batch, loss_of) -> int:
    """Steps until the clock has gone through `end` of its time; `batch()` makes one step's samples."""
    begin, step, next_line, recent = clock.share(), 0, 0.0, []
    parameters = [p for optimiser, _ in optimisers for group in optimiser.param_groups for p in group["params"]]
    while (now := clock.share()) < end:
        done = (now - begin) / (end - begin)
        set_rates(optimisers, step, done, warm_up=50)
        loss = loss_of(*batch())
        for optimiser, _ in optimisers:
            optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        for optimiser, _ in optimisers:
            optimiser.step()
        step += 1
        recent.append(loss.item())
        if done >= next_line:
            next_line += 0.05
            print(
                f"{what}: step {step:5d}  {100 * done:3.0f} %  wall {time.time() - clock.wall:4.0f} s  loss"
                f" {np.mean(recent[-50:]):.3f}",
                flush=True,
            )
    return step


def guided_loss(model, choices: list, seen: torch.Tensor | None) -> tuple[torch.Tensor, float]:
    """Cross entropy of the answers' letters, and a hand on the attention of a few heads.

    Left alone, a model of this size needs hours until it finds out what choosing is: carry each letter to its
    option, carry the text to the place that answers, look there for the option that fits. Showing these three
    steps to one or two heads each takes minutes. Also says what share of the letters was right.
    """
    ids, labels = padded(choices)
    rows, length = ids.shape
    letter_of = torch.zeros(rows, length, length)
    in_option, text, truth = torch.zeros(rows, length), torch.zeros(rows, length), torch.zeros(rows, length)
    for row, (_, _, guide) in enumerate(choices):
        text[row, slice(*guide.text)] = 1
        for number, (letter, begin, end) in enumerate(guide.options):
            letter_of[row, begin:end, letter] = 1
            in_option[row, begin:end] = 1
            if number == guide.answer:
                truth[row, begin:end] = 1
    row, place = torch.arange(rows), torch.tensor([guide.place for _, _, guide in choices])
    output = model.model.language_model(inputs_embeds=embedded(model, ids, seen), output_attentions=True)
    attention = output.attentions  # per layer (B, heads, L, L)

    def log_share(layer: int, heads: slice, wanted: torch.Tensor) -> torch.Tensor:
        return ((attention[layer][:, heads][row, :, place] * wanted[:, None]).sum(-1) + 1e-6).log().mean()

    to_letter = (((attention[0][:, 0] * letter_of).sum(-1) + 1e-6).log() * in_option).sum() / in_option.sum()
    guidance = (
        to_letter
        + log_share(0, slice(1, 3), text)
        + 0.5 * log_share(1, slice(1, 3), text)
        + log_share(2, slice(0, 2), truth)
    )
    learnt = labels[:, 1:] != IGNORED
    logits = model.lm_head(output.last_hidden_state[:, :-1][learnt])
    wanted = labels[:, 1:][learnt]
    right = (logits.argmax(1) == wanted)[0::2].float().mean().item()  # a letter and `</s>` by turns
    return F.cross_entropy(logits, wanted) - ARGS.guide * guidance, right


def make(minutes: float) -> None:
    FOLDER.mkdir(exist_ok=True)
    clock = Clock(60 * minutes)
    world = World()
    write_tokenizer(FOLDER, learn_pieces(world))
    encoder = Encoder(FOLDER)
    vocabulary = encoder.words()
    model = build()
    image_tokens = model.config.image_seq_length
    print(
        f"{sum(p.numel() for p in model.parameters()) / 1e6:.2f} million parameters, {len(encoder.opening)} tokens of"
        f" opening, {len(vocabulary)} words"
    )

    right: list[float] = []

    def text_batch():
        """Choices, and a third as many other samples; the words stand there as text, or blurred as a picture might show
        them."""
        of_words = random.random() < (1.0 if clock.share() < 0.2 else 0.3)
        choices = [
            world.choice_of_words(vocabulary) if of_words else world.choice_of_facts() for _ in range(ARGS.batch)
        ]
        blurred = random.random() < 0.6
        spaces = image_tokens if blurred else 0
        others, about = [], []
        for _ in range(ARGS.batch // 3):
            if random.random() < 0.5:  # what a caption is to a picture
                stamp, words = world.subject()
                others.append(encoder.plain(world.caption(stamp), spaces, as_text(words)))
            else:
                words, question, answer = world.yes_or_no()
                others.append(encoder.chat(question, answer, spaces, as_text(words), encoder.short_opening))
            about.append(words)
        if not blurred:
            others += [encoder.plain(world.sentence()) for _ in range(ARGS.batch // 6)]
        seen = [
            imagined(model, encoder, batch, spaces) if blurred else None
            for batch in ([choice.words for choice in choices], about)
        ]
        return [encoder.guided(choice, spaces) for choice in choices], padded(others), *seen

    def text_loss(choices, others, choices_seen, others_seen):
        loss, share = guided_loss(model, choices, choices_seen)
        right.append(share)
        return loss + 0.5 * forward_loss(model, *others, others_seen)

    language = [model.model.language_model, model.lm_head]
    text_steps = learn("text", optimisers_of(language, ARGS.muon, ARGS.lr), clock, 0.8, text_batch, text_loss)
    print(f"choices about texts answered right at the end: {np.mean(right[-50:]):.2f} (chance 0.25)", flush=True)

    # Stage 1: only the projector learns, from captions. Features of a few views of each picture are computed once.
    side = model.config.vision_config.image_size
    stamps, views = [], []
    for stamp in world.stamps:
        try:
            image = stamp.image().convert("RGB")
        except ValueError:
            continue
        for view in (image, image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)):
            stamps.append(stamp)
            views.append(squared(view, side))
    features = patch_features(vision_of(model), torch.from_numpy(np.stack(views)))
    for module in language:
        module.requires_grad_(False)

    def caption_batch():
        chosen = random.choices(range(len(stamps)), k=ARGS.batch)
        return *padded([encoder.plain(world.caption(stamps[i]), image_tokens) for i in chosen]), features[chosen]

    def caption_loss(ids, labels, patches):
        return forward_loss(model, ids, labels, model.model.multi_modal_projector(patches))

    align_steps = learn(
        "align",
        optimisers_of([model.model.multi_modal_projector], ARGS.muon, ARGS.lr),
        clock, 1.0, caption_batch, caption_loss,
    )
    save(model)
    write_readme(dict(text_steps=text_steps, align_steps=align_steps, minutes=minutes))


def save(model) -> None:
    model.config.dtype = torch.float16
    model.config.architectures = ["LlavaForConditionalGeneration"]
    model.config.save_pretrained(FOLDER)
    write_json(FOLDER / "generation_config.json", {"bos_token_id": BOS, "eos_token_id": EOS, "pad_token_id": PAD_ID})
    side = model.config.vision_config.image_size
    write_json(
        FOLDER / "preprocessor_config.json",
        {
            "crop_size": {"height": side, "width": side}, "do_center_crop": True, "do_convert_rgb": True,
            "do_normalize": True, "do_pad": True,
            "do_rescale": True, "do_resize": True, "image_mean": list(MEAN), "image_std": list(STD),
            "image_processor_type": "LlavaImageProcessor",
            "processor_class": "LlavaProcessor", "resample": 3, "rescale_factor": 1 / 255,
            "size": {"shortest_edge": side},
        },
    )  # fmt: skip
    write_json(
        FOLDER / "processor_config.json",
        {
            "image_token": "<image>", "num_additional_image_tokens": 1,
            "patch_size": model.config.vision_config.patch_size, "processor_class": "LlavaProcessor",
            "vision_feature_select_strategy": "default",
        },
    )
    weights = llava_names({name: value.to(torch.float16).contiguous() for name, value in model.state_dict().items()})
    safetensors.torch.save_file(weights, FOLDER / "model.safetensors", metadata={"format": "pt"})


def llava_names(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The names of published llava-hf folders: vision_tower.vision_model., multi_modal_projector.,
    language_model.model., language_model.lm_head."""
    out = {}
    for name, value in weights.items():
        if name == "lm_head.weight":
            name = "language_model.lm_head.weight"
        else:
            name = name.removeprefix("model.")
            name = (
                name.replace("language_model.", "language_model.model.", 1)
                if name.startswith("language_model.")
                else name
            )
            if name.startswith("vision_tower.") and not name.startswith("vision_tower.vision_model."):
                name = name.replace("vision_tower.", "vision_tower.vision_model.", 1)
        out[name] = value
    return out


# ----------------------------------------------------------------------------------------- before and after


def benchmark(model, encoder: Encoder, name: str) -> dict[str, float]:
    """Share of right answers (first token, greedy) by category of ../demo/NAME; pictures padded to squares."""
    with (pool.INPUTS / "demo" / name).open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    paths = sorted({row["image_path"] for row in rows})
    side, image_tokens = model.config.vision_config.image_size, model.config.image_seq_length
    pixels = torch.from_numpy(np.stack([squared(pool.Stamp(path).image().convert("RGB"), side) for path in paths]))
    features = dict(zip(paths, patch_features(vision_of(model), pixels)))
    right, count = Counter(), Counter()
    for begin in range(0, len(rows), 32):
        part = rows[begin : begin + 32]
        samples = [encoder.chat(question_of(row), image_tokens=image_tokens) for row in part]
        ids, _ = padded(samples)
        with torch.no_grad():
            seen = model.model.multi_modal_projector(torch.stack([features[row["image_path"]] for row in part]))
            hidden = model.model.language_model(inputs_embeds=embedded(model, ids, seen)).last_hidden_state
            last = hidden[torch.arange(len(part)), torch.tensor([len(ids) - 1 for ids, _ in samples])]
            said = model.lm_head(last).argmax(1)
        for row, token in zip(part, said.tolist()):
            for category in ("all", *row["category"].split(",")):
                count[category] += 1
                right[category] += token == encoder.first(row["answer"])
    return {category: round(right[category] / count[category], 3) for category in count}


def question_of(row: dict) -> str:
    if "A" not in row:
        return f"{row['question']}\n{WORD_PROMPT}"
    return with_options(row["question"], [row[letter] for letter in LETTERS], LETTER_PROMPT)


def tuning_samples(world: World, count: int) -> list[tuple[pool.Stamp, str, str]]:
    """What the pipeline makes of the training pictures: choices, yes or no, names. (picture, question, answer)"""
    stamps = [stamp for stamp in world.stamps if stamp.file.suffix == ".png"]
    samples = []
    for i in range(count):
        if i % len(stamps) == 0:
            order = random.sample(stamps, len(stamps))
        stamp = order[i % len(stamps)]
        kind, group, name = stamp.folder[0], group_of(stamp), stamp.noun
        dice = random.random()
        if dice < 0.65:
            answer, others = random.choice(((kind, world.kinds), (group, world.groups), (name, world.names)))
            options = [answer, *random.sample([other for other in others if other not in (kind, group, name)], 3)]
            random.shuffle(options)
            question = (
                "What kind of thing does the picture show?"
                if answer == kind
                else "Which of these does the picture show?"
            )
            samples.append((stamp, with_options(question, options, LETTER_PROMPT), LETTERS[options.index(answer)]))
        elif dice < 0.85:
            asked = (
                group
                if random.random() < 0.5
                else random.choice([other for other in world.groups if other not in (kind, group)])
            )
            samples.append((stamp, f"Is the picture about {asked}?\n{WORD_PROMPT}", "Yes" if asked == group else "No"))
        else:
            samples.append((stamp, f"What does the picture show?\n{WORD_PROMPT}", name))
    return samples


def trial() -> None:
    """One run as the demo does it: AdamW, cosine with 3 % warm-up, projector and language model, vision frozen."""
    world, encoder = World(), Encoder(FOLDER)
    model = LlavaForConditionalGeneration.from_pretrained(FOLDER, dtype=torch.float32)
    vision_of(model).requires_grad_(False)
    side, image_tokens = model.config.vision_config.image_size, model.config.image_seq_length
    before = {name: benchmark(model, encoder, name) for name in ("stamps.tsv", "stamps_yesno.tsv")}
    print("before", json.dumps(before))
    samples = tuning_samples(world, ARGS.samples)
    paths = sorted({stamp.path for stamp, _, _ in samples})
    features = patch_features(
        vision_of(model),
        torch.from_numpy(np.stack([squared(pool.Stamp(p).image().convert("RGB"), side) for p in paths])),
    )
    place = {path: i for i, path in enumerate(paths)}
    trained = [p for p in model.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(trained, lr=ARGS.tune_lr, weight_decay=0.0)
    per_epoch = -(-len(samples) // ARGS.tune_batch)
    total = int(per_epoch * ARGS.epochs)
    warm_up = max(1, -(-3 * total // 100))
    begun, losses = time.time(), []
    for step in range(total):
        if step % per_epoch == 0:
            random.shuffle(samples)
        part = samples[step % per_epoch * ARGS.tune_batch :][: ARGS.tune_batch]
        rate = step / warm_up if step < warm_up else 0.5 * (1 + np.cos(np.pi * (step - warm_up) / (total - warm_up)))
        optimiser.param_groups[0]["lr"] = ARGS.tune_lr * rate
        ids, labels = padded([encoder.chat(question, answer, image_tokens) for _, question, answer in part])
        patches = features[[place[stamp.path] for stamp, _, _ in part]]
        loss = forward_loss(model, ids, labels, model.model.multi_modal_projector(patches))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    print(
        f"{total} steps of {ARGS.tune_batch}, lr {ARGS.tune_lr:g}, {ARGS.epochs:g} epochs of {len(samples)} in"
        f" {time.time() - begun:.0f} s; loss {np.mean(losses[:5]):.3f} -> {np.mean(losses[-20:]):.3f}"
    )
    after = {name: benchmark(model, encoder, name) for name in ("stamps.tsv", "stamps_yesno.tsv")}
    print("after ", json.dumps(after))


def write_readme(training: dict) -> None:
    weights = (FOLDER / "model.safetensors").stat().st_size
    (FOLDER / "README.md").write_text(
        f"""# demo-vlm

A LLaVA of the usual architecture and file layout (llava-hf, older tensor names), small enough for a demo: \
{weights / 1e6:.1f} MB of fp16 weights. Eyes: the
vision tower of `../demo-clip`, frozen, layer -2; projector of two layers; LLaMA of 4 layers, width 128, heads of 32; \
{PIECES} SentencePiece
pieces with byte fallback, `<image>` {IMAGE_ID}, `<pad>` {PAD_ID}. Written by `../make_demo_vlm.py`.

It has read sentences and questions about texts, and had its projector aligned with captions; it has never been asked \
about a
picture. Trained on captions and folder names of the stamps that are not in `../../demo/held_out.txt`: \
{training["text_steps"]} steps of text, {training["align_steps"]} of alignment,
{training["minutes"]:g} CPU minutes on one core in all. Seed {SEED}; the budget is time, so another machine takes \
another number of steps and gets other bits.
Python {platform.python_version()}, torch {torch.__version__}, transformers {transformers.__version__}, sentencepiece \
{sentencepiece.__version__}, numpy {np.__version__}.
""",
        encoding="utf-8",
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10, help="CPU minutes to train for")
    parser.add_argument("--batch", type=int, default=24)
    parser.add_argument("--guide", type=float, default=1.0, help="weight of the hand on the attention")
    parser.add_argument("--lr", type=float, default=3e-3, help="AdamW: embeddings, norms, output, biases")
    parser.add_argument("--muon", type=float, default=4e-3, help="Muon: the matrices of the layers")
    parser.add_argument("--clip", type=Path, default=CLIP)
    parser.add_argument("--output", type=Path, default=FOLDER)
    parser.add_argument(
        "--trial", action="store_true", help="fine-tune what is there as the demo does, and measure before and after"
    )
    parser.add_argument("--samples", type=int, default=1500)
    parser.add_argument("--epochs", type=float, default=1)
    parser.add_argument("--tune-lr", type=float, default=1e-3)
    parser.add_argument("--tune-batch", type=int, default=16)
    ARGS = parser.parse_args()
    CLIP, FOLDER = ARGS.clip, ARGS.output
    warnings.filterwarnings("ignore", message="Palette images with Transparency")
    torch.set_num_threads(1)
    random.seed(SEED)
    np.random.seed(SEED)
    torch.manual_seed(SEED)
    if ARGS.trial:
        trial()
    else:
        make(ARGS.minutes)
