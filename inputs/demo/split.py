"""Choose the demo pool's held-out pictures: `held_out.txt`, one path relative to the stamps folder a line.

The choice hangs on digests of the paths, so it is the same on every machine and does not move when
pictures are added elsewhere. Within each folder of at least four pictures about a quarter is held out,
those with the smallest digests; smaller folders stay whole on the training side. A stamp and its `_mirror`
twin show the same picture and are therefore kept on the same side.

    python3 inputs/demo/split.py [--stamps /usr/share/tuxpaint/stamps]
"""

import argparse
import hashlib
from collections import defaultdict
from pathlib import Path

FRACTION = 0.28  # of the folders that are split; a quarter of the whole pool, since small folders are not
SMALLEST_FOLDER = 4
EXPECTED_PICTURES = 796  # tuxpaint-stamps-default 2022.06.04


def twins(path: Path) -> str:
    """The name that a picture shares with its mirrored copy."""
    return path.stem.removesuffix("_mirror")


def held_out(stamps: Path) -> list[str]:
    folders: dict[Path, dict[str, list[Path]]] = defaultdict(lambda: defaultdict(list))
    for picture in sorted(stamps.rglob("*.png")):
        relative = picture.relative_to(stamps)
        folders[relative.parent][twins(relative)].append(relative)

    chosen: list[str] = []
    for folder, groups in folders.items():
        pictures = sum(len(group) for group in groups.values())
        if pictures < SMALLEST_FOLDER:
            continue
        wanted = max(1, round(FRACTION * pictures))
        by_digest = sorted(groups, key=lambda name: hashlib.sha256(f"{folder}/{name}".encode()).digest())
        taken = 0
        for name in by_digest:
            if taken >= wanted:
                break
            chosen += [str(path) for path in groups[name]]
            taken += len(groups[name])
        assert 0 < taken < pictures, f"{folder}: every picture fell on one side"
    return sorted(chosen)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stamps", type=Path, default=Path("/usr/share/tuxpaint/stamps"))
    arguments = parser.parse_args()

    pictures = sum(1 for _ in arguments.stamps.rglob("*.png"))
    if pictures != EXPECTED_PICTURES:
        raise SystemExit(
            f"{arguments.stamps}: {pictures} pictures instead of {EXPECTED_PICTURES}; install tuxpaint-stamps-default"
            " 2022.06.04"
        )
    chosen = held_out(arguments.stamps)
    target = Path(__file__).with_name("held_out.txt")
    target.write_text("".join(f"{path}\n" for path in chosen), encoding="utf-8")
    print(f"{len(chosen)} of {pictures} pictures held out ({100 * len(chosen) / pictures:.1f} %) -> {target}")


if __name__ == "__main__":
    main()
