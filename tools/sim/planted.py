#!/usr/bin/env python3
"""Plants known bugs into copies of the sources, one at a time; a simulated scenario must find each: ./dev sim --planted

usage: planted.py BUILD [--json FILE] [--seconds N] [NAME...]

A bug is a file of tests/sim/planted/: a patch to the sources, with a head

  Planted: what is wrong now, in one sentence.
  Scenario: order_check.name       a test of reference_test that plays a scenario from many seeds
  Found: what was ordered is paid  what the failure says, or a part of it: another one is not this bug. Several, between " | ":
                                   one of them
  Seeds: 20                        within so many

What is patched is copied into BUILD/planted/NAME, never changed in the tree. Compiled are the patched sources, as in BUILD; a
header cannot be patched, for all that include it would have to be compiled, too. The scenario begins at its first seed, without
its known cases, which would find a bug before any seed does. What it finds it makes smaller, so the least plan of faults that
brings the bug about is in the table. Two at a time.

A bug that ends the process, by an assertion or because tasks of a killed program do not end, is found by what is said then, and its
plan is the one that was drawn.

Red is a bug that is not found within its seeds, and a patch that no longer fits: that is looked at first, for all of them. With
--seconds no further bug is begun after so long, but one is at least, and every day another one is the first: for CI. Those that
were not begun are named.
"""

import argparse
import collections
import concurrent.futures
import json
import os
import re
import subprocess
import sys
import time

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
HOUSE = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(HOUSE, "tools/common"))
import patched_copy  # noqa: E402  the path is set above
from patched_copy import Misfit  # noqa: E402  the path is set above

FOLDER = "tests/sim/planted"
HEAD = {"Planted": "what is wrong", "Scenario": "the test that finds it", "Found": "what its failure says",
        "Seeds": "within how many"}
PROGRAM = "reference_test"
AT_ONCE = 2
SECONDS_MAX = 600  # of a scenario, the making smaller of its plan included
SECONDS_PER_DAY = 86_400

# `end`: passes, fails, or dies. `seed`: that failed, and after how many it did; `plan`: the least one. `what`: one line, or all of
# what was printed where the process has died.
Outcome = collections.namedtuple("Outcome", "end seed seeds plan what seconds")

FAILED = re.compile(r"sim::check failed on seed (\d+), after ([\d,]+) seeds?: (.*)")
FAILED_AS_A_WHOLE = re.compile(r"sim::check failed: (.*)")  # not deterministic, or something was never true
PLAN = re.compile(r"^  plan    (.*?)(?:, the (?:least|smallest found) of .*)?$", re.MULTILINE)
# What a process that dies says of the seed that it ran.
DIED = re.compile(r"^levity: this happened in a check, at seed (\d+)\b.*\nlevity: to meet it again: LEVITY_SIM_SEED=\d+"
                  r"(?: LEVITY_SIM_PLAN='([^']*)')?", re.MULTILINE)
PASSED = re.compile(r"^\[  PASSED  \] 1 test", re.MULTILINE)


def check(bug):
    if not re.fullmatch(r"[1-9]\d*", bug.head["Seeds"]):
        raise Misfit(f"{bug.path} cannot be read: its line \"Seeds: \" has a number, 1 or more")
    headers = [path for path in bug.patched if not path.endswith(".cpp")]
    if headers:
        raise Misfit(f"{bug.path} patches {headers[0]}: break a source, which alone is compiled anew")


def fits(root, folder, bug):
    """Nothing, or a sentence why a patch cannot be used."""
    try:
        patched_copy.copy_and_patch(root, bug, os.path.join(folder, "planted", bug.name))
    except Misfit as wrong:
        return str(wrong)
    return None


def build(root, folder, bug):
    """The program with the bug in it, from a copy that fits()."""
    of = patched_copy.Build(root, folder)
    objects = [of.compile(bug, path) for path in bug.patched]
    return of.link(bug, of.link_command(bug, PROGRAM), objects, PROGRAM)


def read_outcome(code, text, seconds):
    """What a program that played a scenario came to; None: it played none."""
    failed = FAILED.search(text)
    if failed:
        plan = PLAN.search(text, failed.end())
        seeds = int(failed.group(2).replace(",", ""))
        return Outcome("fails", int(failed.group(1)), seeds, plan.group(1) if plan else "", failed.group(3), seconds)
    as_a_whole = FAILED_AS_A_WHOLE.search(text)
    if as_a_whole:
        return Outcome("fails", 0, 0, "", as_a_whole.group(1), seconds)
    if code == 0 and PASSED.search(text):
        return Outcome("passes", 0, 0, "", "", seconds)
    died = list(DIED.finditer(text))
    if died:
        seed, plan = died[-1].groups()
        return Outcome("dies", int(seed), int(seed), plan or "", text.strip(), seconds)
    return None


