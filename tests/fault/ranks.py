"""1, 2 and 4 ranks: the same pool, embeddings, matches and kept samples."""
import pathlib
import shutil
import tempfile

from program import Job, Simulator, same_bytes, same_hdf5, small_pool

with tempfile.TemporaryDirectory() as scratch:
    scratch = pathlib.Path(scratch)
    pool = small_pool(scratch / "pool", every=12)
    stages = "ingest,expand,embed,match,refine,generate,screen,export"
    with Simulator(pool) as simulator:
        for ranks in (1, 2, 4):
            Job(scratch / f"run{ranks}", simulator.url, f"pool.sources=folder:{pool}", stages=stages).run(ranks)
    for ranks in (2, 4):
        for name in ("pool.h5", "taxonomy.h5", "image_embeddings.h5", "text_embeddings.h5", "matches.h5", "samples.h5"):
            same_hdf5(scratch / "run1" / name, scratch / f"run{ranks}" / name)
        same_bytes(scratch / "run1/export/train.json", scratch / f"run{ranks}/export/train.json")
        print(f"{ranks} ranks: pool, taxonomy, embeddings, matches, samples and export equal those of 1 rank")
