#!/usr/bin/env python3
"""What is preloaded in front of the C library sees the calls of each request where the build says so, and only there."""

import os
import subprocess
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
HOUSE = os.path.dirname(os.path.dirname(HERE))


class Preloaded(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="levity-preload-")
        self.addCleanup(folder.cleanup)
        self.top = folder.name
        self.library = os.path.join(self.top, "counting.so")
        self.compile("gcc", "-shared", "-fPIC", os.path.join(HERE, "counting.c"), "-o", self.library, "-ldl")

    def compile(self, *command):
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300, check=False)
        self.assertEqual(done.returncode, 0, f"{' '.join(command)}\n{done.stdout}")

    def calls_seen(self, *options):
        program = os.path.join(self.top, "calls")
        self.compile("g++", "-std=c++23", "-O2", *options, f"-I{HOUSE}/include", f"-I{HOUSE}/src",
                     os.path.join(HERE, "calls.cpp"), "-o", program)
        done = subprocess.run([program], env={**os.environ, "LD_PRELOAD": self.library}, stderr=subprocess.PIPE, text=True,
                              timeout=60, check=False)
        self.assertEqual(done.returncode, 0)
        return done.stderr.strip()

    def test_where_the_build_says_so_it_sees_all(self):
        self.assertEqual(self.calls_seen("-DLEVITY_LIBC_CALLS=1"), "5 calls")

    def test_elsewhere_it_sees_none(self):
        self.assertEqual(self.calls_seen(), "0 calls")


if __name__ == "__main__":
    unittest.main()
