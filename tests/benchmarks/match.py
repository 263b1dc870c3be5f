"""Matching beside faiss-cpu's IndexFlatIP: the same random unit vectors, the same threads, in turns.

    python3 tests/benchmarks/match.py [--bench build/release/tests/benchmarks/embed_match_bench] [--json out.json]

Queries a second of exact top-10 over 19,227 types of 768 components (TaskGalaxy's numbers), the best of `--rounds`; and
whether the indices are the same. Where faiss and we differ, both scores are compared in double precision: its fp32 sums
cannot tell such pairs apart.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from peers import ROOT, environment, last_json

MAKE = r"""
import sys, numpy as np
folder, types, queries, dim = sys.argv[1], *map(int, sys.argv[2:5])
random = np.random.default_rng(7)
for name, rows in (("types.f32", types), ("queries.f32", queries)):
    vectors = random.standard_normal((rows, dim), dtype=np.float32)
    (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).tofile(f"{folder}/{name}")
"""
FAISS = r"""
import json, sys, time, numpy as np, faiss
folder, dim, k, threads = sys.argv[1], *map(int, sys.argv[2:5])
faiss.omp_set_num_threads(threads)
types, queries = (np.fromfile(f"{folder}/{n}.f32", np.float32).reshape(-1, dim) for n in ("types", "queries"))
index = faiss.IndexFlatIP(dim)
index.add(types)
best = 1e30
for _ in range(3):
    start = time.perf_counter()
    _, found = index.search(queries, k)
    best = min(best, time.perf_counter() - start)
ours = np.fromfile(f"{folder}/queries.f32.i64", np.int64).reshape(-1, k)
worst, differing = 0.0, np.argwhere(found != ours)
for q, r in differing:
    score = lambda t: float(queries[q].astype(np.float64) @ types[t].astype(np.float64))
    worst = max(worst, abs(score(found[q, r]) - score(ours[q, r])))
print(
    json.dumps(
        {"queries_per_s": len(queries) / best, "indices_that_differ": len(differing), "largest_score_difference": worst}
    )
)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bench", type=Path, default=ROOT / "build/release/tests/benchmarks/embed_match_bench")
    parser.add_argument("--types", type=int, default=19227)
    parser.add_argument("--queries", type=int, default=8192)
    parser.add_argument("--dim", type=int, default=768)
    parser.add_argument("--k", type=int, default=10)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    env = environment(args.threads, "numpy", "faiss")
    best: dict[str, dict] = {}
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            [sys.executable, "-c", MAKE, folder, str(args.types), str(args.queries), str(args.dim)], env=env, check=True
        )
        for _ in range(args.rounds):
            for name in ("auto", "fp32", "faiss"):
                if name == "faiss":
                    figures = last_json([sys.executable, "-c", FAISS, folder, args.dim, args.k, args.threads], env)
                else:
                    figures = last_json(
                        [args.bench, "match", f"{folder}/types.f32", f"{folder}/queries.f32", args.dim, args.k, name],
                        env,
                    )
                if figures["queries_per_s"] > best.get(name, {"queries_per_s": 0})["queries_per_s"]:
                    best[name] = figures
    print(f"top-{args.k} of {args.types} x {args.dim}, {args.queries} queries, {args.threads} threads")
    for name, figures in best.items():
        print(
            f"  {figures.get('arithmetic', name):6} {figures['queries_per_s']:9.0f} queries/s  "
            f" {figures['queries_per_s'] / best['faiss']['queries_per_s']:5.2f} x faiss"
        )
    print(
        f"  indices that differ from faiss: {best['faiss']['indices_that_differ']}, their scores by at most"
        f" {best['faiss']['largest_score_difference']:.1e}"
    )
    if args.json:
        args.json.write_text(
            json.dumps({"settings": {k: str(v) for k, v in vars(args).items()}, "figures": best}, indent=2) + "\n"
        )


main()
