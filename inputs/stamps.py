"""The demo pool as the scripts beside this file see it: pictures, folders, captions, the held-out list.

A stamp is a PNG under /usr/share/tuxpaint/stamps (Debian's tuxpaint-stamps-default); the text file of the same
name holds its caption, English on the first line. Its folder, cleaned, is its true task type: levels joined
by `~`, so `animals/birds/crow.png` is of type `animals~birds`.
"""

import io
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from PIL import Image

STAMPS = Path("/usr/share/tuxpaint/stamps")
INPUTS = Path(__file__).resolve().parent


def clean(name: str) -> str:
    """`00_symbols` -> `symbols`, `body_parts` -> `body parts`: lower case, no digits in front, single spaces."""
    return re.sub(r"[\s_\-.]+", " ", re.sub(r"^\d+[_-]?", "", name)).strip().lower()


def noun_of(caption: str, stem: str) -> str:
    """What a picture shows, in a few words: from its caption if that names something, else from its file name."""
    text = re.split(r"[.!?:;,(—–]|\s-\s", caption.strip().lower().strip("–“”\"' "), maxsplit=1)[0]
    text = re.sub(r"[“”\"]", "", text).replace("’", "'").strip()
    named = re.sub(r"^(a pair of|a couple of|an|a|the|some|our|another)\s+", "", text)
    if named and len(named.split()) <= (5 if named != text else 3):  # without an article longer ones are sentences
        return named
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", stem.removesuffix("_mirror"))
    return clean(re.sub(r"\d+", " ", words))


@dataclass(frozen=True)
class Stamp:
    path: str  # relative to STAMPS

    @property
    def file(self) -> Path:
        return STAMPS / self.path

    @cached_property
    def folder(self) -> tuple[str, ...]:
        return tuple(clean(part) for part in Path(self.path).parent.parts)

    @property
    def task_type(self) -> str:
        return "~".join(self.folder)

    @cached_property
    def caption(self) -> str:
        """The first line of the text file; of the unmirrored twin's for a `_mirror` picture; may be empty."""
        stem = self.file.with_suffix("").as_posix().removesuffix("_mirror")
        text = Path(f"{stem}.txt")
        return text.read_text(encoding="utf-8").split("\n", 1)[0].strip() if text.exists() else ""

    @cached_property
    def noun(self) -> str:
        return noun_of(self.caption, self.file.stem) or self.folder[-1]

    def image(self) -> Image.Image:
        """With alpha, where the file has some. Drawings (SVG) are rendered 256 pixels wide."""
        if self.file.suffix != ".svg":
            return Image.open(self.file)
        import resvg_py

        return Image.open(io.BytesIO(resvg_py.svg_to_bytes(svg_path=str(self.file), width=256))).convert("RGBA")


def _all(suffix: str) -> list[Stamp]:
    return [Stamp(str(file.relative_to(STAMPS))) for file in sorted(STAMPS.rglob(f"*{suffix}"))]


def held_out_paths() -> set[str]:
    return set((INPUTS / "demo" / "held_out.txt").read_text(encoding="utf-8").split("\n")) - {""}


def pictures() -> list[Stamp]:
    """All 796 PNGs, in the order of their paths."""
    return _all(".png")


def train_pictures() -> list[Stamp]:
    held_out = held_out_paths()
    return [stamp for stamp in pictures() if stamp.path not in held_out]


def held_out_pictures() -> list[Stamp]:
    return [Stamp(path) for path in sorted(held_out_paths())]


def train_drawings() -> list[Stamp]:
    """The package's SVG stamps, without those that redraw a held-out picture or double a PNG.

    `apple_core_01.svg` counts as a version of `apple_core.png`: names are compared without digits.
    """

    def key(stamp: Stamp) -> tuple[str, str]:
        path = Path(stamp.path)
        return str(path.parent), re.sub(r"[\d_\-]+$", "", path.stem).lower()

    pngs = {Path(stamp.path).with_suffix("") for stamp in pictures()}
    forbidden = {key(stamp) for stamp in held_out_pictures()}
    return [s for s in _all(".svg") if key(s) not in forbidden and Path(s.path).with_suffix("") not in pngs]


def task_types() -> list[str]:
    """The cleaned folders that hold pictures, sorted: the demo's true task types."""
    return sorted({stamp.task_type for stamp in pictures()})
