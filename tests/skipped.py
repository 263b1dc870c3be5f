#!/usr/bin/env python3
"""What a run of ctest left out, and why: tests that came back with 77, and cases that a test skipped within itself.

    ctest ... | python3 tests/skipped.py build/release/Testing/Temporary/LastTest.log
"""

import collections
import re
import sys
from pathlib import Path


def sections(log):
    """(name, output) of each test in ctest's log."""
    for match in re.finditer(r"^\d+/\d+ Test: (\S+)\n.*?\nOutput:\n-+\n(.*?)\n?<end of output>", log, re.S | re.M):
        yield match[1], match[2]


def main():
    said = sys.stdin.read()
    ran = dict(sections(Path(sys.argv[1]).read_text(errors="replace")))
    whole = re.findall(r"Test +#\d+: (\S+) \.*\*\*\*Skipped", said)
    reasons = collections.Counter()
    for name in whole:
        lines = [line for line in ran.get(name, "").splitlines() if line.strip()]
        reasons[name, lines[-1] if lines else "no reason given"] += 1
    cases = 0
    for name, output in ran.items():
        for why in re.findall(r"^\S+:\d+: Skipped\n(.*)$", output, re.M):
            reasons[f"a case of {name}", why.strip() or "no reason given"] += 1
            cases += 1
    print(f"skipped: {len(whole)} of {len(ran)} tests, and {cases} cases within others")
    for (name, why), times in sorted(reasons.items()):
        print(f"  {name}{f' ({times} times)' if times > 1 else ''}: {why}")


main()
