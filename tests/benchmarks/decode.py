"""Decoding and preprocessing beside Pillow, one thread each, the same files and the same pixels.

    python3 tests/benchmarks/decode.py [--build build/release] [--folder FOLDER] [--json out.json]

Without --folder it makes 24 photo-like JPEGs of the sizes that COCO and Flickr pools hold. Pillow and NumPy come from
the running Python or, where it has none, from a virtual environment that the script makes under the build folder. Both
sides start from bytes in memory and end with float32 [3, S, S], and are measured in processor time, the best of several
rounds; Pillow's pixels are scaled and normalised by NumPy in one expression.
"""

import argparse
import io
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


def with_pillow(build: Path) -> None:
    """Runs this script again in a virtual environment when Pillow or NumPy is missing."""
    try:
        import numpy  # noqa: F401
        import PIL  # noqa: F401
    except ImportError:
        environment = build / "peers-decode"
        if not (environment / "bin/python").exists():
            subprocess.run([sys.executable, "-m", "venv", environment], check=True)
            subprocess.run([environment / "bin/pip", "install", "-q", "pillow", "numpy"], check=True)
        os.execv(environment / "bin/python", [str(environment / "bin/python"), *sys.argv])


def make_photos(folder: Path, count: int) -> None:
    import numpy as np
    from PIL import Image

    random = np.random.default_rng(5)
    sizes = [(640, 480), (480, 640), (500, 375), (640, 427), (1024, 768), (375, 500)]
    for i in range(count):
        width, height = sizes[i % len(sizes)]
        field = np.zeros((height, width, 3), np.float32)
        for octave in range(
            2, 9
        ):  # noise of falling strength at rising frequencies: spectrum and file size as of photographs
            coarse = random.normal(size=(2**octave * height // 512 + 2, 2**octave * width // 512 + 2, 3)).astype(
                np.float32
            )
            planes = [
                np.asarray(Image.fromarray(coarse[..., c]).resize((width, height), Image.BICUBIC)) for c in range(3)
            ]
            field += np.stack(planes, -1) * (90 / (octave - 1) ** 1.3)
        Image.fromarray(np.clip(field + 128, 0, 255).astype(np.uint8)).save(folder / f"{i:03}.jpg", quality=90)


def pillow_pixels(data: bytes, size: int):
    import numpy as np
    from PIL import Image

    image = Image.open(io.BytesIO(data)).convert("RGB")
    short, long = sorted(image.size)
    long = int(size * long / short)
    width, height = (size, long) if image.width <= image.height else (long, size)
    image = image.resize((width, height), Image.BICUBIC)
    left, top = (width - size) // 2, (height - size) // 2
    image = image.crop((left, top, left + size, top + size))
    scaled = np.asarray(image) * np.float32(1 / 255)
    return np.ascontiguousarray(((scaled - np.float32(MEAN)) / np.float32(STD)).transpose(2, 0, 1))


def best_ms(files: list, repeats: int, work) -> float:
    best = float("inf")
    for _ in range(repeats):
        start = time.process_time()
        for data in files:
            work(data)
        best = min(best, time.process_time() - start)
    return best * 1000 / len(files)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=Path, default=ROOT / "build/release")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    with_pillow(arguments.build)
    import numpy as np
    import PIL
    from PIL import Image

    program = next(iter(arguments.build.rglob("pool_decode")), None)
    if program is None:
        raise SystemExit(f"no pool_decode under {arguments.build}; build it: ninja -C {arguments.build} pool_decode")
    results = []
    with tempfile.TemporaryDirectory() as scratch:
        folder = arguments.folder or Path(scratch) / "photos"
        if not arguments.folder:
            folder.mkdir()
            make_photos(folder, 24)
        files = [path.read_bytes() for path in sorted(folder.iterdir())]
        for size in (224, 336):
            dump = Path(scratch) / "pixels"
            ours = json.loads(
                subprocess.run(
                    [program, folder, str(size), str(arguments.repeats), "--dump", dump],
                    check=True, capture_output=True, text=True,
                ).stdout
            )
            fast = json.loads(
                subprocess.run(
                    [program, folder, str(size), str(arguments.repeats), "--fast"],
                    check=True, capture_output=True, text=True,
                ).stdout
            )
            pixels = np.fromfile(dump, np.float32).reshape(len(files), 3, size, size)
            step = 1 / 255 / np.float32(STD).reshape(3, 1, 1)
            apart = np.concatenate(
                [(np.abs(pillow_pixels(data, size) - mine) / step).ravel() for data, mine in zip(files, pixels)]
            )
            results.append(
                {
                    "size": size, "pictures": len(files), "mean_bytes": sum(map(len, files)) // len(files),
                    "pillow_ms": best_ms(files, arguments.repeats, lambda data: pillow_pixels(data, size)),
                    "pillow_decode_ms": best_ms(
                        files, arguments.repeats, lambda data: Image.open(io.BytesIO(data)).convert("RGB")
                    ),
                    "ours_ms": ours["all_ms"], "ours_decode_ms": ours["decode_ms"],
                    "ours_preprocess_ms": ours["preprocess_ms"], "ours_fast_ms": fast["all_ms"],
                    "share_of_equal_pixels": float((apart < 0.01).mean()),
                    "largest_difference_in_255ths": float(apart.max()),
                }
            )
    print(
        f"Pillow {PIL.__version__}, one thread, {results[0]['pictures']} JPEGs of {results[0]['mean_bytes'] / 1024:.0f}"
        " KiB on average; milliseconds of processor time a picture"
    )
    print(
        f"{'size':>5} {'Pillow':>8} {'(decode)':>9} {'ours':>8} {'(decode)':>9} {'faster':>7} {'DCT-scaled':>11}"
        f" {'equal pixels':>13}"
    )
    for r in results:
        print(
            f"{r['size']:>5} {r['pillow_ms']:>8.2f} {r['pillow_decode_ms']:>9.2f} {r['ours_ms']:>8.2f}"
            f" {r['ours_decode_ms']:>9.2f} {r['pillow_ms'] / r['ours_ms']:>6.1f}x {r['ours_fast_ms']:>11.2f}"
            f" {100 * r['share_of_equal_pixels']:>12.4f}%"
        )
    if arguments.json:
        arguments.json.write_text(json.dumps({"pillow": PIL.__version__, "results": results}, indent=2))


if __name__ == "__main__":
    main()
