#!/usr/bin/env python3
"""Plants known bugs into copies of the sources, one at a time, and demands that a scenario finds each: ./dev model --planted

usage: planted.py BUILD [--json FILE] [NAME...]

A bug is a file of tests/model/planted/ or a folder below: a patch to the sources, with a head

  Planted: what is wrong now, in one sentence.
  Scenario: sched_model no_task_is_left_while_a_worker_sleeps
  Found: nobody can go on         what the failure says, or a part of it: another one is not this bug
  Also: src/task/scope.cpp ...     where inline code of a patched header must be compiled anew besides

What is patched is copied into BUILD/planted/NAME, never changed in the tree. Compiled are the patched sources and, of a patched
header, the source that it is about (x.cpp of x.hpp) and that of the scenario, with the commands of BUILD but unoptimised; the rest
is linked as it is. The scenario has 100,000 executions to find it, and as many by chance where these were not all. Two at a time.

Red is a bug that is not found, and a patch that no longer fits.
"""

import argparse
import concurrent.futures
import json
import os
import re
import sys

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
HOUSE = os.path.dirname(os.path.dirname(HERE))
sys.path[:0] = [HERE, os.path.join(HOUSE, "tools/common")]
import patched_copy  # noqa: E402  the path is set above
import scenarios  # noqa: E402  the path is set above
from patched_copy import Misfit  # noqa: E402  the path is set above

FOLDER = "tests/model/planted"
HEAD = {"Planted": "what is wrong", "Scenario": "program and name", "Found": "what its failure says"}
EXECUTIONS = 100_000
AT_ONCE = 2


def program_and_scenario(bug):
    words = bug.head["Scenario"].split()
    if len(words) != 2:
        raise Misfit(f"{bug.path} cannot be read: write a line \"Scenario: \" program and name")
    return words


# --- building ---------------------------------------------------------------------------------------------------------


def to_compile(root, bug, known):
    """The sources that must be compiled anew: those patched, those that are about a patched header, and the scenario's."""
    program, scenario = program_and_scenario(bug)
    headers = [path for path in bug.patched if path.endswith(".hpp")]
    about = [re.sub(r"(/detail)?/([^/]+)\.hpp$", r"/\2.cpp", re.sub(r"^include/levity/", "src/", path)) for path in headers]
    wanted = [*(path for path in bug.patched if path not in headers), *(path for path in about if path in known),
              *bug.head.get("Also", "").split()]
    for path in sorted(known):
        if path.endswith("_model.cpp"):
            with open(os.path.join(root, path), encoding="utf-8") as file:
                if re.search(rf"\bLEVITY_SCENARIO\({scenario}\b", file.read()):
                    return list(dict.fromkeys([*wanted, *([path] if headers else [])]))
    raise Misfit(f"{bug.path} names the scenario {scenario}, and no source has it: name one of {program} --list")


def build(root, folder, bug):
    """The program of the bug's scenario, with the bug in it."""
    program, _ = program_and_scenario(bug)
    of = patched_copy.Build(root, folder)
    patched_copy.copy_and_patch(root, bug, of.place_of(bug))
    objects = [of.compile(bug, path, ["-O0", "-w"]) for path in to_compile(root, bug, of.known)]
    link = of.link_command(bug, program)
    own = [word for word in link if word.endswith("_model.cpp.o")]
    if any(made.endswith("_model.cpp.o") for made in objects):  # the scenario's alone; the others are of the old headers
        link = [word for word in link if word not in own[1:]]
        link[link.index(own[0])] = objects.pop()
    return of.link(bug, link, objects, program)


# --- what is told -----------------------------------------------------------------------------------------------------


def try_out(root, folder, bug):
    """What became of a bug: found or not, or a sentence why it could not be tried."""
    try:
        _, scenario = program_and_scenario(bug)
        one = scenarios.Scenario(build(root, folder, bug), scenario)
        outcome = scenarios.run(one, EXECUTIONS)
        if outcome.end == "passes" and not outcome.complete:
            outcome = scenarios.run(one, EXECUTIONS, random=True)
        return outcome
    except (Misfit, scenarios.Broken) as wrong:
        return str(wrong)


def main(arguments):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", help=argparse.SUPPRESS)
    parser.add_argument("--root", default=HOUSE, help=argparse.SUPPRESS)
    parser.add_argument("--json", help=argparse.SUPPRESS)
    parser.add_argument("names", nargs="*", help=argparse.SUPPRESS)
    options = parser.parse_intermixed_args(arguments)
    folder = os.path.abspath(options.build)
    try:
        wanted = patched_copy.chosen(options.root, FOLDER, HEAD, program_and_scenario, options.names)
    except Misfit as wrong:
        print(f"levity: {wrong}", file=sys.stderr)
        return 2
    rows, red = [], []
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        for bug, outcome in zip(wanted, pool.map(lambda one: try_out(options.root, folder, one), wanted)):
            if isinstance(outcome, str):
                red.append(outcome)
                continue
            _, scenario = program_and_scenario(bug)
            wanted_words = bug.head["Found"]
            found = outcome.end != "passes" and wanted_words in outcome.what
            if outcome.end == "passes":
                red.append(f"{bug.name} is not found by {scenario} in {outcome.executions} executions: {bug.what}")
            elif not found:
                red.append(f"{bug.name} makes {scenario} fail, but not with \"{wanted_words}\": {outcome.what}")
            print(f"{'found' if found else 'NOT FOUND':9} {bug.name:40} {scenario:58} {outcome.executions:>7} "
                  f"{outcome.seconds:7.2f} s", flush=True)
            rows.append({"bug": bug.name, "what": bug.what, "scenario": scenario, "found": found,
                         "executions": outcome.executions, "seconds": outcome.seconds, "failure": outcome.what})
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump(rows, file, indent=1)
            file.write("\n")
    print(f"\n{len(wanted)} planted, {sum(row['found'] for row in rows)} found")
    for sentence in red:
        print(f"FAILS  {sentence}")
    return 1 if red else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
