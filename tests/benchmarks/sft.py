"""Fine-tuning and greedy answering side by side with transformers on the same machine, weights, tokens and threads.

  PYTHONPATH=.deps/python:.deps/peers python tests/benchmarks/sft.py --bench build/release/tests/benchmarks/bench_sft \
      [--only train]

Models: an 8-layer, 512-wide, 32k-vocabulary LLaMA with random weights (4 x 512 tokens a step) and SmolLM2-135M's
geometry (2 x 512). Ours and theirs take turns, `--rounds` times; the best of each is reported, with the peak memory of
its process. Theirs: the model's own forward with labels, backward, torch.optim.AdamW(fused=True); bf16: weights and
activations in bf16 with autocast off (their fastest here), moments as torch keeps them. Answers: generate() at the
batch that suits it best.
"""

import argparse
import json
import pathlib
import re
import subprocess
import sys
import tempfile

SHAPES = {
    "llama-8x512": (
        dict(
            vocab_size=32000, hidden_size=512, intermediate_size=1376, num_hidden_layers=8, num_attention_heads=8,
            num_key_value_heads=8, rms_norm_eps=1e-5,
        ),
        4,
        512,
    ),
    "smollm2-135m": (
        dict(
            vocab_size=49152, hidden_size=576, intermediate_size=1536, num_hidden_layers=30, num_attention_heads=9,
            num_key_value_heads=3, tie_word_embeddings=True, rope_theta=1e5, rms_norm_eps=1e-5,
        ),
        2,
        512,
    ),
}
THEIRS = r'''
import resource, sys, time, torch
from transformers import LlamaForCausalLM
what, folder = sys.argv[1:3]
if what == "train":
    batch, length, steps, precision, threads = (
        int(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5]), sys.argv[6], int(sys.argv[7]),
    )
else:
    prompts, length, new, batch, precision, threads = (int(a) if a.isdigit() else a for a in sys.argv[3:9])
torch.set_num_threads(threads)
model = LlamaForCausalLM.from_pretrained(folder, dtype=torch.bfloat16 if precision == "bf16" else torch.float32)
V = model.config.vocab_size
rows = batch if what == "train" else prompts
ids = torch.tensor([[(7 * r + 13 * c + r * c) % (V - 8) + 4 for c in range(length)] for r in range(rows)])
if what == "train":
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=0.0, fused=True)
    for step in range(steps):
        if step == 1:
            start = time.perf_counter()
        loss = model(input_ids=ids, labels=ids).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        print(f"loss {loss.item():.6f}")
    print(f"tokens_per_s {batch * length * (steps - 1) / (time.perf_counter() - start):.1f}")
else:
    model.eval()
    go = lambda part: model.generate(
        part, attention_mask=torch.ones_like(part), max_new_tokens=new, min_new_tokens=new, do_sample=False,
        pad_token_id=0,
    )
    go(ids[:1])
    start = time.perf_counter()
    for first in range(0, prompts, batch):
        go(ids[first:first + batch])
    print(f"answers_per_s {prompts / (time.perf_counter() - start):.2f}")
print(f"peak_mib {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f}")
'''


def make(folder, shape):
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM
    torch.manual_seed(0)
    LlamaForCausalLM(LlamaConfig(**shape)).save_pretrained(folder)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tok = Tokenizer(models.BPE(vocab={c: i for i, c in enumerate(alphabet)}, merges=[]))
    tok.pre_tokenizer, tok.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    tok.add_special_tokens(["<end>"])
    tok.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps({"eos_token": "<end>"}))


def figures(command):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{command[0]} failed:\n{done.stderr[-2000:]}")
    found = {key: float(value) for key, value in re.findall(r"^(\w+) ([\d.]+)$", done.stdout, re.M) if key != "loss"}
    return found, [float(v) for v in re.findall(r"^loss ([\d.]+)$", done.stdout, re.M)]


def side_by_side(title, ours, theirs, key, rounds):
    best = [{}, {}]
    losses = [[], []]
    for _ in range(rounds):
        for i, command in enumerate((ours, theirs)):
            got, losses[i] = figures(command)
            if got[key] > best[i].get(key, 0):
                best[i] = got
    a, b = best
    line = (
        f"{title:34} ours {a[key]:9.1f}   transformers {b[key]:9.1f}   ratio {a[key] / b[key]:5.2f}   peak MiB"
        f" {a['peak_mib']:.0f} / {b['peak_mib']:.0f}"
    )
    if losses[0]:
        line += f"   largest relative loss difference {max(abs(x - y) / y for x, y in zip(*losses)):.1e}"
    print(line, flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--bench", required=True)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", choices=["train", "answer"])
    parser.add_argument("--model", choices=list(SHAPES))
    parser.add_argument(
        "--precision",
        choices=["fp32", "bf16"],
        help=(
            "of training; both if not given. On a CPU without bf16 instructions transformers takes minutes a step in"
            " bf16"
        ),
    )
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        script = scratch / "theirs.py"
        script.write_text(THEIRS)
        for name, (shape, batch, length) in SHAPES.items():
            if args.model and name != args.model:
                continue
            folder = scratch / name
            make(folder, shape)
            if args.only != "answer":
                for precision in [args.precision] if args.precision else ["fp32", "bf16"]:
                    words = ["train", folder, batch, length, args.steps, precision, args.threads]
                    side_by_side(
                        f"{name} train {precision} tokens/s", [args.bench, *words], [sys.executable, script, *words],
                        "tokens_per_s", args.rounds,
                    )
            if args.only != "train" and name == "llama-8x512":
                for size in (16, 32, 64):
                    words = ["answer", folder, 64, 128, 32, size, "fp32", args.threads]
                    side_by_side(
                        f"{name} answers/s, batch {size}", [args.bench, *words], [sys.executable, script, *words],
                        "answers_per_s", args.rounds,
                    )


if __name__ == "__main__":
    main()
