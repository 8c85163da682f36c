#!/usr/bin/env python3
"""The tables of the README and of docs/bench: what does not hold is in both, and a stale one is found."""

import json
import os
import subprocess
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
MARKS = "<!-- bench:begin -->\n<!-- bench:end -->\n"


def row(name, holds):
    return {"name": name, "value": 1.0, "unit": "ns", "floor": None, "ratio": None, "ratio_upper": None, "target": 2.0,
            "target_is": "at most", "judged": "value", "pass": holds, "spread": 0.0, "n": 1}


class Tables(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="levity-tables-")
        self.addCleanup(folder.cleanup)
        self.root = folder.name
        os.makedirs(os.path.join(self.root, "docs", "bench"))
        for path in ("README.md", "docs/bench/README.md"):
            self.write(path, MARKS)

    def write(self, path, text):
        with open(os.path.join(self.root, path), "w", encoding="utf-8") as file:
            file.write(text)

    def text(self, path):
        with open(os.path.join(self.root, path), encoding="utf-8") as file:
            return file.read()

    def record(self, *rows):
        machine = {"cpu": "A", "cores": 2, "virtual": True, "kernel": "6", "compiler": "g++", "flags": "-O2", "commit": "c"}
        self.write("docs/bench/record.json", json.dumps({
            "date": "2026-01-01T00:00:00", "mode": "quick", "foreign_share": 0.0, "machine": machine, "rows": rows}))

    def run_it(self, *arguments):
        return subprocess.run([sys.executable, os.path.join(HERE, "readme_table.py"), "--root", self.root, *arguments],
                              capture_output=True, text=True, check=False)

    def test_all_rows_are_in_the_whole_table_and_every_loss_is_in_the_short_one(self):
        self.record(row("task/parked/bytes", True), row("timer/reset", True), row("timer/schedule_cancel", False),
                    row("of/a/kind/that/nobody/asks/for", False))
        self.assertEqual(self.run_it().returncode, 0)
        whole, short = self.text("docs/bench/README.md"), self.text("README.md")
        for name in ("task/parked/bytes", "timer/reset", "timer/schedule_cancel", "of/a/kind/that/nobody/asks/for"):
            self.assertIn(f"`{name}`", whole)
        self.assertIn("a parked task, `task/parked/bytes`", short)
        self.assertNotIn("timer/reset", short)
        for lost in ("timer/schedule_cancel", "of/a/kind/that/nobody/asks/for"):
            self.assertRegex(short, rf"`{lost}` .*\*\*no\*\*")
        for each in (whole, short):
            self.assertIn("2 of 4 rows hold", each)

    def test_a_stale_table_is_found_in_either_file(self):
        self.record(row("task/parked/bytes", True))
        self.assertEqual(self.run_it("--check").returncode, 2)
        self.assertEqual(self.run_it().returncode, 0)
        self.assertEqual(self.run_it("--check").returncode, 0)
        for path in ("README.md", "docs/bench/README.md"):
            right = self.text(path)
            self.write(path, right.replace("1.00 ns", "0.50 ns"))
            self.assertNotEqual(self.text(path), right)
            told = self.run_it("--check")
            self.assertEqual(told.returncode, 2)
            self.assertIn(path, told.stderr)
            self.write(path, right)

    def test_the_tables_of_the_house_are_those_of_its_record(self):
        done = subprocess.run([sys.executable, os.path.join(HERE, "readme_table.py"), "--check"], capture_output=True, text=True,
                              check=False)
        self.assertEqual(done.returncode, 0, done.stderr)


if __name__ == "__main__":
    unittest.main()
