#!/usr/bin/env python3
"""Plays simulated worlds in several builds, and compares what they came to: the same seed is the same world by every compiler.

usage: same_everywhere.py [--program NAME --filter PATTERN] BUILD BUILD...

BUILD is a build directory in which sim_test and reference_test are built. Of each the tests that play worlds are run, or of NAME
those that fit PATTERN, as --gtest_filter has it. LEVITY_SIM_PRINT_HASHES makes each world say its seed, its trace hash and its age
when it goes; LEVITY_SIM_SEEDS=1000 has a check play so many.

Prints where builds differ first, for each test. Exit code 0 when all are the same, 1 when some differ, 2 when nothing could be
compared: a program is missing, or fails, or no world has said anything.
"""

import argparse
import os
import platform
import re
import subprocess
import sys

# Tests that play worlds, whose scenarios depend on nothing but their seeds.
WORLDS = (("sim_test", "trace_hash.*:world.*:follow.*"), ("reference_test", "order_check.*:order_world.*"))
RUNS = re.compile(r"^\[ RUN      \] (\S+)")
SAYS = re.compile(r"levity: the world of seed (\d+) came to ([0-9a-f]{16}) after (-?\d+) ns")


class CannotCompare(Exception):
    """Why not."""


def worlds_of(said):
    """By test, what its worlds said, in order."""
    tests, now = {}, None
    for line in said.splitlines():
        runs = RUNS.match(line)
        if runs:
            now = tests.setdefault(runs.group(1), [])
        for each in SAYS.findall(line):
            if now is None:
                raise CannotCompare("a world that is of no test has said something")
            now.append(each)
    return tests


def play(build, program, pattern):
    path = os.path.join(build, program)
    if not os.access(path, os.X_OK):
        raise CannotCompare(f"{path} is not built")
    command = [os.path.abspath(path), f"--gtest_filter={pattern}"]
    # The thread sanitizer's shadow memory does not fit every randomised layout.
    if "tsan" in os.path.basename(os.path.normpath(build)):
        command = ["setarch", platform.machine(), "-R", *command]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LEVITY_SIM_")}
    run = subprocess.run(command, cwd=build, env={**environment, "LEVITY_SIM_PRINT_HASHES": "1"}, stdin=subprocess.DEVNULL,
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace", check=False)
    if run.returncode != 0:
        words = run.stdout[-2000:] + run.stderr[-2000:]
        raise CannotCompare(f"{path} --gtest_filter={pattern} ended with {run.returncode}:\n{words}")
    tests = worlds_of(run.stdout)
    if not any(tests.values()):
        raise CannotCompare(f"no world of {path} --gtest_filter={pattern} has said anything")
    return tests


def in_words(world):
    return "nothing more" if world is None else "seed {}, {}, {} ns".format(*world)


def differences(builds, told):
    """A line for each test that is not the same in all builds."""
    for test in dict.fromkeys(name for tests in told for name in tests):
        lists = [tests.get(test, []) for tests in told]
        if all(each == lists[0] for each in lists):
            continue
        at = next(i for i in range(max(map(len, lists))) if len({tuple(each[i:i + 1]) for each in lists}) > 1)
        words = "; ".join(f"{build}: {in_words(each[at] if at < len(each) else None)}" for build, each in zip(builds, lists))
        yield f"{test}: world {at + 1} differs: {words}"


def main(arguments):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("builds", nargs="+", metavar="BUILD")
    parser.add_argument("--program", metavar="NAME", help="only this one; with --filter")
    parser.add_argument("--filter", metavar="PATTERN", help="of its tests")
    options = parser.parse_args(arguments)
    if len(options.builds) < 2 or (options.program is None) != (options.filter is None):
        parser.error("name two builds at least, and a program with a filter or neither")
    wanted = WORLDS if options.program is None else ((options.program, options.filter),)
    found, worlds = [], 0
    for program, pattern in wanted:
        try:
            told = [play(build, program, pattern) for build in options.builds]
        except CannotCompare as why:
            print(f"same_everywhere: {why}")
            return 2
        found += differences(options.builds, told)
        worlds += sum(map(len, told[0].values()))
    for line in found:
        print(line)
    if not found:
        print(f"{worlds} worlds are the same in {len(options.builds)} builds")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
