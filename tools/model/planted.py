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
import collections
import concurrent.futures
import json
import os
import re
import shlex
import shutil
import subprocess
import sys

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
HOUSE = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, HERE)
import scenarios  # noqa: E402

FOLDER = "tests/model/planted"
EXECUTIONS = 100_000
AT_ONCE = 2

Bug = collections.namedtuple("Bug", "name path what program scenario found patched also")


class Misfit(Exception):
    """A patch that cannot be used, in one sentence."""


def read_bug(root, path):
    with open(os.path.join(root, path), encoding="utf-8") as file:
        text = file.read()
    head = dict(re.findall(r"^(Planted|Scenario|Found|Also): *(.*)$", text.split("\n--- ", 1)[0], re.MULTILINE))
    scenario = head.get("Scenario", "").split()
    patched = re.findall(r"^\+\+\+ b/(\S+)", text, re.MULTILINE)
    if "Planted" not in head or len(scenario) != 2 or not head.get("Found") or not patched:
        raise Misfit(f"{path} cannot be read: write a line \"Planted: \" what is wrong, a line \"Scenario: \" program and name, "
                     "a line \"Found: \" what its failure says, and a patch from a/ to b/ below them")
    name = os.path.splitext(os.path.basename(path))[0]
    return Bug(name, path, head["Planted"], *scenario, head["Found"], patched, head.get("Also", "").split())


def bugs(root):
    """All that are planted, by name."""
    found = {}
    for folder, folders, names in os.walk(os.path.join(root, FOLDER)):
        folders.sort()
        for name in sorted(names):
            if name.endswith(".patch"):
                bug = read_bug(root, os.path.relpath(os.path.join(folder, name), root))
                if bug.name in found:
                    raise Misfit(f"{bug.path} and {found[bug.name].path} have one name: rename one of them")
                found[bug.name] = bug
    return found


# --- building ---------------------------------------------------------------------------------------------------------


def run(command, folder, why):
    done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
                          check=False, timeout=1200)
    if done.returncode != 0:
        raise Misfit(f"{why}: {done.stdout.strip()[-800:]}")
    return done.stdout


def copy_and_patch(root, bug, place):
    shutil.rmtree(place, ignore_errors=True)
    for path in bug.patched:
        if not os.path.exists(os.path.join(root, path)):
            raise Misfit(f"{bug.path} is of {path}, which is not there: make the patch anew")
        os.makedirs(os.path.dirname(os.path.join(place, path)), exist_ok=True)
        shutil.copy(os.path.join(root, path), os.path.join(place, path))
    run(["patch", "-p1", "-F0", "-s", "-f", "--no-backup-if-mismatch", "-i", os.path.join(root, bug.path)], place,
        f"{bug.path} does not fit the sources any more; make it anew")


def to_compile(root, bug, known):
    """The sources that must be compiled anew: those patched, those that are about a patched header, and the scenario's."""
    headers = [path for path in bug.patched if path.endswith(".hpp")]
    about = [re.sub(r"(/detail)?/([^/]+)\.hpp$", r"/\2.cpp", re.sub(r"^include/levity/", "src/", path)) for path in headers]
    wanted = [*(path for path in bug.patched if path not in headers), *(path for path in about if path in known), *bug.also]
    for path in sorted(known):
        if path.endswith("_model.cpp"):
            with open(os.path.join(root, path), encoding="utf-8") as file:
                if re.search(rf"\bLEVITY_SCENARIO\({bug.scenario}\b", file.read()):
                    return list(dict.fromkeys([*wanted, *([path] if headers else [])]))
    raise Misfit(f"{bug.path} names the scenario {bug.scenario}, and no source has it: name one of {bug.program} --list")


def build(root, folder, bug):
    """The program of the bug's scenario, with the bug in it."""
    place = os.path.join(folder, "planted", bug.name)
    copy_and_patch(root, bug, place)
    with open(os.path.join(folder, "compile_commands.json"), encoding="utf-8") as file:
        known = {os.path.relpath(each["file"], root): each for each in json.load(file)}
    objects = []
    for path in to_compile(root, bug, known):
        if path not in known:
            raise Misfit(f"{bug.path} wants {path} compiled, which is no source of this build: mend the patch's head")
        command = shlex.split(known[path]["command"])
        here = os.path.join(place, path)
        first = next(at for at, word in enumerate(command) if word.startswith("-"))
        command[command.index("-o") + 1] = made = os.path.join(place, path.replace("/", "_") + ".o")
        command[command.index("-c") + 1] = here if os.path.exists(here) else os.path.join(root, path)
        command[first:first] = [f"-I{place}/include", f"-I{place}/src"]
        run([*command, "-O0", "-w"], known[path]["directory"], f"{bug.path} does not compile")
        objects.append(made)
    # The last command for a program links it: `: && COMPILER ... && :`.
    lines = run(["ninja", "-C", folder, "-t", "commands", bug.program], root, f"{bug.path} is of no program of {folder}").strip()
    link = shlex.split(re.sub(r"^: && | && :$", "", lines.split("\n")[-1]))
    own = [word for word in link if word.endswith("_model.cpp.o")]
    if any(made.endswith("_model.cpp.o") for made in objects):  # the scenario's alone; the others are of the old headers
        link = [word for word in link if word not in own[1:]]
        link[link.index(own[0])] = objects.pop()
    first = next(at for at, word in enumerate(link) if word.endswith(".o"))
    link[first:first] = objects
    link[link.index("-o") + 1] = program = os.path.join(place, bug.program)
    run(link, folder, f"{bug.path} cannot be linked")
    return program


# --- what is told -----------------------------------------------------------------------------------------------------


def try_out(root, folder, bug):
    """What became of a bug: found or not, or a sentence why it could not be tried."""
    try:
        one = scenarios.Scenario(build(root, folder, bug), bug.scenario)
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
        known = bugs(options.root)
    except Misfit as wrong:
        print(f"levity: {wrong}", file=sys.stderr)
        return 2
    unknown = [name for name in options.names if name not in known]
    if unknown or not known:
        print(f"levity: there is no planted bug {' '.join(unknown)}; those there are: {', '.join(sorted(known))}", file=sys.stderr)
        return 2
    wanted = [known[name] for name in options.names or sorted(known)]
    rows, red = [], []
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        for bug, outcome in zip(wanted, pool.map(lambda one: try_out(options.root, folder, one), wanted)):
            if isinstance(outcome, str):
                red.append(outcome)
                continue
            found = outcome.end != "passes" and bug.found in outcome.what
            if outcome.end == "passes":
                red.append(f"{bug.name} is not found by {bug.scenario} in {outcome.executions} executions: {bug.what}")
            elif not found:
                red.append(f"{bug.name} makes {bug.scenario} fail, but not with \"{bug.found}\": {outcome.what}")
            print(f"{'found' if found else 'NOT FOUND':9} {bug.name:40} {bug.scenario:58} {outcome.executions:>7} "
                  f"{outcome.seconds:7.2f} s", flush=True)
            rows.append({"bug": bug.name, "what": bug.what, "scenario": bug.scenario, "found": found,
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
