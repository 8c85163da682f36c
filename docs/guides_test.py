#!/usr/bin/env python3
"""What the guides show does what they say: each example is run, each mistake shows its symptom, each refusal is refused."""

import os
import re
import signal
import subprocess
import tempfile
import time
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent
BUILD = Path(os.environ.get("LEVITY_BUILD_DIR", HERE.parent / "build/gcc-release"))
GUIDES = sorted([*HERE.glob("guides/*.md"), HERE / "footguns.md"])
PATIENCE = 60  # seconds: for what must happen; nothing waits this long unless it is broken


class Guide:
    def __init__(self, path):
        self.name = path.stem
        self.path = path
        self.program = BUILD / "guides" / self.name
        self.facts, self.compiler, self.blocks = set(), "", []
        for line in subprocess.run([self.program, "--list"], check=True, capture_output=True, text=True).stdout.splitlines():
            block = re.fullmatch(r"(g\+\+12 )?(run|prints|hangs|asan|refused|compiled|tests) (\d+) (.*)", line)
            if block is None:
                if line.startswith("compiler "):
                    self.compiler = line.removeprefix("compiler ")
                self.facts.add(line)
            else:
                self.blocks.append((bool(block[1]), block[2], int(block[3]), block[4]))


class Guides(unittest.TestCase):
    def each(self, wanted, check):
        """Calls check(guide, line, pattern) for every block of that role."""
        count = 0
        for guide in [Guide(path) for path in GUIDES]:
            for old_only, role, line, pattern in guide.blocks:
                # What g++ 12 makes of a block that it gets wrong is another wrong program under the sanitizer: it may trap.
                if old_only and role == "hangs" and "asan" in guide.facts:
                    continue
                if role == wanted and (not old_only or "g++12" in guide.facts):
                    with self.subTest(f"{guide.path.name}:{line}"):
                        check(guide, line, pattern)
                    count += 1
        self.assertGreater(count, 0, f"no guide has a block that {wanted}")

    def run_block(self, guide, line):
        done = subprocess.run([guide.program, str(line)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=PATIENCE)
        return done.returncode, done.stdout.decode(errors="replace")

    def test_every_example_runs_to_its_end(self):
        def check(guide, line, _):
            code, output = self.run_block(guide, line)
            self.assertEqual(code, 0, output)

        self.each("run", check)

    def test_what_a_guide_tests_passes(self):
        def check(guide, line, _):
            code, output = self.run_block(guide, line)
            self.assertEqual(code, 0, output)

        self.each("tests", check)

    def test_what_should_be_printed_is(self):
        self.each("prints", lambda guide, line, pattern: self.assertRegex(self.run_block(guide, line)[1], pattern))

    def test_what_the_address_sanitizer_should_find_it_finds(self):
        def check(guide, line, pattern):
            if "asan" in guide.facts:
                code, output = self.run_block(guide, line)
                self.assertNotEqual(code, 0)
                self.assertRegex(output, pattern)

        self.each("asan", check)

    def test_what_hangs_says_in_the_dump_where(self):
        def check(guide, line, pattern):
            with tempfile.TemporaryFile() as output:
                process = subprocess.Popen([guide.program, str(line)], stdout=output, stderr=subprocess.STDOUT)
                try:
                    until, seen = time.monotonic() + PATIENCE, ""
                    while not takes_sigquit(process.pid) and time.monotonic() < until:
                        time.sleep(0.01)
                    while re.search(pattern, seen) is None:
                        self.assertIsNone(process.poll(), f"it ended: {seen}")
                        self.assertLess(time.monotonic(), until, f"no dump has {pattern}: {seen}")
                        process.send_signal(signal.SIGQUIT)
                        time.sleep(0.1)
                        output.seek(0)
                        seen = output.read().decode(errors="replace")
                finally:
                    process.kill()
                    process.wait()

        self.each("hangs", check)

    def test_what_should_not_compile_does_not(self):
        def check(guide, line, pattern):
            source = guide.program.parent / f"{guide.name}_refused_{line}.cpp"
            flags = ["-std=c++23", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", f"-I{HERE.parent / 'include'}"]
            done = subprocess.run([guide.compiler, *flags, source], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            self.assertNotEqual(done.returncode, 0, "it compiles")
            self.assertRegex(done.stdout, pattern)

        self.each("refused", check)

    def test_every_link_to_a_file_of_the_house_leads_to_one(self):
        for path in [*GUIDES, HERE.parent / "README.md", HERE.parent / "ARCHITECTURE.md", *HERE.glob("*.md")]:
            prose = re.sub(r"```.*?```|`[^`\n]*`", "", path.read_text(), flags=re.S)
            for target, anchor in re.findall(r"\]\(([^)#:]*)(?:#([^)]*))?\)", prose):
                with self.subTest(f"{path.name}: {target}#{anchor}"):
                    place = path.parent / target if target else path
                    self.assertTrue(place.exists())
                    if anchor:
                        self.assertIn(anchor, headings(place))


def headings(path):
    """The anchors that a page of Markdown has."""
    text = re.sub(r"```.*?```", "", path.read_text(), flags=re.S)
    return {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in re.findall(r"^#+ (.*)$", text, re.M)}


def takes_sigquit(pid):
    """Whether the runtime waits for signals by now; before, SIGQUIT ends the process."""
    found = re.search(r"SigBlk:\s*([0-9a-f]+)", Path(f"/proc/{pid}/status").read_text())
    return found is not None and int(found[1], 16) >> (signal.SIGQUIT - 1) & 1


if __name__ == "__main__":
    unittest.main()
