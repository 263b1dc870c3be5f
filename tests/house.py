#!/usr/bin/env python3
"""The rules of the house, checked on the text alone: plain Python, no build, some seconds.

    tests/house.py [ROOT [RULE ...]]     prints FILE:LINE: what is wrong, one line each; exit code 1 where there is one

  order      A room includes only rooms that stand before it in TASKGALAXY_ROOMS (src/CMakeLists.txt), and no private
             header but its own; no stage includes a stage. All code lies in a room, as .cpp, .hpp or .cu.
  plain      An include is a line `#include <...>` or `#include "..."`, nothing that hides what is included; a header
             begins with its contract, then `#pragma once`.
  links      USES of a room's CMakeLists.txt lists each room whose headers it includes, and none that it cannot reach.
  libraries  Headers of MPI, NCCL, torch, ... are reached only where the table in docs/architecture.md says.
  width      No line past 120 columns.
  format     C++ files are as clang-format 14 writes them (left out, and said so, where there is none).
  names      No type has one qualified name in two files of the program, or of a test and the program. The preset
             `lto` asks the linker the same of everything else that has a name.
  headers    Every public header serves another room: its code, its tests, a fuzzer, a benchmark.
  paths      Every path that documents, messages and help name is there.

tests/house_test.py plants an offence against each and expects it to be found.
"""

import collections
import glob
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

STAGES = ("ingest", "matching", "dataset", "curation", "training", "evaluation", "report")
RULES = ("order", "plain", "links", "libraries", "width", "format", "names", "headers", "paths")
WIDTH = 120
# What need not keep to the width, and why.
WIDE = {
    "tests/fixtures/": "data, and the scripts that made it, kept as they ran",
}
WIDE_SUFFIXES = (".cpp", ".hpp", ".cu", ".cuh", ".py", ".sh", ".cmake", ".cfg", ".sbatch")
# Names for files that the reader brings.
READERS_OWN = {"jobs/my.cfg", "jobs/mine.cfg"}
FOLDERS = "src|include|tests|docs|jobs|slurm|inputs"


