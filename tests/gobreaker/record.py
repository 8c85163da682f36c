#!/usr/bin/env python3
"""Has gobreaker itself answer traces of calls, for levity's rule of gobreaker to be held against (src/resilience/breaker_test.cpp).

  record.py [--seed N] [--traces N]     records tests/corpus/breaker/gobreaker.txt anew
  record.py --again OUT                 answers the steps of that file again, into OUT

It needs Go 1.25 or later, for time that is not the machine's, and the module github.com/sony/gobreaker/v2.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
CORPUS = os.path.normpath(os.path.join(HERE, "..", "corpus", "breaker", "gobreaker.txt"))


class Unable(Exception):
    """Why gobreaker cannot be asked here."""


def find_go():
    go = shutil.which("go") or shutil.which("/usr/local/go/bin/go")
    if go is None:
        raise Unable("Go is not here")
    version = subprocess.run([go, "env", "GOVERSION"], capture_output=True, text=True, check=False).stdout.strip()
    found = re.match(r"go1\.(\d+)", version)
    if not found or int(found.group(1)) < 25:
        raise Unable(f"it needs Go 1.25 or later, and this is {version or 'unknown'}")
    have = subprocess.run([go, "mod", "download"], cwd=HERE, capture_output=True, text=True, check=False, timeout=120)
    if have.returncode != 0:
        raise Unable(f"the module cannot be had: {have.stderr.strip()[:200]}")
    return go


def run(out, *arguments, **environment):
    done = subprocess.run([find_go(), "test", "-count=1", "-run", "Record", "-args", out, *arguments], cwd=HERE, check=False,
                          capture_output=True, text=True, env={**os.environ, **environment}, timeout=300)
    if done.returncode != 0:
        raise RuntimeError(f"go test: {(done.stdout + done.stderr).strip()[-2000:]}")


def record(seed, traces, out=CORPUS):
    run(os.path.abspath(out), LEVITY_SEED=str(seed), LEVITY_TRACES=str(traces))


def record_again(out, corpus=CORPUS):
    run(os.path.abspath(out), os.path.abspath(corpus))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--traces", type=int, default=1200)
    parser.add_argument("--again", metavar="OUT", help="answer the steps of the recording again")
    options = parser.parse_args()
    try:
        if options.again:
            record_again(options.again)
        else:
            record(options.seed, options.traces)
    except Unable as why:
        sys.exit(f"levity: {why}")


if __name__ == "__main__":
    main()
