#!/usr/bin/env python3
"""tests/house.py finds each offence it is there for: planted, one at a time, in a copy of the tree's sources.

python3 tests/house_test.py [CASE ...]
"""

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))
import house


def append(name, text):
    """Adds lines at the end; the line number of the first."""

    def plant(root):
        lines = (root / name).read_text().count("\n")
        with open(root / name, "a") as file:
            file.write(text + "\n")
        return name, lines + 1

    return plant


def include(name, header):
    """Adds an #include behind the others."""

    def plant(root):
        text = (root / name).read_text()
        at = text.rindex("\n#include ") + 1
        (root / name).write_text(f"{text[:at]}#include {header}\n{text[at:]}")
        return name, text.count("\n", 0, at) + 1

    return plant


def create(name, text, line=1):
    def plant(root):
        (root / name).write_text(text)
        return name, line

    return plant


def replace(name, pattern, by):
    def plant(root):
        text = (root / name).read_text()
        match = re.search(pattern, text)
        assert match, f"{name} has no {pattern}"
        (root / name).write_text(text[: match.start()] + match.expand(by) + text[match.end() :])
        return name, text.count("\n", 0, match.start()) + 1

    return plant


TYPE = "// Two.\n#pragma once\n\nnamespace tg {\n\nstruct AgreedTwice {\n    int value = 0;\n};\n\n}  // namespace tg\n"

# The rule, the planting of an offence against it, words of the line that must name it.
CASES = {
    "an upward include": (
        "order",
        include("src/core/text.cpp", '"taskgalaxy/storage/hdf5.hpp"'),
        "core includes storage, which stands above it",
    ),
    "a stage that includes a stage": (
        "order",
        include("src/report/tables.cpp", '"taskgalaxy/training/settings.hpp"'),
        "the stage report includes the stage",
    ),
    "a private header of another room": (
        "order",
        include("src/report/tables.cpp", '"../curation/flow.hpp"'),
        "src/curation/flow.hpp is private to curation",
    ),
    "an include that hides what it includes": (
        "plain",
        include("src/core/text.cpp", "TG_SOME_HEADER"),
        "an include is written",
    ),
    "a header without a contract": (
        "plain",
        create("src/core/bare.hpp", "#pragma once\n"),
        "a header begins with its contract",
    ),
    "a header that may be read twice": (
        "plain",
        create("src/core/bare.hpp", "// Read twice.\n"),
        "a header says #pragma once",
    ),
    "code of another suffix": ("order", create("src/core/hidden.inc", "int hidden;\n"), "code is a .cpp"),
    "code outside the rooms": (
        "order",
        create("include/taskgalaxy/loose.hpp", "// Loose.\n#pragma once\n"),
        "all code lies in a room",
    ),
    "a room that is used and not linked": (
        "links",
        replace("src/taxonomy/CMakeLists.txt", r" tg_storage", ""),
        "USES lacks tg_storage",
    ),
    "a room that is linked and not used": (
        "links",
        replace("src/taxonomy/CMakeLists.txt", r"tg_storage", "tg_storage tg_pictures"),
        "USES lists tg_pictures",
    ),
    "mpi.h in a wrong room": ("libraries", include("src/pool/pool.cpp", "<mpi.h>"), "<mpi.h> is not for this room"),
    "torch in kernels": (
        "libraries",
        include("src/nn/kernels/rows.cpp", "<torch/torch.h>"),
        "<torch/torch.h> is not for this room",
    ),
    "a long line of C++": ("width", append("src/core/text.cpp", "// " + "x" * 118), "121 columns"),
    "a long line of Python": ("width", append("tests/fault/ranks.py", "# " + "x" * 119), "121 columns"),
    "a long line of a job file": ("width", append("jobs/demo.cfg", "# " + "x" * 119), "121 columns"),
    "a type name in two files": (
        "names",
        lambda root: (create("src/core/one.hpp", TYPE)(root), create("src/core/two.hpp", TYPE, 6)(root))[1],
        "the type tg::AgreedTwice is defined in src/core/one.hpp:6 too",
    ),
    "a type name behind an attribute": (
        "names",
        append("tests/unit/core/text.cpp", "namespace tg { class [[nodiscard]] SettingsVisitor {}; }"),
        "the type tg::SettingsVisitor is defined in include/taskgalaxy/core/settings.hpp",
    ),
    "a type name of the program in a test": (
        "names",
        append("tests/unit/core/text.cpp", "namespace tg { class SettingsVisitor {}; }"),
        "the type tg::SettingsVisitor is defined in include/taskgalaxy/core/settings.hpp",
    ),
    "a public header that nobody uses": (
        "headers",
        create("include/taskgalaxy/pool/nobody.hpp", "// Nobody's.\n#pragma once\n"),
        "no other room includes it",
    ),
    "a dead path in a document": (
        "paths",
        append("docs/slurm.md", "See `src/app/no_such_file.cpp`."),
        "no such path: src/app/no_such_file.cpp",
    ),
    "a dead link in a document": (
        "paths",
        append("README.md", "See [this](docs/no_such.md)."),
        "no such file: docs/no_such.md",
    ),
    "a dead file of a room in a document": (
        "paths",
        append("docs/architecture.md", "See `storage/no_such.hpp`."),
        "no such file in a room: storage/no_such.hpp",
    ),
}
if house.clang_format():
    CASES["C++ that is not formatted"] = (
        "format",
        append("src/core/text.cpp", "namespace tg { int  unformatted ( ) ; }"),
        "clang-format",
    )


def offences(root, *rules):
    done = subprocess.run([sys.executable, ROOT / "tests/house.py", root, *rules], capture_output=True, text=True)
    assert done.returncode in (0, 1), done.stderr
    lines = [line for line in done.stdout.splitlines() if not line.startswith("house: ")]
    assert done.returncode == (1 if lines else 0), done.stdout
    return lines


def main():
    wanted = sys.argv[1:] or list(CASES)
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        for name in house.House(ROOT).files:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, root / name)
        assert not (left := offences(root)), "the tree as it is has offences:\n" + "\n".join(left)
        for case in wanted:
            rule, plant, words = CASES[case]
            before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
            name, line = plant(root)
            found = offences(root, rule)
            hit = [told for told in found if told.startswith(f"{name}:") and words in told]
            assert hit, f"{case}: not found; it said {found}"
            if "USES" not in words:
                assert any(told.startswith(f"{name}:{line}:") for told in hit), f"{case}: {hit}, planted in line {line}"
            print(f"{case}: {hit[0]}")
            for path in [path for path in root.rglob("*") if path.is_file()]:
                if path not in before:
                    path.unlink()
                elif path.read_bytes() != before[path]:
                    path.write_bytes(before[path])


if __name__ == "__main__":
    main()
