#!/usr/bin/env python3
"""What the public headers cost whoever includes them: seconds of user CPU, over what an empty file takes.

usage: headers.py [--runs N] [--with COMPILER]... [HEADER...]

A header is measured alone, `-std=c++23 -fsyntax-only`, the median of N runs (1). `levity/levity.hpp`, the headers that the README's
echo program needs, and that program compiled as a whole are always measured, 7 times at least. Without HEADER: all of them, dearest
first. Fails when levity.hpp, which that program includes, costs more than 0.8 s.
Other work on the machine makes the figures larger: caches and sibling threads count as user time.
"""

import argparse
import os
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile

HOUSE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
INCLUDE = os.path.join(HOUSE, "include")
TARGET_S = 0.8  # of levity.hpp, for each compiler
HELLO = ("levity/io/tcp.hpp", "levity/io/tcp_listener.hpp", "levity/runtime/run.hpp", "levity/task/scope.hpp")


def public_headers():
    """All but those of */detail/, which no user names; "levity/task/scope.hpp" and so on."""
    found = []
    for folder, _, files in os.walk(os.path.join(INCLUDE, "levity")):
        if os.path.basename(folder) != "detail":
            found += [os.path.relpath(os.path.join(folder, name), INCLUDE) for name in files if name.endswith(".hpp")]
    return sorted(found)


def hello_service():
    """The first program of the README."""
    with open(os.path.join(HOUSE, "README.md"), encoding="utf-8") as file:
        return re.search(r"```cpp\n(.*?)```", file.read(), re.DOTALL).group(1)


def compile_text(compiler, text, *options):
    """Compiles `text`; the finished process."""
    with tempfile.TemporaryDirectory(prefix="levity-headers-") as folder:
        source = os.path.join(folder, "x.cpp")
        with open(source, "w", encoding="utf-8") as file:
            file.write(text)
        return subprocess.run([compiler, "-std=c++23", "-I", INCLUDE, *options, "-c", source, "-o", os.path.join(folder, "x.o")],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)


def seconds(compiler, text, runs, *options):
    """The median of the user CPU that compiling `text` takes."""
    taken = []
    for _ in range(runs):
        before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
        done = compile_text(compiler, text, *options)
        taken.append(resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before)
        if done.returncode != 0:
            sys.exit(f"levity: {compiler} refuses\n{text}\n{done.stdout}")
    return statistics.median(taken)


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--with", dest="compilers", action="append")
    parser.add_argument("headers", nargs="*")
    arguments = parser.parse_args()
    compilers = [each for each in arguments.compilers or ["g++", "clang++-19"] if shutil.which(each)]
    if not compilers:
        sys.exit("levity: there is no compiler to measure: install g++ or clang-19")
    often = max(arguments.runs, 7)

    def row(name, text, runs, *options, over=None):
        found = [seconds(each, text, runs, *options) for each in compilers]
        if over is not None:
            found = [value - base for value, base in zip(found, over)]
        print("".join(f"{value:11.2f}" for value in found) + f"  {name}", flush=True)
        return found

    print("".join(f"{each:>11}" for each in compilers) + "  seconds of user CPU")
    empty = row("an empty file", "", often, "-fsyntax-only")
    row("what the echo program needs, over an empty file",
        "".join(f"#include <{header}>\n" for header in HELLO), often, "-fsyntax-only", over=empty)
    whole = row(f"levity/levity.hpp, over an empty file; at most {TARGET_S}", "#include <levity/levity.hpp>\n", often,
                "-fsyntax-only", over=empty)
    hello = hello_service()
    for level in ("-O0", "-O2"):
        row(f"the README's echo program in all, {level}", hello, often, level)
    wanted = arguments.headers or [each for each in public_headers() if each != "levity/levity.hpp"]
    costs = []
    for header in wanted:
        taken = [seconds(each, f"#include <{header}>\n", arguments.runs, "-fsyntax-only") for each in compilers]
        costs.append(([value - base for value, base in zip(taken, empty)], header))
    for values, header in sorted(costs, reverse=True):
        print("".join(f"{value:11.2f}" for value in values) + f"  {header}")
    return 0 if max(whole) <= TARGET_S else 1


if __name__ == "__main__":
    sys.exit(main())
