#!/usr/bin/env python3
"""Samples that agree, and samples that must not."""

import os
import random
import sys
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import agreement  # noqa: E402  the path is set above


def lossy(count, share, costs, seed):
    """Requests of 40 ms, of which a share costs more, and a share of those twice as much again."""
    draw = random.Random(seed)
    found = []
    for _ in range(count):
        took, costs_now = 40.0, costs
        while draw.random() < share:
            took += costs_now
            costs_now *= 2
        found.append(took + draw.random())
    return found


def verdicts(kernel, simulated):
    return {row["quantile"]: row["agrees"] for row in agreement.compare(kernel, simulated)}


class Agreement(unittest.TestCase):
    def test_a_quantile_is_the_least_value_that_so_many_do_not_exceed(self):
        ordered = list(range(1, 101))
        self.assertEqual([agreement.quantile(ordered, rank) for rank in (0, 0.5, 0.9, 0.99, 1)], [1, 50, 90, 99, 100])
        self.assertEqual(agreement.quantile([7], 0.5), 7)

    def test_samples_of_one_distribution_agree_also_beside_a_step(self):
        for share in (0.01, 0.02, 0.05, 0.0975, 0.2, 0.5):
            simulated = lossy(20000, share, 240, 1)
            wrong = sum(not all(verdicts(lossy(300, share, 240, seed), simulated).values()) for seed in range(2, 102))
            self.assertLessEqual(wrong, 3, share)

    def test_a_round_trip_more_is_seen(self):
        kernel = [120 + i % 5 for i in range(100)]
        simulated = [80 + i % 5 for i in range(5000)]
        self.assertFalse(verdicts(kernel, simulated)["p50"])

    def test_a_timeout_that_begins_twice_as_long_is_seen(self):
        found = verdicts(lossy(300, 0.2, 240, 1), lossy(20000, 0.2, 480, 2))
        self.assertTrue(found["p50"])
        self.assertFalse(found["p90"])

    def test_losses_that_are_not_simulated_are_seen(self):
        found = verdicts(lossy(300, 0.1, 240, 1), lossy(20000, 0, 240, 2))
        self.assertFalse(found["p99"])

    def test_losses_that_the_kernel_does_not_have_are_seen(self):
        found = verdicts(lossy(300, 0, 240, 1), lossy(20000, 0.1, 240, 2))
        self.assertTrue(found["p50"])
        self.assertFalse(found["p99"])

    def test_the_greatest_is_not_judged(self):
        self.assertTrue(verdicts([40] * 99 + [9000], [40] * 1000)["max"])

    def test_a_machine_that_is_late_is_told_by_nine_of_ten(self):
        self.assertAlmostEqual(agreement.lateness([100] * 95 + [300] * 5, 100), 0)
        self.assertAlmostEqual(agreement.lateness([100] * 80 + [130] * 20, 100), 0.3)

    def test_nothing_is_not_compared(self):
        for kernel, simulated in (([], [1]), ([1], [])):
            with self.assertRaises(ValueError):
                agreement.compare(kernel, simulated)


if __name__ == "__main__":
    unittest.main()
