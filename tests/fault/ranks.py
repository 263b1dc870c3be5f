"""The same pool, embeddings, matches and kept samples on any number of ranks.

    python3 tests/fault/ranks.py [RANKS ...]     compared with 1 rank; default 2 4
"""
import pathlib
import sys
import tempfile
import time

from program import Job, Simulator, same_bytes, same_hdf5, small_pool

counts = [int(word) for word in sys.argv[1:]] or [2, 4]
with tempfile.TemporaryDirectory() as scratch:
    scratch = pathlib.Path(scratch)
    pool = small_pool(scratch / "pool", every=12)
    stages = "ingest,expand,embed,match,refine,generate,screen,export"
    with Simulator(pool) as simulator:
        for ranks in (1, *counts):
            start = time.time()
            Job(scratch / f"run{ranks}", simulator.url, f"pool.sources=folder:{pool}", stages=stages).run(ranks)
            print(f"{ranks} ranks: done in {time.time() - start:.0f} s", flush=True)
    for ranks in counts:
        for name in ("pool.h5", "taxonomy.h5", "image_embeddings.h5", "text_embeddings.h5", "matches.h5", "samples.h5"):
            same_hdf5(scratch / "run1" / name, scratch / f"run{ranks}" / name)
        same_bytes(scratch / "run1/export/train.json", scratch / f"run{ranks}/export/train.json")
        print(f"{ranks} ranks: pool, taxonomy, embeddings, matches, samples and export equal those of 1 rank")