class House:
    def __init__(self, root):
        self.root = root
        git = ["git", "-C", root, "ls-files", "--cached", "--others", "--exclude-standard"]
        listed = subprocess.run(git, capture_output=True, text=True)
        if (root / ".git").exists() and listed.returncode == 0:
            names = listed.stdout.splitlines()
        else:
            names = [str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()]
        self.files = sorted(name for name in names if (root / name).is_file())
        self.present = set(self.files)
        self.texts = {}
        self.found, self.skipped = [], []
        self.code = [name for name in self.files if re.fullmatch(r"(src|include|tests)/.*\.(cpp|hpp|cu|cuh)", name)]
        self.rooms = self.list_of_rooms()
        self.place = {room: place for place, room in enumerate(self.rooms)}
        self.includes = {name: self.includes_of(name) for name in self.code}

    def text(self, name):
        if name not in self.texts:
            self.texts[name] = (self.root / name).read_text(errors="replace")
        return self.texts[name]

    def say(self, name, line, what):
        self.found.append((name, line, what))

    def list_of_rooms(self):
        words = re.search(r"set\(TASKGALAXY_ROOMS\s+(.*?)\s+CACHE", self.text("src/CMakeLists.txt"), re.S)[1]
        return words.split()

    def includes_of(self, name):
        """[(line, what stands in the include, the file of this project that it is, or None)]"""
        out = []
        for match in re.finditer(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"\n]+)', self.text(name), re.M):
            line, path = self.text(name).count("\n", 0, match.start()) + 1, match[2]
            own, seen = self.room_of(name), None
            places = [str(Path(name).parent / path), "include/" + path]
            if own and not name.startswith("include/"):
                places += [f"src/{own}/{path}", f"tests/unit/{own}/{path}"]
            if name.startswith("tests/"):
                places += ["tests/" + path] + [f"src/{room}/{path}" for room in self.rooms]
            for place in places:
                place = str(Path(place)) if ".." not in place else self.without_dots(place)
                if place in self.present:
                    seen = place
                    break
            out.append((line, match[1], path, seen))
        return out

    @staticmethod
    def without_dots(path):
        parts = []
        for part in path.split("/"):
            if part == ".." and parts:
                parts.pop()
            elif part != ".":
                parts.append(part)
        return "/".join(parts)

    @staticmethod
    def room_of(name):
        for base in ("src/", "include/taskgalaxy/", "tests/unit/"):
            if name.startswith(base):
                parts = name[len(base) :].split("/")
                return "/".join(parts[: 2 if parts[0] == "nn" else 1]) if len(parts) > 1 else None
        return None

    def reached(self, name):
        """Every file of this project that `name` includes, itself too, and how it came there first."""
        seen, todo = {name: None}, [name]
        while todo:
            for line, _, _, to in self.includes[todo[0]]:
                if to and to in self.includes and to not in seen:
                    seen[to] = (todo[0], line)
                    todo.append(to)
            todo.pop(0)
        return seen

    # ---- the rules

    def plain(self):
        for name in self.code:
            if name.startswith("tests/fixtures/"):
                continue
            text = self.text(name)
            for match in re.finditer(r"^[ \t]*#[ \t]*(include|include_next|import)\b(.*)$", text, re.M):
                if match[1] != "include" or not re.match(r'[ \t]*(<[^>"]+>|"[^>"]+")[ \t]*(//.*)?$', match[2]):
                    line = text.count("\n", 0, match.start()) + 1
                    self.say(name, line, "an include is written #include <...> or #include \"...\"")
            if name.endswith(".hpp"):
                if "#pragma once" not in text:
                    self.say(name, 1, "a header says #pragma once")
                elif not text.startswith("//"):
                    self.say(name, 1, "a header begins with its contract")

    def order(self):
        for name in self.files:
            if not re.match(r"(src|include)/", name) or name.startswith("src/cmake/"):
                continue
            if not name.endswith((".cpp", ".hpp", ".cu", ".cuh", "CMakeLists.txt")):
                self.say(name, 1, "code is a .cpp, .hpp, .cu or .cuh")
            elif self.room_of(name) is None and name != "src/CMakeLists.txt":
                self.say(name, 1, "all code lies in a room")
        for name in self.code:
            room = self.room_of(name)
            if name.startswith("tests/") or room is None:
                continue
            if room not in self.place:
                self.say(name, 1, f"the room {room} is not in TASKGALAXY_ROOMS of src/CMakeLists.txt")
                continue
            for line, mark, path, to in self.includes[name]:
                if to is None:
                    if mark == '"':
                        self.say(name, line, f"no such header: {path} (a room sees its own folder and include/)")
                    continue
                other = self.room_of(to)
                if other is None or other == room:
                    if name.startswith("include/") and to.startswith("src/"):
                        self.say(name, line, f"a public header includes a private one, {to}")
                    continue
                if to.startswith("src/"):
                    self.say(name, line, f"{to} is private to {other}")
                if self.place.get(other, -1) > self.place[room]:
                    self.say(name, line, f"{room} includes {other}, which stands above it in src/CMakeLists.txt")
                if room in STAGES and other in STAGES:
                    self.say(name, line, f"the stage {room} includes the stage {other}")

    def links(self):
        target = {room: "tg_" + room.split("/")[-1] for room in self.rooms}
        named = {value: room for room, value in target.items()}
        for room in self.rooms:
            cmake = f"src/{room}/CMakeLists.txt"
            if cmake not in self.present:
                self.say("src/CMakeLists.txt", 1, f"{cmake} is missing")
                continue
            text = self.text(cmake)
            call = re.search(r"tg_room\((?:[^()#]|#[^\n]*|\([^()]*\))*\)", text)
            uses = re.search(r"\bUSES\b(.*)\)", call[0], re.S) if call else None
            listed = [word for word in (uses[1].split() if uses else []) if word in named]
            line = text.count("\n", 0, call.start() + uses.start()) + 1 if uses else 1
            direct, any_way = {}, set()
            for name in self.code:
                if self.room_of(name) != room or name.startswith("tests/"):
                    continue
                for at, _, _, to in self.includes[name]:
                    if to and self.room_of(to) not in (None, room):
                        direct.setdefault(self.room_of(to), f"{name}:{at}")
                any_way |= {self.room_of(to) for to in self.reached(name)}
            for other, where in sorted(direct.items()):
                if other in target and target[other] not in listed:
                    self.say(cmake, line, f"USES lacks {target[other]}, which {where} includes")
            for word in listed:
                if named[word] not in any_way:
                    self.say(cmake, line, f"USES lists {word}, but no file of {room} reaches a header of it")

    def libraries(self):
        doc, rows = "docs/architecture.md", []
        lines = self.text(doc).splitlines() if doc in self.present else []
        begin = next((i for i, line in enumerate(lines) if line.startswith("| headers |")), None)
        if begin is None:
            self.say(doc, 1, "the table `| headers | where |` of outside libraries is missing")
            return
        for line in lines[begin + 2 :]:
            if not line.startswith("|"):
                break
            headers, where = [re.findall(r"`([^`]+)`", cell) for cell in line.strip("|").split("|")[:2]]
            rows.append((headers, tuple(where)))
        for name in self.code:
            if name.startswith("tests/"):
                continue  # a test may look behind every curtain
            for place, came in self.reached(name).items():
                for line, mark, path, to in self.includes[place]:
                    if mark != "<" or to:
                        continue
                    for headers, where in rows:
                        if path.startswith(tuple(headers)) and not name.startswith(where):
                            by = "" if place == name else f" (through {place})"
                            step = line if place == name else self.first_step(name, place)
                            self.say(name, step, f"<{path}> is not for this room{by}: see the table in {doc}")

    def first_step(self, name, place):
        seen = self.reached(name)
        while seen[place][0] != name:
            place = seen[place][0]
        return seen[place][1]

    def width(self):
        for name in self.files:
            if not name.endswith(WIDE_SUFFIXES) and Path(name).name != "CMakeLists.txt":
                continue
            if name.startswith(tuple(WIDE)):
                continue
            for number, line in enumerate(self.text(name).split("\n"), 1):
                if len(line) > WIDTH:
                    self.say(name, number, f"{len(line)} columns, {WIDTH} are the most")

    def format(self):
        tool = clang_format()
        if tool is None:
            self.skipped.append("format: clang-format 14 is not installed")
            return
        names = [name for name in self.code if not name.startswith("tests/fixtures/")]
        parts = [names[i::4] for i in range(4)]
        running = [
            subprocess.Popen([tool, "--dry-run", *part], cwd=self.root, stderr=subprocess.PIPE, text=True)
            for part in parts
            if part
        ]
        told = set()
        for process in running:
            said = process.communicate()[1]
            for match in re.finditer(r"^(\S+?):(\d+):\d+: (?:warning|error): code should", said, re.M):
                if match[1] not in told:
                    told.add(match[1])
                    self.say(match[1], int(match[2]), "clang-format would write it otherwise (clang-format -i)")

    def names(self):
        program, tests = collections.defaultdict(list), collections.defaultdict(lambda: collections.defaultdict(list))
        for name in self.code:
            if name.startswith("tests/fixtures/"):
                continue
            mine = program
            if name.startswith("tests/"):  # a room's tests are one program, other tests one each
                mine = tests[str(Path(name).parent) if name.startswith("tests/unit/") else name]
            for qualified, line in types_of(self.text(name)):
                mine[qualified].append((name, line))
        for qualified, places in program.items():
            self.say_doubled(qualified, places)
        for mine in tests.values():
            for qualified, places in mine.items():
                self.say_doubled(qualified, program.get(qualified, [])[:1] + places)

    def say_doubled(self, qualified, places):
        for name, line in places[1:]:
            if name != places[0][0]:
                self.say(name, line, f"the type {qualified} is defined in {places[0][0]}:{places[0][1]} too")

    def headers(self):
        public = [name for name in self.files if name.startswith("include/taskgalaxy/") and name.endswith(".hpp")]
        # What another room reaches through a header is a part of that header.
        served = {to for name in self.code for to in self.reached(name) if self.room_of(to) != self.room_of(name)}
        for name in public:
            if name not in served:
                self.say(name, 1, f"no other room includes it: its place is src/{self.room_of(name)}/")

    def paths(self):
        folders = {str(parent) for name in self.files for parent in Path(name).parents}
        known = self.present | folders | READERS_OWN
        there = lambda path: path.rstrip("/") in known

        def exists(path):
            if there(path):
                return True
            # NAME, FAMILY, ROOM stand for any word.
            pattern = re.sub(r"(?<![a-z])[A-Z]{3,}(?![a-z])", "*", path)
            for one in braces(pattern):
                wanted = re.compile(glob_pattern(one.rstrip("/")))
                if not any(wanted.fullmatch(name) for name in (*self.present, *folders)):
                    return False
            return "*" in pattern or "{" in pattern

        documents = [name for name in self.files if re.fullmatch(r"docs/[^/]+\.md|README\.md|CONTRIBUTING\.md", name)]
        rooms = "|".join(self.rooms)
        for name in documents:
            for number, line in enumerate(self.text(name).split("\n"), 1):
                for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", line):
                    if not there(self.without_dots(str(Path(name).parent / link))):
                        self.say(name, number, f"no such file: {link}")
                for path in re.findall(rf"(?<![\w./~${{}}-])((?:{FOLDERS})/[\w./*{{}},-]*[\w/*}}])", line):
                    if not exists(path):
                        self.say(name, number, f"no such path: {path}")
                for path in re.findall(rf"`((?:{rooms})/[\w/*{{}},-]+(?:\.(?:[chp]+|cu))?)`", line):
                    candidates = [f"include/taskgalaxy/{path}", f"src/{path}", path]
                    if not any(exists(c + end) for c in candidates for end in ("", ".hpp", ".cpp")):
                        self.say(name, number, f"no such file in a room: {path}")
        for name in self.code:
            if name.startswith("src/"):
                text = self.text(name)
                named = re.compile(r'(?<=["\s`(])((?:tests|docs|jobs|slurm|inputs)/[\w./-]*\w)')
                for match in named.finditer(strings_only(text)):
                    if not exists(match[1]):
                        self.say(name, text.count("\n", 0, match.start()) + 1, f"a message names {match[1]}: not there")

    def check(self, rules):
        for rule in rules:
            getattr(self, rule)()
        return sorted(set(self.found))


def clang_format():
    """The tool, where it is of the version that the tree was written with: others break lines otherwise."""
    tool = shutil.which("clang-format")
    version = subprocess.run([tool, "--version"], capture_output=True, text=True).stdout if tool else ""
    return tool if re.search(r"version 14\.", version) else None


def braces(pattern):
    match = re.search(r"\{([^{}]*)\}", pattern)
    if not match:
        return [pattern]
    before, behind = pattern[: match.start()], pattern[match.end() :]
    return [one for word in match[1].split(",") for one in braces(before + word + behind)]


def glob_pattern(pattern):
    return re.escape(pattern).replace(r"\*", "[^/]*")


TOKENS = re.compile(
    r"""(?P<comment>//[^\n]*|/\*.*?\*/)
      |(?P<raw>(?:u8|[uUL])?R"(?P<mark>[^(\s]*)\(.*?\)(?P=mark)")
      |(?P<string>"(?:\\.|[^"\\\n])*"|(?<![0-9a-fA-F])'(?:\\.|[^'\\\n])*')""",
    re.S | re.X,
)


def blank(text):
    return re.sub(r"[^\n]", " ", text)


def strings_only(text):
    """`text` with everything but its string literals blanked, at the same places."""
    out, end = [], 0
    for match in TOKENS.finditer(text):
        out.append(blank(text[end : match.start()]))
        out.append(blank(match[0]) if match["comment"] else match[0])
        end = match.end()
    return "".join(out) + blank(text[end:])


def code_only(text):
    """`text` without comments, strings and lines of the preprocessor, every line where it was."""
    text = TOKENS.sub(lambda match: blank(match[0]), text)
    return re.sub(r"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*", lambda match: blank(match[0]), text, flags=re.M)


SCOPE = re.compile(
    r"""(?P<namespace>\b(?:inline\s+)?namespace\b\s*(?P<path>[\w:]*)\s*\{)
      |(?P<type>\b(?:struct|class|union|enum(?:\s+(?:class|struct))?)\s+(?:(?:alignas\s*\([^)]*\)|\[\[[^\]]*\]\])\s*)*
        (?P<name>[A-Za-z_]\w*(?:::\w+)*)(?P<special><[^;{}()]*>)?\s*(?:final\s*)?
        (?::(?!:)[^;{}()]*(?:\([^()]*\)[^;{}()]*)*)?\{)
      |(?P<open>\{)|(?P<close>\})""",
    re.X,
)


def types_of(text):
    """(qualified name, line) of each type defined in a namespace that has a name, or in none."""
    code, scopes = code_only(text), []
    for match in SCOPE.finditer(code):
        if match["close"]:
            if scopes:
                scopes.pop()
        elif match["namespace"]:
            scopes.append(match["path"] or None)  # None: nobody else sees what is in it
        elif match["type"] and all(scope for scope in scopes) and not match["special"]:
            yield "::".join([*scopes, match["name"]]), code.count("\n", 0, match.start()) + 1
            scopes.append("")
        else:
            scopes.append("")


def main():
    began, root = time.monotonic(), Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent.parent).resolve()
    house = House(root)
    found = house.check(sys.argv[2:] or RULES)
    for name, line, what in found:
        print(f"{name}:{line}: {what}")
    for why in house.skipped:
        print(f"house: not checked: {why}")
    print(f"house: {len(house.files)} files, {len(found)} offences, {time.monotonic() - began:.1f} s")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
