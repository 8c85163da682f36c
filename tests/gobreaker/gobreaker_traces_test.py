#!/usr/bin/env python3
"""The recorded traces of gobreaker still are what gobreaker answers, and a recording that is not is noticed."""

import os
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import record  # noqa: E402 - found by the path that is set above


def traces(path):
    with open(path, encoding="ascii") as file:
        return file.read().splitlines()


class Recording(unittest.TestCase):
    def again(self, corpus):
        with tempfile.TemporaryDirectory() as folder:
            out = os.path.join(folder, "again.txt")
            record.record_again(out, corpus)
            return traces(out)

    def test_it_is_what_gobreaker_answers(self):
        recorded, again = traces(record.CORPUS), self.again(record.CORPUS)
        self.assertEqual(len(recorded), len(again))
        for number, (was, now) in enumerate(zip(recorded, again), 1):
            self.assertEqual(was, now, f"line {number}")
        self.assertGreaterEqual(len([line for line in recorded if not line.startswith("#")]), 1000)

    def test_a_wrong_answer_in_it_is_noticed(self):
        recorded = traces(record.CORPUS)
        at = next(number for number, line in enumerate(recorded) if "a=y>oh" in line)
        recorded[at] = recorded[at].replace("a=y>oh", "a=o", 1)
        with tempfile.TemporaryDirectory() as folder:
            planted = os.path.join(folder, "planted.txt")
            with open(planted, "w", encoding="ascii") as file:
                file.write("\n".join(recorded) + "\n")
            self.assertEqual(self.again(planted), traces(record.CORPUS))
            self.assertNotEqual(recorded, traces(record.CORPUS))


if __name__ == "__main__":
    try:
        record.find_go()
    except record.Unable as why:
        print(f"skipped: {why}")
        sys.exit(0)
    unittest.main()
