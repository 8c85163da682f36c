#!/usr/bin/env python3
"""The programs of the model lane as tools run them: which scenarios there are, and what became of one.

Not a command: weaken.py and planted.py use it, ./dev model runs the programs themselves.
"""

import collections
import glob
import os
import re
import subprocess

CPU_SECONDS = 300  # after which a run that makes no steps any more is ended

Scenario = collections.namedtuple("Scenario", "program name")
# `end`: passes, fails, or hangs (an execution makes no further step, and no end). `complete`: these are all executions. `what`: the
# first line of a failure. `made`: the places of `weaken` at which an operation was made.
Outcome = collections.namedtuple("Outcome", "end complete executions seconds what made")

RESULT = re.compile(r"^(ok|FAILS) +\S+ +(\d+) executions(, all(?: within bounds \([^)]*\))?)?, \d+ redundant, ([\d.]+) s",
                    re.MULTILINE)
MADE = re.compile(r"^ +made (\S+) \d+ times$", re.MULTILINE)
SIGXCPU = 24


class Broken(Exception):
    """A program of scenarios that did not do what it is for."""


def scenarios(build):
    """All scenarios of the programs in a build folder."""
    found = []
    for program in sorted(glob.glob(os.path.join(build, "*_model"))):
        if os.access(program, os.X_OK) and not os.path.isdir(program):
            names = subprocess.run([program, "--list"], stdout=subprocess.PIPE, text=True, check=True, timeout=60).stdout
            found += [Scenario(program, name) for name in names.split()]
    if not found:
        raise Broken(f"{build} has no programs of scenarios; ./dev model builds them")
    return found


def run(scenario, executions, weaken=(), random=False, cpu_seconds=CPU_SECONDS):
    """Explores one scenario, with the operations at the places `weaken` weakened."""
    command = [scenario.program, "--only", scenario.name, "--executions", str(executions), *(["--random"] if random else [])]
    done = subprocess.run(["sh", "-c", f'ulimit -c 0; ulimit -t {cpu_seconds}; exec "$0" "$@"', *command], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, errors="replace", check=False,
                          env={**os.environ, "LEVITY_MODEL_WEAKEN": ",".join(weaken)})
    if done.returncode in (-SIGXCPU, -9):
        return Outcome("hangs", False, 0, cpu_seconds, "an execution has no end, and no further step", set())
    result = RESULT.search(done.stdout)
    if result is None or done.returncode not in (0, 1, 3):
        raise Broken(f"{' '.join(command)} ended with {done.returncode}: {(done.stderr or done.stdout).strip()[-300:]}")
    mark, count, complete, seconds = result.groups()
    after = done.stdout[result.end():].split("\n", 2)[-1].strip().split("\n", 1)[0]
    return Outcome("fails" if mark == "FAILS" else "passes", complete is not None, int(count), float(seconds),
                   after if mark == "FAILS" else "", set(MADE.findall(done.stdout)))
