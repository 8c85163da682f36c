#!/usr/bin/env python3
"""The tests that need a machine of two nodes, or one that is theirs alone, run on one that is emulated (two_nodes.py): numa_test,
those of sched_test that make up nodes, and those of platform_test that change quotas and CPUs of the kernel. About 30 s. Where
there is nothing to emulate it with, it says what is missing and runs nothing."""

import os
import re
import sys
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import two_nodes  # noqa: E402

BUILD = os.environ.get("LEVITY_BUILD_DIR", "")


def why_not():
    if reason := two_nodes.why_not():
        return reason
    if not os.path.exists(os.path.join(BUILD, "CMakeCache.txt")):
        return "LEVITY_BUILD_DIR does not name a build"
    with open(os.path.join(BUILD, "CMakeCache.txt"), encoding="utf-8") as cache:
        if not re.search(r"^LEVITY_SANITIZE:\w+=(none)?$", cache.read(), re.MULTILINE):
            return "under a sanitizer an emulated machine takes minutes"
    return ""


@unittest.skipIf(why_not(), why_not())
class TwoNodes(unittest.TestCase):
    def test_of_two_nodes_and_of_a_kernel_of_ones_own(self):
        programs = [os.path.join(BUILD, name) for name in ("numa_test", "sched_test", "platform_test")]
        commands = ("numa_test", "sched_test --gtest_filter='shared_queues.*:workers_on_nodes.*'",
                    "platform_test --gtest_filter='real_cgroup.*:topology.this*'")
        printed, status = two_nodes.boot(programs, " && ".join(f"{each} --gtest_color=no" for each in commands))
        print(printed)
        if two_nodes.STOPPED in printed and two_nodes.IS_UP not in printed:
            self.skipTest(f"the emulator has brought no machine up: {printed[-300:]}")
        self.assertEqual(status, 0, printed)
        # What was skipped has shown nothing.
        self.assertRegex(printed, r"worker \d+ on node 0")
        self.assertRegex(printed, r"worker \d+ on node 1")
        self.assertRegex(printed, r"2 nodes: \d+ changes in \d+ yields, \d+ tasks taken from another node")
        for affinity, cpus in ((0, 2), (1, 4), (2, 2)):  # automatic, none, node
            self.assertIn(f"affinity {affinity}: {cpus} of 4 CPUs", printed)
        self.assertRegex(printed, r"OK \] workers_on_nodes.nothing_is_lost")
        self.assertRegex(printed, r"OK \] real_cgroup.a_quota_of_v2_is_followed")


if __name__ == "__main__":
    unittest.main()
