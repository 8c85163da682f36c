#!/usr/bin/env python3
"""Runs the tests that failed in a lane again, each alone, and says which of them are unsteady rather than red.

usage: again.py BUILD LOG

BUILD is a build directory, LOG what ctest printed there with --output-on-failure. A machine that stands still for half a second
while two programs share its processors can fail a test that measures time; such a test is green when it is alone. Most of what
else fails once is a fault that a thousand runs might not show again, so only this is run again: at most two tests of a lane,
that ended by themselves, and whose output has no sign of broken memory, a broken belief, or something lost. Each must pass
three times in a row.

Prints a line for each test that failed. Exit code 0 when all of them are unsteady, 1 when one is red, 2 when LOG names none.
"""

import re
import subprocess
import sys

UNSTEADY_MAX = 2
PASSES = 3
# Functions of a sanitizer may stand in the stacks of stalls, which are no report of it.
SIGNS = re.compile(r"Sanitizer: |runtime error:|Assertion|terminate called|broken belief|\b[Ll]ost\b|\b[Mm]issing\b")
FAILED = re.compile(r"^\s*\d+ - (\S+) \((.+)\)\s*$")
ENDED = re.compile(r"^\s*\d+/\d+ Test\s+#\d+: (\S+) \.*")


def failed_tests(log):
    """(name, how) of each, from the list at the end."""
    end = log.rfind("The following tests FAILED:")
    if end < 0:
        return []
    found = (FAILED.match(line) for line in log[end:].splitlines())
    return [(match.group(1), match.group(2)) for match in found if match]


def output_of(name, log):
    """What follows the line that says how it ended, up to the next test's."""
    lines, own = [], False
    for line in log.splitlines():
        ended = ENDED.match(line)
        if ended or line.startswith("The following tests FAILED:"):
            own = bool(ended) and ended.group(1) == name
        if own:
            lines.append(line)
    return "\n".join(lines)


def why_red(tests, log):
    """By name, for those that are not to be run again."""
    if len(tests) > UNSTEADY_MAX:
        return {name: f"{len(tests)} tests failed, more than {UNSTEADY_MAX}" for name, _ in tests}
    red = {}
    for name, how in tests:
        sign = SIGNS.search(output_of(name, log))
        if how != "Failed":
            red[name] = f"it did not end by itself ({how})"
        elif sign:
            red[name] = f"its output says \"{sign.group(0)}\""
    return red


def passes_alone(build, name):
    for _ in range(PASSES):
        run = subprocess.run(["ctest", "--test-dir", build, "-R", f"^{re.escape(name)}$", "-j", "1", "--output-on-failure",
                              "--no-tests=error"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                             text=True, errors="replace", check=False)
        if run.returncode != 0:
            print(run.stdout, end="")
            return False
    return True


def main(arguments):
    if len(arguments) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    build, path = arguments
    with open(path, encoding="utf-8", errors="replace") as file:
        log = file.read()
    tests = failed_tests(log)
    if not tests:
        print(f"again: {path} names no test that failed, so what failed is none")
        return 2
    red = why_red(tests, log)
    for name, _ in tests:
        if name in red:
            print(f"red: {name}: {red[name]}; it is not run again")
        elif passes_alone(build, name):
            print(f"unsteady: {name} failed once, and passed {PASSES} times alone")
        else:
            red[name] = "again"
            print(f"red: {name}: it fails when it is alone, too")
    return 1 if red else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
