#!/usr/bin/env python3
"""Builds whose worlds are the same are found to be, and one that differs in a single world is named."""

import os
import subprocess
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))


def said(*worlds, test="world.turns"):
    lines = [f"[ RUN      ] {test}"]
    lines += [f"levity: the world of seed {seed} came to {hash_:016x} after {age} ns" for seed, hash_, age in worlds]
    return "\n".join(lines)


class SameEverywhere(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)

    def build(self, name, text, code=0, program="sim_test"):
        """A build whose program says that, if it is asked to."""
        folder = os.path.join(self.folder.name, name)
        os.makedirs(folder, exist_ok=True)
        path = os.path.join(folder, program)
        with open(path, "w", encoding="utf-8") as file:
            file.write(f"#!/bin/sh\n[ \"$LEVITY_SIM_PRINT_HASHES\" ] && cat <<'END'\n{text}\nEND\nexit {code}\n")
        os.chmod(path, 0o755)
        return folder

    def compare(self, *builds, program=True):
        which = ["--program", "sim_test", "--filter", "*"] if program else []
        run = subprocess.run([sys.executable, os.path.join(HERE, "same_everywhere.py"), *which, *builds],
                             stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False)
        return run.returncode, run.stdout

    def test_the_same_worlds(self):
        one, other = (self.build(name, said((1, 0xabc, 5), (2, 0xdef, 6))) for name in ("one", "other"))
        self.assertEqual(self.compare(one, other), (0, "2 worlds are the same in 2 builds\n"))

    def test_a_hash_an_age_and_a_world_that_is_missing_are_differences(self):
        one = self.build("one", said((1, 0xabc, 5), (2, 0xdef, 6)))
        for name, worlds in (("hash", ((1, 0xabc, 5), (2, 0xdee, 6))), ("age", ((1, 0xabc, 5), (2, 0xdef, 7))),
                             ("missing", ((1, 0xabc, 5),))):
            code, text = self.compare(one, self.build("same", said((1, 0xabc, 5), (2, 0xdef, 6))), self.build(name, said(*worlds)))
            self.assertEqual(code, 1, name)
            self.assertIn("world.turns: world 2 differs", text)

    def test_a_test_that_only_one_build_has(self):
        one = self.build("one", said((1, 0xabc, 5)))
        other = self.build("other", said((1, 0xabc, 5)) + "\n" + said((7, 0xabc, 5), test="world.more"))
        code, text = self.compare(one, other)
        self.assertEqual(code, 1)
        self.assertIn("world.more: world 1 differs", text)

    def test_what_failed_said_nothing_or_is_missing_is_not_the_same(self):
        one = self.build("one", said((1, 0xabc, 5)))
        for other in (self.build("failed", said((1, 0xabc, 5)), code=1), self.build("silent", said()),
                      os.path.join(self.folder.name, "nowhere")):
            self.assertEqual(self.compare(one, other)[0], 2, other)

    def test_all_programs_are_played_where_none_is_named(self):
        for name in ("one", "other"):
            self.build(name, said((1, 0xabc, 5)))
            self.build(name, said((2, 0xabd, 5), test="order_world.turns"), program="reference_test")
        builds = [os.path.join(self.folder.name, name) for name in ("one", "other")]
        self.assertEqual(self.compare(*builds, program=False), (0, "2 worlds are the same in 2 builds\n"))

    def test_one_build_has_nothing_to_be_compared_with(self):
        self.assertEqual(self.compare(self.build("one", said((1, 0xabc, 5))))[0], 2)


if __name__ == "__main__":
    unittest.main()
