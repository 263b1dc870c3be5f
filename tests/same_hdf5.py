"""Whether two HDF5 files say the same: names, kinds, types, shapes, attributes and every value, bit for bit.

h5diff is no such judge: it ends with 0 where two datasets have different shapes ("not comparable") and does not look at
objects that only one file has.
  tests/same_hdf5.py A.h5 B.h5 [--ignore PATH ...]    1 and a line for each difference; PATH is an object (/seconds),
                                                      with all below it, or an attribute (@fingerprint, /x@unit)
"""
import argparse
import sys

import h5py
import numpy as np


def bits(values):
    """Floating-point numbers by their bits, so that NaN equals itself and -0 is not 0."""
    values = np.ascontiguousarray(values)
    return values.view(f"u{values.dtype.itemsize}") if values.dtype.kind == "f" else values


def different_values(where, a, b):
    if a.dtype != b.dtype:
        return [f"{where}: type {a.dtype} and {b.dtype}"]
    if a.shape != b.shape:
        return [f"{where}: shape {a.shape} and {b.shape}"]
    unequal = bits(a) != bits(b)
    if not np.any(unequal):
        return []
    first = tuple(int(i) for i in np.argwhere(unequal)[0]) if a.shape else ()
    at = f" at {list(first)}" if first else ""
    return [f"{where}: {int(np.count_nonzero(unequal))} of {a.size} values, first{at}: {a[first]!r} and {b[first]!r}"]


def different_attributes(path, a, b, ignored):
    found = []
    for name in sorted(set(a.attrs) | set(b.attrs)):
        where = f"{path}@{name}"
        if where in ignored or f"@{name}" in ignored:
            continue
        if name not in a.attrs or name not in b.attrs:
            found.append(f"{where}: only in the {'first' if name in a.attrs else 'second'}")
        else:
            found += different_values(where, np.asarray(a.attrs[name]), np.asarray(b.attrs[name]))
    return found


def different_objects(path, a, b, ignored):
    found = different_attributes(path, a, b, ignored)
    if isinstance(a, h5py.Dataset) != isinstance(b, h5py.Dataset):
        return found + [f"{path}: a dataset in one, a group in the other"]
    if isinstance(a, h5py.Dataset):
        return found + different_values(path, np.asarray(a[()]), np.asarray(b[()]))
    for name in sorted(set(a) | set(b)):
        below = f"{path.rstrip('/')}/{name}"
        if below in ignored:
            continue
        if name not in a or name not in b:
            found.append(f"{below}: only in the {'first' if name in a else 'second'}")
        else:
            found += different_objects(below, a[name], b[name], ignored)
    return found


def differences(a, b, ignored=()):
    """One line a difference; none where the files say the same."""
    with h5py.File(a, "r") as first, h5py.File(b, "r") as second:
        return different_objects("/", first, second, frozenset(ignored))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("a")
    parser.add_argument("b")
    parser.add_argument("--ignore", nargs="*", default=[], metavar="PATH")
    words = parser.parse_args()
    found = differences(words.a, words.b, words.ignore)
    for line in found:
        print(line)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
