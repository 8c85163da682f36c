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


def row(name, holds, **more):
    return {"name": name, "value": 1.0, "unit": "ns", "floor": None, "ratio": None, "ratio_upper": None, "target": 2.0,
            "target_is": "at most", "judged": "value", "pass": holds, "spread": 0.0, "n": 1, **more}


def ratio(name, judged, **more):
    return row(name, True, floor=3.0, ratio=1.11, ratio_upper=1.22, judged=judged, **more)


def names_of_today():
    listed = subprocess.run([sys.executable, os.path.join(HERE, "run"), "--list"], capture_output=True, text=True, check=True)
    return listed.stdout.split()


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
            self.assertIn("Of 4 rows with a target 2 hold", each)

    def test_a_row_without_a_target_counts_neither_way(self):
        self.record(row("task/parked/bytes", True), ratio("echo/64B/16conn/ring", "ratio", target=None, target_is=None),
                    row("echo/64B/256conn/ring", False, target=None, target_is=None))
        self.assertEqual(self.run_it().returncode, 0)
        whole, short = self.text("docs/bench/README.md"), self.text("README.md")
        self.assertIn("| `echo/64B/16conn/ring` | 1.00 ns | 3.00 | 1.11 (≤ 1.22) | – | – |", whole)
        self.assertIn("| `echo/64B/256conn/ring` | 1.00 ns | – | – | – | – |", whole)
        self.assertNotIn("conn/ring", short)
        for each in (whole, short):
            self.assertIn("Of 1 rows with a target 1 hold", each)

    def test_a_row_that_could_not_be_measured_does_not_hold_whatever_its_target(self):
        self.record(row("task/parked/bytes", True), row("timer/reset", False, judged="missing", target=None, value=None))
        self.assertEqual(self.run_it().returncode, 0)
        for path in ("docs/bench/README.md", "README.md"):
            self.assertRegex(self.text(path), r"`timer/reset` .*\*\*missing\*\*")
            self.assertIn("Of 2 rows with a target 1 hold", self.text(path))

    def test_the_number_that_is_judged_is_bold(self):
        self.record(row("a", True), ratio("b", "ratio"), ratio("c", "ratio_upper"))
        self.assertEqual(self.run_it().returncode, 0)
        whole = self.text("docs/bench/README.md")
        self.assertIn("| `a` | **1.00** ns | – | – | ≤ 2.00 | yes |", whole)
        self.assertIn("| `b` | 1.00 ns | 3.00 | **1.11** (≤ 1.22) | ≤ 2.00× | yes |", whole)
        self.assertIn("| `c` | 1.00 ns | 3.00 | 1.11 (≤ **1.22**) | ≤ 2.00× | yes |", whole)

    def test_rows_of_today_that_are_not_in_the_record_are_counted_by_group(self):
        today = names_of_today()
        idle, numa = ([name for name in today if name.startswith(group)] for group in ("idle/", "numa/"))
        self.record(*[row(name, True) for name in today if name not in numa and name != idle[0]])
        self.assertEqual(self.run_it().returncode, 0)
        for path in ("docs/bench/README.md", "README.md"):
            self.assertIn(f"Of the {len(today)} rows of `bench/run --list` {len(numa) + 1} are not in this record: "
                          f"all {len(numa)} of `numa`, 1 of {len(idle)} of `idle`.", self.text(path))
        self.record(*[row(name, True) for name in today])
        self.assertEqual(self.run_it().returncode, 0)
        self.assertIn("The record has every row of `bench/run --list`.", self.text("README.md"))

    def part(self, name, *rows, commit="c"):
        path = os.path.join(self.root, name)
        self.write(name, json.dumps({
            "schema": 1, "date": "2026-01-01T00:00:00", "mode": "full", "seconds": 60.0, "load_at_start": 0.1, "foreign_share": 0.0,
            "complete": False, "rows": [row(each, True) for each in rows], "machine": {
                "name": f"A, {commit}", "cpu": "A", "cores": 2, "virtual": True, "kernel": "6", "compiler": "g++", "flags": "-O2",
                "commit": commit}}))
        return path

    def test_records_of_groups_become_one_in_the_order_of_the_bench(self):
        today = names_of_today()
        idle = [name for name in today if name.startswith("idle/")]
        parts = [self.part("idle.json", *idle), self.part("others.json", *[name for name in today if name not in idle])]
        done = self.run_it("--join", *parts)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        recorded = json.loads(self.text("docs/bench/record.json"))
        self.assertEqual([each["name"] for each in recorded["rows"]], today)
        self.assertTrue(recorded["complete"])
        self.assertEqual(recorded["seconds"], 120.0)
        self.assertEqual(self.run_it("--check").returncode, 0)

    def test_what_was_measured_of_two_commits_or_twice_is_not_joined(self):
        first = self.part("first.json", "idle/cpu")
        for other, why in ((self.part("second.json", "timer/reset", commit="d"), "differ in 'machine'"),
                           (self.part("twice.json", "idle/cpu"), "'idle/cpu' that another part has"),
                           (self.part("gone.json", "no/such/row"), "no row of the bench is called 'no/such/row'")):
            done = self.run_it("--join", first, other)
            self.assertEqual(done.returncode, 1)
            self.assertIn(why, done.stderr)
            self.assertFalse(os.path.exists(os.path.join(self.root, "docs/bench/record.json")))

    def test_a_stale_table_is_found_in_either_file(self):
        self.record(row("task/parked/bytes", True))
        self.assertEqual(self.run_it("--check").returncode, 2)
        self.assertEqual(self.run_it().returncode, 0)
        self.assertEqual(self.run_it("--check").returncode, 0)
        for path in ("README.md", "docs/bench/README.md"):
            right = self.text(path)
            self.write(path, right.replace("**1.00** ns", "**0.50** ns"))
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
