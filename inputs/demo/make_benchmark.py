"""Make the demo's two benchmarks over the held-out pictures, in VLMEvalKit's TSV columns.

`stamps.tsv`: three four-way choices a picture: its kind (top folder), its group (second folder) and its name (what the
caption calls it). `stamps_yesno.tsv`: POPE's way, for each picture one true group and three untrue ones: any
(random), one with many pictures (popular), one beside the true one (adversarial). A true row counts in all three.

Pictures are named, not contained: `image_path` is relative to the stamps folder. Every draw hangs on a digest of the
picture's path, so the files come out the same everywhere.

    PYTHONPATH=... python3 inputs/demo/make_benchmark.py
"""

import csv
import hashlib
import random
import sys
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import stamps as pool

LETTERS = "ABCD"


def draws(*key: str) -> random.Random:
    return random.Random(hashlib.sha256("\n".join(key).encode()).digest())


def dealt_letters(category: str, count: int) -> list[str]:
    """Where the right options go: every letter equally often, so that always answering one of them is chance."""
    letters = (LETTERS * (count // len(LETTERS) + 1))[:count]
    return draws("letters", category).sample(letters, count)


def group_of(stamp: pool.Stamp) -> str:
    """The second folder, or the first where there is no second: `birds`, `fruit`, `clothes`."""
    return stamp.folder[:2][-1]


def choices() -> list[dict]:
    train = pool.pictures()
    kinds = sorted({stamp.folder[0] for stamp in train})
    groups = sorted({group_of(stamp) for stamp in train})
    names = sorted({(stamp.noun, group_of(stamp)) for stamp in train})
    held_out = pool.held_out_pictures()
    places = {category: dealt_letters(category, len(held_out)) for category in ("kind", "group", "name")}
    rows = []
    for stamp in held_out:
        group = group_of(stamp)
        # An option must be wrong: not the picture's own folder on any level, nor (for names) of its group.
        own = set(stamp.folder)
        pools = {
            "kind": (
                stamp.folder[0], "What kind of thing does the picture show?",
                [kind for kind in kinds if kind not in own],
            ),
            "group": (
                group,
                "Which of these does the picture show?",
                [other for other in groups if other not in own and other != "cartoon"],
            ),
            "name": (
                stamp.noun,
                "Which of these does the picture show?",
                sorted({name for name, of in names if of != group and name != stamp.noun}),
            ),
        }
        for category, (answer, question, others) in pools.items():
            random_of = draws(category, stamp.path)
            options = random_of.sample(others, len(LETTERS) - 1)
            options.insert(LETTERS.index(places[category].pop()), answer)
            rows.append(
                {"index": len(rows), "image_path": stamp.path, "question": question}
                | dict(zip(LETTERS, options, strict=True))
                | {"answer": LETTERS[options.index(answer)], "category": category}
            )
    return rows


def yes_or_no() -> list[dict]:
    train = pool.train_pictures()
    frequency = Counter(group_of(stamp) for stamp in train)
    beside: dict[str, set[str]] = {}
    for stamp in pool.pictures():
        beside.setdefault(stamp.folder[0], set()).add(group_of(stamp))
    popular = [group for group, _ in frequency.most_common(12)]
    rows = []

    def add(stamp: pool.Stamp, group: str, answer: str, category: str) -> None:
        question = f"Is the picture about {group}?"
        rows.append(
            {"index": len(rows), "image_path": stamp.path, "question": question, "answer": answer, "category": category}
        )

    for stamp in pool.held_out_pictures():
        own = {*stamp.folder, "cartoon"}
        random_of = draws("yes or no", stamp.path)
        siblings = sorted(beside[stamp.folder[0]] - own)
        untrue = {
            "random": sorted(set(frequency) - own),
            "popular": [group for group in popular if group not in own],
            "adversarial": siblings or sorted(set(frequency) - own),
        }
        add(stamp, group_of(stamp), "Yes", ",".join(untrue))
        for category, groups in untrue.items():
            add(stamp, random_of.choice(groups), "No", category)
    return rows


def write(name: str, rows: list[dict]) -> None:
    target = Path(__file__).with_name(name)
    with target.open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, list(rows[0]), delimiter="\t", lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
    print(f"{len(rows)} questions about {len({row['image_path'] for row in rows})} pictures -> {target}")


if __name__ == "__main__":
    write("stamps.tsv", choices())
    write("stamps_yesno.tsv", yes_or_no())
