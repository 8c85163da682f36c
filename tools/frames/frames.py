#!/usr/bin/env python3
"""How large each coroutine's frame is: frames.py FILE... [--against FILE...], for programs, libraries and objects.

A frame's size stands in the code: where a coroutine starts, it passes a constant to frame_allocate_slowly() for the case
that its thread has no block at hand. The constant is read from the disassembly, the coroutine is the function around it.
One that was inlined is listed under the function that calls it, with the number of sizes found there. x86-64 only.
Rejected: debug information, for a default build has line tables alone; compiler remarks, for g++ has none.
"""

import argparse
import collections
import re
import subprocess
import sys

FUNCTION = re.compile(r"^[0-9a-f]+ <(.+)>:$")
CONSTANT = re.compile(r"\bmov\s+\$0x([0-9a-f]+),%[er]di\b")
OTHER_WRITE = re.compile(r",%(?:[er]di|dil?)\b")
ALLOCATION = re.compile(r"frame_allocate_slowly")
TRANSFER = re.compile(r"\t(?:call|jmp)\b|R_X86_64_PL")
DISTANCE_MAX = 12  # instructions between the constant and the call


def sizes_in(lines):
    """{mangled name: {sizes}} out of objdump -dr."""
    found = collections.defaultdict(set)
    name, size, age = None, None, 0
    for line in lines:
        line = line.rstrip("\n")
        opening = FUNCTION.match(line)
        if opening:
            name, size = re.sub(r"\.(cold|part|constprop|isra)[.0-9]*", "", opening.group(1)), None
            continue
        constant = CONSTANT.search(line)
        if constant:
            size, age = int(constant.group(1), 16), 0
        elif OTHER_WRITE.search(line) and not re.search(r"\b(?:cmp|test)", line):
            size = None
        elif TRANSFER.search(line) and ALLOCATION.search(line):
            if size is not None and name:
                found[name].add(size)
            size = None
        age += 1
        if age > DISTANCE_MAX:
            size = None
    return found


def demangled(names):
    names = list(names)
    done = subprocess.run(["c++filt"], input="\n".join(names), stdout=subprocess.PIPE, text=True, check=True)
    return dict(zip(names, done.stdout.split("\n")))


def report(paths):
    """{readable name: sizes, ascending}, over all files."""
    sizes = collections.defaultdict(set)
    for path in paths:
        dump = subprocess.run(["objdump", "-dr", "--no-show-raw-insn", path], stdout=subprocess.PIPE, text=True, check=True)
        for name, found in sizes_in(dump.stdout.split("\n")).items():
            sizes[name] |= found
    readable = demangled(sizes)
    merged = collections.defaultdict(set)
    for name, found in sizes.items():
        merged[readable[name].replace("levity::v0::", "levity::")] |= found
    return {name: sorted(found) for name, found in merged.items()}


def text_of(sizes):
    return "+".join(map(str, sizes)) if sizes else "-"


def main():
    parser = argparse.ArgumentParser(description="Sizes of coroutine frames in bytes, largest first.")
    parser.add_argument("files", nargs="+")
    parser.add_argument("--against", nargs="+", default=[], help="the same code from another compiler")
    arguments = parser.parse_args()
    try:
        here, other = report(arguments.files), report(arguments.against)
    except (OSError, subprocess.CalledProcessError) as error:
        sys.exit(f"levity: cannot read the frames: {error}; they need binutils and files that exist")
    for name in sorted(set(here) | set(other), key=lambda name: (-max(here.get(name, [0]) + other.get(name, [0])), name)):
        line = f"{text_of(here.get(name)):>12}"
        if arguments.against:
            both = name in here and name in other
            line += f"{text_of(other.get(name)):>12}{sum(other[name]) - sum(here[name]):>+8}" if both else \
                f"{text_of(other.get(name)):>12}{'':>8}"
        print(f"{line}  {name}")
    if not here:
        sys.exit("levity: no coroutine of levity was found; is this an x86-64 program that was built with it?")


if __name__ == "__main__":
    main()
