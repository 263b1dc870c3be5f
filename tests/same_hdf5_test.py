"""same_hdf5.py finds every planted difference, and nothing where there is none."""
import pathlib
import shutil
import sys
import tempfile
import unittest

import h5py
import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from same_hdf5 import differences  # noqa: E402


class SameHdf5(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.a, self.b = pathlib.Path(folder.name) / "a.h5", pathlib.Path(folder.name) / "b.h5"
        random = np.random.default_rng(1)
        with h5py.File(self.a, "w") as file:
            file.attrs["fingerprint"] = b"abc"
            file.attrs["kept"] = 7
            scores = random.standard_normal((50, 3)).astype("f4")
            file.create_dataset("score", data=scores, chunks=(8, 3), fletcher32=True)
            file.create_dataset("text/bytes", data=np.frombuffer(b"two words", "u1"))
            file.create_dataset("text/lengths", data=np.array([3, 6], "u4"))
            file.create_dataset("empty", data=np.zeros((0, 4), "i8"))
            file["score"].attrs["unit"] = "cosine"
            file["nan"] = np.array([np.nan, 0.0])
        shutil.copy(self.a, self.b)

    def changed(self, change, ignored=()):
        with h5py.File(self.b, "r+") as file:
            change(file)
        there, back = differences(self.a, self.b, ignored), differences(self.b, self.a, ignored)
        self.assertEqual(len(there), len(back))
        return there

    def test_equal_files_have_no_differences(self):
        self.assertEqual(self.changed(lambda file: None), [])

    def test_one_bit_of_a_value(self):
        def flip(file):
            values = file["score"][()]
            values.view("u4")[41, 2] ^= 1
            file["score"][...] = values
        self.assertRegex(self.changed(flip)[0], r"/score: 1 of 150 values, first at \[41, 2\]")

    def test_the_sign_of_zero(self):
        def negate(file):
            file["nan"][1] = -0.0
        self.assertEqual(len(self.changed(negate)), 1)

    def test_rows_that_are_missing(self):
        def shorten(file):
            values = file["score"][:48]
            del file["score"]
            file["score"] = values
            file["score"].attrs["unit"] = "cosine"
        self.assertEqual(self.changed(shorten), ["/score: shape (50, 3) and (48, 3)"])

    def test_the_width_of_nothing(self):
        def reshape(file):
            del file["empty"]
            file["empty"] = np.zeros((0, 5), "i8")
        self.assertEqual(self.changed(reshape), ["/empty: shape (0, 4) and (0, 5)"])

    def test_another_type_of_the_same_values(self):
        def widen(file):
            values = file["text/lengths"][()].astype("u8")
            del file["text/lengths"]
            file["text/lengths"] = values
        self.assertEqual(self.changed(widen), ["/text/lengths: type uint32 and uint64"])

    def test_a_dataset_that_is_missing_and_one_more(self):
        def rename(file):
            file.move("text/bytes", "text/octets")
        self.assertEqual(self.changed(rename),
                         ["/text/bytes: only in the first", "/text/octets: only in the second"])

    def test_a_group_in_place_of_a_dataset(self):
        def replace(file):
            del file["empty"]
            file.create_group("empty")
        self.assertEqual(self.changed(replace), ["/empty: a dataset in one, a group in the other"])

    def test_attributes(self):
        def change(file):
            file.attrs["kept"] = 8
            del file["score"].attrs["unit"]
            file["nan"].attrs["more"] = 1
        self.assertEqual(len(self.changed(change)), 3)

    def test_what_is_ignored_and_no_more(self):
        def change(file):
            file.attrs["fingerprint"] = b"abd"
            file["text/bytes"][0] = 0
            file["score"].attrs["unit"] = "angle"
            file["nan"][1] = 1
        self.assertEqual(len(self.changed(change)), 4)
        self.assertEqual(len(differences(self.a, self.b, ["@fingerprint", "/text", "/score@unit"])), 1)


if __name__ == "__main__":
    unittest.main()
