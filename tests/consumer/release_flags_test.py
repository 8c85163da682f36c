#!/usr/bin/env python3
"""A release is built as docs/HACKING.md says, -O2 with line tables: what users get is what is measured."""

import json
import os
import sys
import unittest


def cached(build, name):
    with open(os.path.join(build, "CMakeCache.txt"), encoding="utf-8") as file:
        return next((line.split("=", 1)[1].strip() for line in file if line.startswith(name + ":")), "")


class ReleaseFlags(unittest.TestCase):
    def test_the_library_is_optimised_as_promised(self):
        build = os.environ["LEVITY_BUILD_DIR"]
        if [cached(build, name) for name in ("CMAKE_BUILD_TYPE", "LEVITY_SANITIZE", "LEVITY_MODEL")] != ["Release", "none", "OFF"]:
            self.skipTest("this build is no release as users get it")
        with open(os.path.join(build, "compile_commands.json"), encoding="utf-8") as file:
            commands = [each["command"].split() for each in json.load(file) if "/src/sched/worker.cpp" in each["file"]]
        self.assertTrue(commands)
        for command in commands:
            self.assertEqual([word for word in command if word.startswith("-O") or word.startswith("-g")], ["-O2", "-g1"])


if __name__ == "__main__":
    if "LEVITY_BUILD_DIR" not in os.environ:
        sys.exit("LEVITY_BUILD_DIR names a build directory")
    unittest.main()
