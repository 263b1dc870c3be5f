"""What the stage `train` leaves, read by others: adapters by peft, TensorBoard's event files by tensorboard. Tiny
models, two ranks."""

import csv
import json
import os
import pathlib
import subprocess
import sys
import tempfile

try:
    import torch
    from peft import PeftModel
    from PIL import Image
    from transformers import LlavaForConditionalGeneration
except ImportError as missing:
    print(f"skipped: {missing}; jobs/setup.sh peers installs it")
    sys.exit(77)

ROOT = pathlib.Path(__file__).resolve().parents[2]
MODEL = ROOT / "tests/fixtures/vlm/tiny-llava"
ENVIRONMENT = {**os.environ, "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}


def make_samples(folder):
    samples = []
    for i in range(12):
        Image.new("RGB", (40, 30), (20 * i, 255 - 20 * i, 90)).save(folder / f"{i}.png")
        samples.append(
            {
                "id": str(i),
                "image": f"{i}.png",
                "conversations": [
                    {"from": "human", "value": "<image>\nHow red is it?"},
                    {"from": "gpt", "value": f"About {20 * i}."},
                ],
            }
        )
    samples.append(
        {
            "id": "text",
            "conversations": [{"from": "human", "value": "Who are you?"}, {"from": "gpt", "value": "A model."}],
        }
    )
    (folder / "data.json").write_text(json.dumps(samples))


def train(folder, name, ranks, **settings):
    settings = {
        "model": MODEL, "data": folder / "data.json", "image_root": folder, "global_batch": 4, "micro_batch": 2,
        "epochs": 2, "learning_rate": 1e-2, **settings,
    }
    (folder / f"{name}.cfg").write_text(
        f"[run]\nfolder = {folder / name}\n[train]\n" + "".join(f"{key} = {value}\n" for key, value in settings.items())
    )
    command = [
        "mpirun", "--oversubscribe", "-n", str(ranks), os.environ["TASKGALAXY"], "run", str(folder / f"{name}.cfg"),
        "--stages", "train",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, env=ENVIRONMENT)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return folder / name


def log_of(run):
    return [
        {key: float(value) for key, value in row.items()} for row in csv.DictReader((run / "training_log.csv").open())
    ]


def furthest(a, b, key="loss"):
    return max(abs(x[key] - y[key]) / abs(y[key]) for x, y in zip(a, b, strict=True))


def logits_of(model, seed=3):
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(3, 640, (1, 40), generator=generator)
    ids[0, 5:21] = 640
    with torch.no_grad():
        return model.eval()(
            input_ids=ids, attention_mask=torch.ones_like(ids),
            pixel_values=torch.randn(1, 3, 32, 32, generator=generator),
        ).logits


def base():
    return LlavaForConditionalGeneration.from_pretrained(MODEL, dtype=torch.float32)


def adapters(folder):
    plain, alone = logits_of(base()), log_of(train(folder, "lora", 1, lora_rank=4, lora_alpha=8))
    for sharding, more in (("optimizer", {}), ("full", {}), ("hybrid", {"shard_ranks": 1})):
        run = train(folder, f"lora-{sharding}", 2, sharding=sharding, lora_rank=4, lora_alpha=8, **more)
        assert max(furthest(log_of(run), alone), furthest(log_of(run), alone, "grad_norm")) < 1e-4, sharding
        config = json.loads((run / "export/adapter/adapter_config.json").read_text())
        assert (config["r"], config["lora_alpha"], config["modules_to_save"]) == (
            4, 8, ["multi_modal_projector"],
        ), config
        adapted = PeftModel.from_pretrained(base(), str(run / "export/adapter"))
        touched = [name for name, module in adapted.named_modules() if hasattr(module, "lora_A")]
        assert len(touched) == 3 * 7 and all("language_model" in name for name in touched), touched
        merged, told = LlavaForConditionalGeneration.from_pretrained(
            run / "export/model", dtype=torch.float32, output_loading_info=True
        )
        assert not told["missing_keys"] and not told["unexpected_keys"], told
        by_peft, by_us = logits_of(adapted), logits_of(merged)
        distance, change = (by_peft - by_us).abs().max().item(), (by_us - plain).abs().max().item()
        assert distance < 1e-4 and change > 1e-2, (distance, change)
        print(
            f"LoRA, sharding = {sharding}: peft's logits and those of the merged model at most {distance:.1e} apart,"
            f" {change:.2f} from the base model's"
        )
    run = train(
        folder, "lora-alone", 1, lora_rank=2, lora_merge="false", train_parts="language",
        lora_targets="q_proj, down_proj",
    )
    assert (
        not (run / "export/model").exists()
        and json.loads((run / "export/adapter/adapter_config.json").read_text())["modules_to_save"] is None
    )
    adapted = PeftModel.from_pretrained(base(), str(run / "export/adapter"))
    assert sorted(
        {name.rsplit(".", 1)[1] for name, module in adapted.named_modules() if hasattr(module, "lora_A")}
    ) == ["down_proj", "q_proj"]


def moments(folder):
    wide = log_of(train(folder, "moments-fp32", 1))
    distances = {
        kind: furthest(log_of(train(folder, f"moments-{kind}", 2, moments=kind, sharding=sharding)), wide)
        for kind, sharding in (("8bit", "full"), ("host", "optimizer"))
    }
    assert distances["host"] < 1e-4 and distances["8bit"] < 0.02, distances
    print(
        f"moments on 2 ranks beside fp32 on one: losses at most {distances['8bit']:.1e} (8bit), {distances['host']:.1e}"
        " (host) apart"
    )


def event_files(folder):
    from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
    from tensorboard.compat.proto.event_pb2 import Event

    logs = []
    for ranks in (1, 2):
        run = train(folder, f"events-{ranks}", ranks, tensorboard="true", validation=0.3, validation_steps=2, epochs=3)
        logs.append(log_of(run))
        (file,) = (run / "tensorboard").glob("events.out.tfevents.*")
        events = [Event.FromString(record) for record in RawEventFileLoader(str(file)).Load()]
        assert events[0].file_version == "brain.Event:2"
        told = {}
        for event in events[1:]:
            for value in event.summary.value:
                told.setdefault(value.tag, {})[event.step] = value.simple_value
        for key in logs[-1][0]:
            wanted = {int(row["step"]): row[key] for row in logs[-1]}
            assert told[f"train/{key}"].keys() == wanted.keys()
            assert all(
                abs(told[f"train/{key}"][s] - wanted[s]) <= 1e-5 * max(1e-6, abs(wanted[s])) for s in wanted
            ), key
        assert set(told["validation/loss"]) == set(range(0, len(logs[-1]) + 1, 2)) | {len(logs[-1])}, told[
            "validation/loss"
        ]
    assert furthest(*logs) < 1e-4, "1 and 2 ranks"
    print(
        f"TensorBoard: {len(told)} tags over {len(logs[-1])} steps, equal to the log; validation of the same samples on"
        " 1 and 2 ranks"
    )


with tempfile.TemporaryDirectory() as scratch:
    scratch = pathlib.Path(scratch)
    make_samples(scratch)
    event_files(scratch)
    moments(scratch)
    adapters(scratch)
