"""Our language model beside transformers on real weights: SmolLM2-135M-Instruct, fp32, on the CPU.

    cmake --build build/release --target language_probe
    python3 tests/live/smollm2.py [--probe build/release/tests/live/language_probe]

Compared: token ids of twenty conversations, logits at every position of their prompts (at most 1e-3 apart), the 200
tokens answered greedily to each, and loss, learning rate and gradient norm of 20 steps of fine-tuning at the recipe's
rate (AdamW, cosine with warm-up; 1e-4 relative). Beside the last, what two ways of transformers itself differ by: Adam
makes much of gradients that are only rounding. Not part of the test suite: it downloads 100 MB and takes some minutes.
Exit code 1 where something is further apart.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

from smollm2_folder import ROOT, environment, smollm2

QUESTIONS = [
    "What is the capital of France?", "Write a haiku about the sea.", "Explain what a neural network is.",
    "How many legs does a spider have?", "Name three colours of the rainbow.", "Translate 'good morning' into Spanish.",
    "What is 17 + 25?", "Why is the sky blue?", "Give me a recipe for pancakes.", "Who wrote Romeo and Juliet?",
    "What does MPI stand for?", "List five animals that can fly.", "Tell me a short story about a fox.",
    "What is photosynthesis?", "How do I sort a list in Python?", "Which planet is the largest?",
    "Describe a bicycle to a child.", "What is the opposite of 'ancient'?",
    "Summarise the water cycle in two sentences.", "What should I pack for a hike?",
]
THEIRS = r"""
import json, sys
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, get_cosine_schedule_with_warmup
folder, step = sys.argv[1:3]
scratch = sys.argv[3]
torch.set_num_threads(2)
tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
if step == "prepare":
    questions = json.load(open(f"{scratch}/questions.json"))
    texts = [
        tokenizer.apply_chat_template([{"role": "user", "content": q}], tokenize=False, add_generation_prompt=True)
        for q in questions
    ]
    prompts = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]
    model.eval()
    answers = []
    with torch.inference_mode():
        for ids in prompts:
            out = model.generate(
                torch.tensor([ids]), attention_mask=torch.ones(1, len(ids), dtype=torch.long), max_new_tokens=200,
                do_sample=False, pad_token_id=0,
            )[0, len(ids) :].tolist()
            answers.append(out[: out.index(tokenizer.eos_token_id)] if tokenizer.eos_token_id in out else out)
        torch.save([model(torch.tensor([ids])).logits[0] for ids in prompts], f"{scratch}/theirs.pt")
    # What it is fine-tuned on: the same questions with other answers, so that there is something to learn.
    samples = []
    for ids, text in zip(prompts, reversed(questions)):
        answer = tokenizer("You could also ask: " + text + "<|im_end|>\n", add_special_tokens=False)["input_ids"]
        samples.append({"ids": ids + answer, "labels": [-100] * len(ids) + answer})
    json.dump(
        {
            "texts": texts, "prompts": prompts, "new_tokens": 200, "samples": samples, "batch": 4, "steps": 20,
            "rate": 2e-5, "warmup": 0.1, "answers": answers,
        },
        open(f"{scratch}/work.json", "w"),
    )
else:
    work, ours = json.load(open(f"{scratch}/work.json")), json.load(open(f"{scratch}/ours.json"))
    report = {
        "token_ids_equal": sum(a == b for a, b in zip(ours["ids"], work["prompts"])),
        "answers_equal": sum(a == b for a, b in zip(ours["answers"], work["answers"])),
        "answer_tokens": sum(map(len, work["answers"])),
        "of": len(work["prompts"]),
    }
    flat = torch.from_file(
        f"{scratch}/ours.logits", size=sum(map(len, work["prompts"])) * model.config.vocab_size, dtype=torch.float32
    ).view(-1, model.config.vocab_size)
    report["largest_logit_difference"] = (flat - torch.cat(torch.load(f"{scratch}/theirs.pt"))).abs().max().item()
    def train(model):
        model.train()
        optimizer = torch.optim.AdamW(model.parameters(), lr=work["rate"], weight_decay=0.0)
        schedule = get_cosine_schedule_with_warmup(optimizer, int(work["warmup"] * work["steps"]), work["steps"])
        log = []
        for number in range(work["steps"]):
            rows = [work["samples"][(number * work["batch"] + i) % len(work["samples"])] for i in range(work["batch"])]
            width = max(len(r["ids"]) for r in rows)
            pad = lambda values, filler: torch.tensor([v + [filler] * (width - len(v)) for v in values])
            loss = model(
                input_ids=pad([r["ids"] for r in rows], 0), attention_mask=pad([[1] * len(r["ids"]) for r in rows], 0),
                labels=pad([r["labels"] for r in rows], -100),
            ).loss
            loss.backward()
            log.append(
                {
                    "loss": loss.item(),
                    "lr": schedule.get_last_lr()[0],
                    "norm": torch.nn.utils.clip_grad_norm_(model.parameters(), float("inf")).item(),
                }
            )
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
        return log
    furthest = lambda a, b: {
        key: max(abs(x[key] - y[key]) / max(abs(y[key]), 1e-12) for x, y in zip(a, b, strict=True))
        for key in ("loss", "lr", "norm")
    }
    log = train(model)
    eager = train(AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager"))
    report |= {
        "loss_first": ours["training"][0]["loss"],
        "loss_last": ours["training"][-1]["loss"],
        "largest_relative_difference": furthest(ours["training"], log),
        "between_their_attentions": furthest(eager, log),
    }
    print(json.dumps(report))
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--probe", default=str(ROOT / "build/release/tests/live/language_probe"))
    args = parser.parse_args()
    env = environment()
    model = smollm2(env)
    with tempfile.TemporaryDirectory() as scratch:
        (pathlib.Path(scratch) / "questions.json").write_text(json.dumps(QUESTIONS))
        theirs = lambda step: subprocess.run(
            [sys.executable, "-c", THEIRS, model, step, scratch], env=env, check=True, capture_output=True, text=True
        ).stdout
        theirs("prepare")
        subprocess.run(
            [args.probe, model, f"{scratch}/work.json", f"{scratch}/ours"],
            env={**env, "OMP_NUM_THREADS": "2"},
            check=True,
        )
        report = json.loads(theirs("compare").splitlines()[-1])
    far, theirs_far = report["largest_relative_difference"], report["between_their_attentions"]
    print(f"token ids     {report['token_ids_equal']} of {report['of']} conversations equal")
    print(f"logits        at most {report['largest_logit_difference']:.1e} apart")
    print(f"greedy        {report['answers_equal']} of {report['of']} answers equal ({report['answer_tokens']} tokens)")
    print(
        f"fine-tuning   loss {report['loss_first']:.4f} -> {report['loss_last']:.4f}; relative differences at most:"
        f" loss {far['loss']:.1e}, lr {far['lr']:.1e}, gradient norm {far['norm']:.1e}"
    )
    print(
        f"              between transformers' own eager and fused attention: loss {theirs_far['loss']:.1e}, gradient"
        f" norm {theirs_far['norm']:.1e}"
    )
    return not (
        report["token_ids_equal"] == report["answers_equal"] == report["of"]
        and report["largest_logit_difference"] <= 1e-3
        and max(far.values()) <= 1e-4
    )


if __name__ == "__main__":
    sys.exit(main())
