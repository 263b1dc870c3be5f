"""`taskgalaxy convert` and `taskgalaxy chat` against transformers: what the program writes loads there with the same
logits and greedy text, liuhaotian and llava-hf become each other, and every model that is read and written again has
the same bytes. Tiny models of tests/fixtures.
"""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

try:
    import torch
    from PIL import Image
    from safetensors.torch import load_file
    from transformers import (
        InternVLForConditionalGeneration, LlamaForCausalLM, LlamaTokenizer, LlavaForConditionalGeneration,
        PreTrainedTokenizerFast, Qwen2ForCausalLM,
    )
except ImportError as missing:
    print(f"skipped: {missing}; jobs/setup.sh peers installs it")
    sys.exit(77)

ROOT = pathlib.Path(__file__).resolve().parents[2]
FIXTURES = ROOT / "tests/fixtures"
SYSTEM = (
    "A chat between a curious user and an artificial intelligence assistant. The assistant gives helpful, detailed, and"
    " polite answers to the user's questions. "
)


def run(*arguments, expect=0, text=None):
    done = subprocess.run(
        [os.environ["TASKGALAXY"], *map(str, arguments)], input=text, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == expect, f"{arguments}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


def refusal(*arguments, code, words):
    lines = [line for line in run(*arguments, expect=code).stderr.splitlines() if line.strip()]
    assert len(lines) == 1 and all(
        word in lines[0] for word in words
    ), f"{arguments}: wanted one line with {words}:\n" + "\n".join(lines)
    print(f"refused: {lines[0][:160]}")


def convert(model, layout, output):
    run("convert", model, "--layout", layout, "--output", output)
    return output


def weights(folder):
    tensors = {}
    for file in sorted(folder.glob("*.safetensors")):
        tensors |= load_file(file)
    return tensors


def same_weights(a, b):
    a, b = weights(a), weights(b)
    assert a.keys() == b.keys(), a.keys() ^ b.keys()
    for name in a:
        assert a[name].dtype == b[name].dtype and torch.equal(a[name], b[name]), name


def speak(kind, folder, ids, pixels, steps=20, own_tokens=None):
    """Logits and greedy answer; `own_tokens`: rows behind them are no words, and a random model would say them."""
    model, report = kind.from_pretrained(folder, dtype=torch.float32, output_loading_info=True)
    assert not report["missing_keys"] and not report["mismatched_keys"], report
    model.eval()
    more = {} if pixels is None else {"pixel_values": pixels}
    words = (
        {}
        if own_tokens is None
        else {"suppress_tokens": list(range(own_tokens, model.get_output_embeddings().weight.shape[0]))}
    )
    with torch.no_grad():
        logits = model(input_ids=ids, attention_mask=torch.ones_like(ids), **more).logits[0]
        answer = model.generate(
            input_ids=ids, attention_mask=torch.ones_like(ids), **more, **words, max_new_tokens=steps, do_sample=False,
            pad_token_id=0,
        )[0, ids.shape[1] :]
    return logits, answer


def ids_of(tok, text, image, positions):
    ids = [1]
    for n, piece in enumerate(text.split("<image>")):
        ids += ([image] * positions if n else []) + (tok(piece, add_special_tokens=False).input_ids if piece else [])
    return torch.tensor([ids])


with tempfile.TemporaryDirectory() as scratch:
    scratch = pathlib.Path(scratch)

    # llava-hf -> llava-hf, -> liuhaotian -> llava-hf.
    source = FIXTURES / "vlm/tiny-llava"
    tok = LlamaTokenizer.from_pretrained(source, legacy=True)
    pixels = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(3))
    ids = ids_of(tok, SYSTEM + "USER: <image>\nWhat is it? ASSISTANT:", 640, 16)
    logits, answer = speak(LlavaForConditionalGeneration, source, ids, pixels, own_tokens=640)
    same_weights(source, convert(source, "same", scratch / "same"))
    again = convert(source, "llava-hf", scratch / "again")
    got = speak(LlavaForConditionalGeneration, again, ids, pixels, own_tokens=640)
    assert torch.equal(got[0], logits) and torch.equal(got[1], answer)
    own = convert(source, "liuhaotian", scratch / "own folder")
    names = weights(own)
    assert (
        names["model.embed_tokens.weight"].shape[0] == 640
        and "model.mm_projector.2.bias" in names
        and "vision_model.post_layernorm.bias" in weights(own / "vision_tower")
    )
    back = convert(own, "llava-hf", scratch / "back")
    config = json.loads((back / "config.json").read_text())
    assert (config["image_token_index"], config["text_config"]["vocab_size"]) == (640, 704)
    got = speak(LlavaForConditionalGeneration, back, ids, pixels, own_tokens=640)
    assert torch.equal(got[0][:, :640], logits[:, :640]) and torch.equal(got[1], answer), "liuhaotian and back"
    mean = weights(own)["lm_head.weight"].mean(0)
    assert torch.allclose(weights(back)["language_model.lm_head.weight"][640:], mean.expand(64, -1), atol=1e-6)
    back_tok = LlamaTokenizer.from_pretrained(back, legacy=True)
    assert back_tok.convert_tokens_to_ids(["<image>", "<pad>"]) == [640, 641]
    assert "<image>" not in json.loads(
        (convert(back, "liuhaotian", scratch / "own2") / "added_tokens.json").read_text()
    )
    same_weights(own, scratch / "own2")
    same_weights(own / "vision_tower", scratch / "own2/vision_tower")
    print("LLaVA: llava-hf and liuhaotian become each other, logits and greedy text equal")

    # Language models and InternVL.
    for kind, folder in ((Qwen2ForCausalLM, "language/tiny-qwen2"), (LlamaForCausalLM, "language/tiny-smol")):
        out = convert(FIXTURES / folder, "same", scratch / folder)
        text_tok = PreTrainedTokenizerFast(tokenizer_file=str(out / "tokenizer.json"))
        prompt = torch.tensor([text_tok("How many birds are there?").input_ids])
        a, b = speak(kind, FIXTURES / folder, prompt, None), speak(kind, out, prompt, None)
        assert torch.equal(a[0], b[0]) and torch.equal(a[1], b[1]), folder
        same_weights(FIXTURES / folder, out)
    figures = load_file(FIXTURES / "internvl/expected.safetensors")
    out = convert(FIXTURES / "internvl/tiny-hf", "same", scratch / "internvl-hf")
    a = speak(InternVLForConditionalGeneration, out, figures["hf.ids"].unsqueeze(0), figures["hf.pixels"])
    assert torch.allclose(a[0], figures["hf.logits"], atol=1e-5)
    for name in ("tiny-hf", "tiny-qwen", "tiny-internlm", "tiny-v1"):
        same_weights(
            FIXTURES / "internvl" / name, convert(FIXTURES / "internvl" / name, "same", scratch / "same" / name)
        )
    same_weights(FIXTURES / "internvl/tiny-v1/intern_vit_6b_224px", scratch / "same/tiny-v1/intern_vit_6b_224px")
    print(
        "LlamaForCausalLM, Qwen2ForCausalLM and InternVL: read and written again, the same bytes, logits and greedy"
        " text"
    )

    # Chat: the answer of transformers, and a second turn that knows the first.
    Image.new("RGB", (32, 32), (200, 30, 90)).save(scratch / "red picture.png")
    mean, std = torch.tensor([0.48145466, 0.4578275, 0.40821073]), torch.tensor([0.26862954, 0.26130258, 0.27577711])
    red = ((torch.tensor([200, 30, 90]) / 255 - mean) / std).view(1, 3, 1, 1).expand(1, 3, 32, 32)
    told = run(
        "chat", source, "--image", scratch / "red picture.png", "--max-new-tokens", 12, "--dtype", "fp32",
        text="What is it?\n\nAre you sure?\n",
    ).stdout
    model = LlavaForConditionalGeneration.from_pretrained(source, dtype=torch.float32).eval()
    text, wanted = SYSTEM, []
    for question in ("<image>\nWhat is it?", "Are you sure?"):
        text += f"USER: {question} ASSISTANT:"
        asked = ids_of(tok, text, 640, 16)
        with torch.no_grad():
            new = model.generate(
                input_ids=asked, attention_mask=torch.ones_like(asked), pixel_values=red, max_new_tokens=12,
                do_sample=False, pad_token_id=0, eos_token_id=2,
            )[0, asked.shape[1] :]
        wanted.append(tok.decode([t for t in new.tolist() if t < 640], skip_special_tokens=True).strip())
        text += f" {wanted[-1]}</s>"
    assert [" ".join(w.split()) for w in wanted] == [" ".join(l.split()) for l in told.split("\n")[:2]], (wanted, told)
    drawn = [
        run("chat", source, "--prompt", "Hi", "--temperature", 1, "--seed", seed, "--max-new-tokens", 12).stdout
        for seed in (1, 1, 2)
    ]
    assert drawn[0] == drawn[1] != drawn[2], drawn
    source = FIXTURES / "internvl/tiny-hf"
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    red = ((torch.tensor([200, 30, 90]) / 255 - mean) / std).view(1, 3, 1, 1).expand(1, 3, 32, 32)
    bytes_tok = PreTrainedTokenizerFast(tokenizer_file=str(source / "tokenizer.json"))
    asked = torch.tensor(
        [
            bytes_tok(
                f"<|im_start|>user\n<img>{'<IMG_CONTEXT>' * 4}</img>\nWhat is it?<|im_end|>\n<|im_start|>assistant\n"
            ).input_ids
        ]
    )
    model = InternVLForConditionalGeneration.from_pretrained(source, dtype=torch.float32).eval()
    with torch.no_grad():
        new = model.generate(
            input_ids=asked, attention_mask=torch.ones_like(asked), pixel_values=red, max_new_tokens=24,
            do_sample=False, pad_token_id=0,
            eos_token_id=bytes_tok.convert_tokens_to_ids(["<|im_end|>", "<|endoftext|>"]),
        )[0, asked.shape[1] :]
    told = run(
        "chat", source, "--image", scratch / "red picture.png", "--prompt", "What is it?", "--max-new-tokens", 24,
        "--dtype", "fp32",
    ).stdout
    assert told.strip() == bytes_tok.decode([t for t in new.tolist() if t < 536], skip_special_tokens=True).strip(), (
        told,
        new,
    )
    assert run(
        "chat", FIXTURES / "internvl/tiny-internlm", "--image", scratch / "red picture.png", "--prompt", "What is it?",
        "--max-new-tokens", 4,
    ).stdout.endswith("\n")
    source = FIXTURES / "vlm/tiny-llava"
    print(f"chat: {wanted}")

    refusal(
        "chat", FIXTURES / "language/tiny-qwen2", "--image", scratch / "red picture.png", "--prompt", "x", code=3,
        words=["without eyes"],
    )
    refusal(
        "chat", source, "--image", scratch / "nowhere.png", "--prompt", "x", code=3,
        words=["nowhere.png", "No such file"],
    )
    (scratch / "cut.png").write_bytes((scratch / "red picture.png").read_bytes()[:40])
    refusal("chat", source, "--image", scratch / "cut.png", "--prompt", "x", code=3, words=["cut.png"])
    refusal("chat", source, "--prompt", "word " * 3000, code=3, words=["positions", "can hold 2048"])
    refusal("chat", source, "--prompt", "x", "--temperature", -1, code=2, words=["--temperature"])
    refusal("chat", scratch / "nothing", "--prompt", "x", code=3, words=["holds no config.json"])
    refusal(
        "convert", FIXTURES / "internvl/tiny-qwen", "--layout", "llava-hf", "--output", scratch / "x", code=3,
        words=["is no LLaVA"],
    )
    refusal(
        "convert", source, "--layout", "hf", "--output", scratch / "y", code=2,
        words=["layout 'hf' is not known", "llava-hf, liuhaotian"],
    )
    refusal("convert", source, "--layout", "same", "--output", again, code=2, words=["is in the way"])
