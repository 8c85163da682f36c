#!/usr/bin/env python3
"""./dev refuses what it does not know before it builds, and where its output is no terminal it says now and then how far it is."""

import os
import re
import signal
import subprocess
import tempfile
import time
import unittest

HOUSE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

NINJA = """#!/usr/bin/env bash
trap 'echo "ninja: build stopped: interrupted by user."; exit 130' INT
status() { local text=${NINJA_STATUS//%f/$1}; printf '%sBuilding %s.o\\n' "${text//%t/4}" "$1"; }
echo "ninja: Entering directory 'x'"
for step in 1 2 3; do status $step; sleep 0.6; done
echo "a.cpp:1:1: warning: [1/2] of the compiler"
if [[ $* == *endless* ]]; then echo begun; for _ in {1..600}; do sleep 0.1; done; fi
if [[ $* == *broken* ]]; then echo "FAILED: b.o"; printf 'no end of line'; exit 3; fi
status 4
"""

CTEST = """#!/usr/bin/env bash
sleep 3
if [[ $* == *clang-asan* ]]; then printf '50%% tests passed, 1 tests failed out of 2\\n'; exit 8; fi
echo '100% tests passed, 0 tests failed out of 2'
"""


class Dev(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="levity-dev-")
        self.addCleanup(folder.cleanup)
        self.top = folder.name
        self.builds = os.path.join(self.top, "builds")
        stubs = os.path.join(self.top, "bin")
        os.mkdir(stubs)
        for name, text in (("ninja", NINJA), ("cmake", "#!/bin/sh\nexit 0\n"), ("ctest", CTEST)):
            with open(os.path.join(stubs, name), "w", encoding="utf-8") as file:
                file.write(text)
            os.chmod(file.name, 0o755)
        self.environment = {**os.environ, "PATH": stubs + ":" + os.environ["PATH"], "LEVITY_BUILDS": self.builds,
                            "LEVITY_PACKAGES": "skip", "LEVITY_SAY_EVERY": "1"}

    def start(self, *words):
        return subprocess.Popen([os.path.join(HOUSE, "dev"), *words], env=self.environment, stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True)

    def run_to_end(self, *words):
        with self.start(*words) as dev:
            return dev.communicate(timeout=60)[0], dev.returncode


class Options(Dev):
    def test_one_that_is_not_there_is_refused_before_anything_is_built(self):
        for words in (["run", "--bogus"], ["run", "--rate", "1000", "--bogus=3"], ["run", "--story", "--bogus"], ["run", "-x"]):
            text, code = self.run_to_end(*words)
            self.assertEqual(code, 2, text)
            self.assertRegex(text, r"^levity: there is no option '[^']+' of '\./dev run[^']*'; '\./dev run [^']*--help' lists "
                                   r"them\n$")
            self.assertFalse(os.path.exists(self.builds))

    def test_those_of_the_programs_are_known(self):
        with open(os.path.join(HOUSE, "dev"), encoding="utf-8") as file:
            dev = file.read()
        for which, place in (("run", "orders"), ("story", "story")):
            known = set(" ".join(re.findall(rf'^{which}_options\+?="(.*)"$', dev, re.MULTILINE)).split())
            with open(os.path.join(HOUSE, "tools", place, "command.cpp"), encoding="utf-8") as file:
                names = re.findall(r'add_(?:option|flag)\("(-[^"]+)"', file.read())
            self.assertGreater(len(names), 10)
            self.assertEqual(known - {"--serve", "--story", "-h", "--help"}, set(",".join(names).split(",")))


class Progress(Dev):
    def test_a_build_says_now_and_then_how_far_it_is_and_nothing_of_its_steps(self):
        text, code = self.run_to_end("build", "gcc-release", "all")
        self.assertEqual(code, 0, text)
        lines = [line for line in text.splitlines() if not line.startswith("levity: configuring")]
        self.assertEqual(lines[0], "levity: building all (gcc-release)")
        self.assertTrue(any(re.fullmatch(r"levity: [234] of 4 steps done", line) for line in lines), text)
        self.assertIn("a.cpp:1:1: warning: [1/2] of the compiler", lines)
        self.assertNotRegex(text, "Building|Entering|@step")

    def test_a_build_that_fails_says_what_ninja_says_and_ends_so(self):
        text, code = self.run_to_end("build", "gcc-release", "broken")
        self.assertEqual(code, 3, text)
        self.assertTrue(text.endswith("FAILED: b.o\nno end of line\n"), text)

    def test_ctrl_c_ends_all_of_it(self):
        with self.start("build", "gcc-release", "endless") as dev:
            said = ""
            while "begun" not in said:
                line = dev.stdout.readline()
                self.assertTrue(line, said)
                said += line
            os.killpg(dev.pid, signal.SIGINT)
            said += dev.communicate(timeout=60)[0]
        self.assertIn("interrupted by user", said)
        self.assertNotEqual(dev.returncode, 0)
        until = time.monotonic() + 30
        while time.monotonic() < until:
            try:
                os.killpg(dev.pid, 0)
            except ProcessLookupError:
                return
            time.sleep(0.05)
        self.fail("something of it is still there")


class Ahead(Dev):
    def log(self):
        path = os.path.join(self.builds, "ci-ahead.log")
        if not os.path.exists(path):
            return ""
        with open(path, encoding="utf-8") as file:
            return file.read()

    def wait_for(self, what, condition):
        until = time.monotonic() + 60
        while not condition():
            self.assertLess(time.monotonic(), until, f"{what}: {self.log()}")
            time.sleep(0.05)

    def session_lives(self, session):
        try:
            os.killpg(session, 0)
        except ProcessLookupError:
            return False
        return True

    def test_lanes_are_built_at_idle_priority_in_a_session_that_is_ended_as_a_whole(self):
        text, code = self.run_to_end("ahead", "gcc-debug", "tidy", "model")
        self.assertEqual(code, 0, text)
        session = int(text)
        self.wait_for("it is last in line", lambda: os.sched_getscheduler(session) == os.SCHED_IDLE)
        self.assertEqual(os.getsid(session), session)
        self.wait_for("it builds", lambda: "building test_programs (gcc-debug)" in self.log())
        os.killpg(session, signal.SIGTERM)
        self.wait_for("it ends", lambda: not self.session_lives(session))
        self.assertNotIn("gcc-model", self.log())

    def test_it_goes_on_with_the_next_one(self):
        session = int(self.run_to_end("ahead", "gcc-debug", "tidy", "model")[0])
        self.wait_for("it builds", lambda: "building model_programs model_test example_explored_ring (gcc-model)" in self.log())
        self.wait_for("it ends", lambda: not self.session_lives(session))

    def test_ci_goes_through_its_lanes_whether_what_is_built_ahead_has_ended_or_not(self):
        text, code = self.run_to_end("ci", "gcc-debug", "clang-asan", "gcc-release", "clang-debug")
        self.assertEqual(code, 1, text)
        for lane, ended in (("gcc-debug", "2 passed,    0 failed"), ("clang-asan", "1 passed,    1 failed"),
                            ("gcc-release", "2 passed,    0 failed"), ("clang-debug", "2 passed,    0 failed")):
            self.assertRegex(text, rf"(?m)^{lane} +{ended}, ")
        self.assertTrue(text.endswith("\n7 passed, 1 failed\n"), text)
        self.assertIn("building test_programs (clang-debug)", self.log())

    def test_without_a_lane_nothing_is_begun(self):
        self.assertEqual(self.run_to_end("ahead"), ("", 0))


if __name__ == "__main__":
    unittest.main()
