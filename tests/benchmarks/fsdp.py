"""Sharded fine-tuning side by side with PyTorch FSDP2 (fully_shard over gloo): the same LLaMA, tokens, ranks and
threads, in one run.

  PYTHONPATH=.deps/python:.deps/peers python tests/benchmarks/fsdp.py --bench build/release/tests/benchmarks/bench_sft

Model: 8 layers, 512 wide, 32k vocabulary, random weights, fp32; 4 x 512 tokens a step over all ranks, one thread a
rank. Ours with both shardings and FSDP2 take turns, `--rounds` times; the best of each is reported, with what ours
waited for the other rank. FSDP2: every layer and the whole wrapped, AdamW(fused=True), its own prefetch. One rank of
ours first: what the second brings.
"""

import argparse
import os
import pathlib
import socket
import subprocess
import sys
import tempfile

from sft import SHAPES, figures, make

THEIRS = r'''
import os, resource, sys, time, torch
import torch.distributed as dist
from torch.distributed.fsdp import fully_shard
from transformers import LlamaForCausalLM
folder, batch, length, steps, threads = sys.argv[1], *map(int, sys.argv[2:6])
torch.set_num_threads(threads)
dist.init_process_group("gloo")
rank, size = dist.get_rank(), dist.get_world_size()
mesh = dist.init_device_mesh("cpu", (size,))
model = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32)
for layer in model.model.layers:
    fully_shard(layer, mesh=mesh)
fully_shard(model, mesh=mesh)
model.train()
V = model.config.vocab_size
ids = torch.tensor(
    [
        [(7 * r + 13 * c + r * c) % (V - 8) + 4 for c in range(length)]
        for r in range(batch * rank // size, batch * (rank + 1) // size)
    ]
)
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=0.0, fused=True)
for step in range(steps):
    if step == 1:
        start = time.perf_counter()
    loss = model(input_ids=ids, labels=ids).loss
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    whole = loss.detach().clone()
    dist.all_reduce(whole)
    if rank == 0:
        print(f"loss {whole.item() / size:.6f}")
if rank == 0:
    print(f"tokens_per_s {batch * length * (steps - 1) / (time.perf_counter() - start):.1f}")
    print(f"peak_mib {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f}", flush=True)
dist.destroy_process_group()
'''
# Starts the script once a rank; what rank 0 prints is the result.
LAUNCH = r'''
import os, subprocess, sys
ranks, port = int(sys.argv[1]), sys.argv[2]
all = [
    subprocess.Popen(
        [sys.executable, *sys.argv[3:]],
        env={**os.environ, "RANK": str(r), "WORLD_SIZE": str(ranks), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port},
    )
    for r in range(ranks)
]
sys.exit(max(p.wait() for p in all))
'''


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--bench", required=True)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--ranks", type=int, default=2)
    args = parser.parse_args()
    os.environ.update(OMP_NUM_THREADS="1", OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1")
    shape, batch, length = SHAPES["llama-8x512"]
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        make(scratch / "model", shape)
        (scratch / "theirs.py").write_text(THEIRS)
        (scratch / "launch.py").write_text(LAUNCH)
        words = [scratch / "model", batch, length, args.steps]
        ours = lambda ranks, sharding: [
            "mpirun", "--oversubscribe", "-n", ranks, args.bench, "train", *words, "fp32", 1, sharding,
        ]
        runs = {
            "ours, 1 rank": lambda: ours(1, "optimizer"),
            f"ours, optimizer, {args.ranks} ranks": lambda: ours(args.ranks, "optimizer"),
            f"ours, full, {args.ranks} ranks": lambda: ours(args.ranks, "full"),
            f"FSDP2, {args.ranks} ranks": lambda: [
                sys.executable, scratch / "launch.py", args.ranks, free_port(), scratch / "theirs.py", *words, 1,
            ],
        }
        best, losses = {}, {}
        for _ in range(args.rounds):
            for name, command in runs.items():
                got, losses[name] = figures(command())
                if got["tokens_per_s"] > best.get(name, {}).get("tokens_per_s", 0):
                    best[name] = got
        theirs, alone = best[f"FSDP2, {args.ranks} ranks"], best["ours, 1 rank"]
        reference = losses[f"FSDP2, {args.ranks} ranks"]
        for name, got in best.items():
            line = (
                f"{name:26} {got['tokens_per_s']:8.1f} tokens/s   {got['tokens_per_s'] / alone['tokens_per_s']:5.2f} of"
                f" one rank   {got['tokens_per_s'] / theirs['tokens_per_s']:5.2f} of FSDP2   peak MiB"
                f" {got['peak_mib']:.0f}"
            )
            if "gather_wait_s" in got:
                line += (
                    f"   waits a step: gather {got['gather_wait_s'] * 1e3:.0f} ms, reduce"
                    f" {got['reduce_wait_s'] * 1e3:.0f} ms, sums {got['sum_wait_s'] * 1e3:.0f} ms"
                )
                line += (
                    "   largest relative loss difference"
                    f" {max(abs(x - y) / y for x, y in zip(losses[name], reference)):.1e}"
                )
            print(line, flush=True)


if __name__ == "__main__":
    main()
