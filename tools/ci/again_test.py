#!/usr/bin/env python3
"""Of tests that failed, one that passes alone is unsteady; one that fails again, crashed, hung or lost something is red."""

import os
import subprocess
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
SCRIPTS = {
    "fine": "exit 0",
    "once": "test -e ran && exit 0; touch ran; exit 1",
    "seldom": "test -e ran2 && exit 0; touch ran2; echo at __sanitizer::Unwind; exit 1",
    "twice": "n=$(cat runs 2>/dev/null || echo 0); echo $((n + 1)) >runs; test $n -ge 2",
    "always": "echo late by 300 ms; exit 1",
    "race": "test -e raced && exit 0; touch raced; echo WARNING: ThreadSanitizer: data race; exit 1",
    "loses": "test -e gone && exit 0; touch gone; echo an order was lost; exit 1",
    "crash": "test -e fell && exit 0; touch fell; kill -SEGV $$",
}


class Again(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)

    def again(self, *names):
        """Exit code and output, after a lane of these tests."""
        build = self.folder.name
        with open(os.path.join(build, "CTestTestfile.cmake"), "w", encoding="utf-8") as file:
            for name in names:
                file.write(f'add_test({name} sh -c [[{SCRIPTS[name]}]])\n'
                           f'set_tests_properties({name} PROPERTIES WORKING_DIRECTORY {build})\n')
        log = os.path.join(build, "lane.log")
        with open(log, "w", encoding="utf-8") as file:
            subprocess.run(["ctest", "--test-dir", build, "--output-on-failure"], stdout=file, stderr=file, check=False)
        run = subprocess.run([sys.executable, os.path.join(HERE, "again.py"), build, log], stdout=subprocess.PIPE, text=True,
                             check=False)
        return run.returncode, run.stdout

    def test_who_passes_alone_is_unsteady(self):
        self.assertEqual(self.again("fine", "once", "seldom"),
                         (0, "unsteady: once failed once, and passed 3 times alone\n"
                             "unsteady: seldom failed once, and passed 3 times alone\n"))

    def test_who_fails_again_is_red(self):
        for name in "always", "twice":
            code, output = self.again("once", name)
            self.assertEqual(code, 1)
            self.assertIn(f"red: {name}: it fails when it is alone, too", output)

    def test_what_no_machine_explains_is_not_run_again(self):
        for name in "race", "loses", "crash":
            code, output = self.again("fine", name)
            self.assertEqual(code, 1)
            self.assertRegex(output, f"^red: {name}: .*; it is not run again\n$")

    def test_many_are_red(self):
        code, output = self.again("once", "seldom", "twice")
        self.assertEqual(code, 1)
        self.assertEqual(output.count("3 tests failed, more than 2"), 3)

    def test_a_lane_that_was_not_built_is_no_test(self):
        self.assertEqual(self.again()[0], 2)


if __name__ == "__main__":
    unittest.main()
