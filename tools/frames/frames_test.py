#!/usr/bin/env python3
"""The frame report finds a known coroutine with a plausible size, and notices when it grows."""

import os
import subprocess
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
HOUSE = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, HERE)
import frames  # noqa: E402

COROUTINE = """
#include "levity/task/task.hpp"
levity::task<> leaf(char*);
levity::task<> keeps() {
  char kept[%d];
  co_await leaf(kept);
  co_await leaf(kept);
}
"""


class Frames(unittest.TestCase):
    def size(self, kept):
        with tempfile.TemporaryDirectory() as folder:
            source, built = os.path.join(folder, "x.cpp"), os.path.join(folder, "x.o")
            with open(source, "w", encoding="utf-8") as file:
                file.write(COROUTINE % kept)
            subprocess.run([os.environ.get("CXX", "g++"), "-std=c++23", "-O2", "-I", os.path.join(HOUSE, "include"), "-c", source,
                            "-o", built], check=True)
            return frames.report([built])["keeps()"]

    def test_a_frame_holds_what_lives_across_an_await(self):
        small, large = self.size(100), self.size(1100)
        self.assertEqual((len(small), len(large)), (1, 1))
        self.assertTrue(100 + 48 <= small[0] <= 100 + 300, small)
        self.assertTrue(1000 - 16 <= large[0] - small[0] <= 1000 + 16, (small, large))

    def test_a_size_that_was_overwritten_is_not_taken(self):
        lines = ["0 <f>:", "  1:\tmov    $0x40,%edi", "  2:\tmov    %rax,%rdi", "  3:\tcall   9 <frame_allocate_slowly>"]
        self.assertEqual(frames.sizes_in(lines), {})
        del lines[2]
        self.assertEqual(frames.sizes_in(lines), {"f": {64}})


if __name__ == "__main__":
    unittest.main()