def play(program, bug):
    """Plays the scenario of a bug."""
    began = time.monotonic()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LEVITY_SIM_")}
    environment |= {"LEVITY_SIM_SEEDS": bug.head["Seeds"], "LEVITY_SIM_KNOWN": "0"}
    try:
        done = subprocess.run([program, f"--gtest_filter={bug.head['Scenario']}"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, errors="replace", check=False, timeout=SECONDS_MAX,
                              cwd=os.path.dirname(program), env=environment)
    except subprocess.TimeoutExpired:
        raise Misfit(f"{bug.name} was not over within {SECONDS_MAX} s: {bug.what}") from None
    outcome = read_outcome(done.returncode, done.stdout, time.monotonic() - began)
    if outcome is None:
        raise Misfit(f"{bug.path} names the scenario {bug.head['Scenario']}, which plays nothing and ends with {done.returncode}: "
                     f"{done.stdout.strip()[-300:]}")
    return outcome


def is_found(bug, outcome):
    return outcome.end != "passes" and any(words in outcome.what for words in bug.head["Found"].split(" | "))


def try_out(root, folder, bug, late):
    """What became of a bug; a sentence why it could not be tried; None: the time was over before it began."""
    if late():
        return None
    try:
        return play(build(root, folder, bug), bug)
    except Misfit as wrong:
        return str(wrong)


# --- what is told -----------------------------------------------------------------------------------------------------


def why_red(bug, outcome):
    scenario = bug.head["Scenario"]
    if outcome.end == "passes":
        return f"{bug.name} is not found by {scenario} within {bug.head['Seeds']} seeds: {bug.what}"
    said = outcome.what if outcome.end == "fails" else outcome.what[-600:]
    return f"{bug.name} makes {scenario} fail, but not with \"{bug.head['Found']}\": {said}"


def tell(bug, outcome, found):
    seeds = f"seed {outcome.seed} of at most {bug.head['Seeds']}" if outcome.end != "passes" else f"in {bug.head['Seeds']} seeds"
    plan = "" if outcome.end == "passes" else outcome.plan or "no fault"
    if outcome.end == "dies":
        plan += " (the process ends: as drawn)"
    print(f"{'found' if found else 'NOT FOUND':9} {bug.name:62} {bug.head['Scenario']:50} {seeds:22} {outcome.seconds:6.1f} s  "
          f"{plan}", flush=True)


def main(arguments):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", help=argparse.SUPPRESS)
    parser.add_argument("--root", default=HOUSE, help=argparse.SUPPRESS)
    parser.add_argument("--json", help=argparse.SUPPRESS)
    parser.add_argument("--seconds", type=float, help=argparse.SUPPRESS)
    parser.add_argument("names", nargs="*", help=argparse.SUPPRESS)
    options = parser.parse_intermixed_args(arguments)
    folder = os.path.abspath(options.build)
    try:
        wanted = patched_copy.chosen(options.root, FOLDER, HEAD, check, options.names)
    except Misfit as wrong:
        print(f"levity: {wrong}", file=sys.stderr)
        return 2
    if options.seconds is not None:
        first = int(time.time() // SECONDS_PER_DAY) % len(wanted)
        wanted = wanted[first:] + wanted[:first]
    misfits = {bug.name: why for bug in wanted if (why := fits(options.root, folder, bug))}
    tried = [bug for bug in wanted if bug.name not in misfits]
    red, rows, left = list(misfits.values()), [], []
    began = time.monotonic()

    def late(bug):
        return options.seconds is not None and bug is not tried[0] and time.monotonic() - began > options.seconds

    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        outcomes = pool.map(lambda one: try_out(options.root, folder, one, lambda: late(one)), tried)
        for bug, outcome in zip(tried, outcomes):
            if outcome is None:
                left.append(bug.name)
                continue
            if isinstance(outcome, str):
                red.append(outcome)
                continue
            found = is_found(bug, outcome)
            if not found:
                red.append(why_red(bug, outcome))
            tell(bug, outcome, found)
            rows.append({"bug": bug.name, "what": bug.what, "scenario": bug.head["Scenario"], "found": found, "seed": outcome.seed,
                         "seeds": outcome.seeds, "seeds_max": int(bug.head["Seeds"]), "seconds": round(outcome.seconds, 2),
                         "plan": outcome.plan, "failure": outcome.what[-2000:]})
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump(rows, file, indent=1)
            file.write("\n")
    print(f"\n{len(wanted)} planted, {len(rows)} tried, {sum(row['found'] for row in rows)} found")
    if left:
        print(f"not begun within {options.seconds:g} s: {', '.join(left)}")
    for sentence in red:
        print(f"FAILS  {sentence}")
    return 1 if red else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
