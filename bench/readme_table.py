#!/usr/bin/env python3
"""Writes the tables of a recorded run: a short one into README.md, by what a reader asks, and the whole into docs/bench/README.md.

  bench/readme_table.py [--record FILE] [--root FOLDER]            rewrites both
  bench/readme_table.py --check [--record FILE] [--root FOLDER]    exit 2 when one of them is not that of the record
  bench/readme_table.py --join FILE...                             first makes the record of those of groups of rows

They stand between <!-- bench:begin --> and <!-- bench:end -->. The short table has the rows of QUESTIONS and, whatever they
are, all that do not hold. A row without a target is not judged and counts neither way. The sentence below a table says which
rows of today's bench the record does not have.
"""

import argparse
import fnmatch
import json
import os
import sys

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)

from harness.parts import joined  # noqa: E402
from harness.report import goal, number  # noqa: E402
from harness.rows import ROWS  # noqa: E402

BEGIN, END = "<!-- bench:begin -->", "<!-- bench:end -->"
SHORT = {"MiB RSS kept 1 s after the end": "MiB RSS kept 1 s after", "x": "×"}

# A question, whose rows it is about, and those of them that answer it, in the words of who asks.
QUESTIONS = (
    ("Light?", ("task/parked/bytes", "task/parked/returned", "task/parked/visible", "task/parked/receive", "fragmentation",
                "idle_connections/bytes", "idle/*"), {
        "task/parked/bytes": "a parked task",
        "task/parked/returned": "what a million tasks leave behind",
        "idle_connections/bytes": "an idle connection",
        "idle/wakeups": "a server that nobody talks to, 10 s",
    }),
    ("Fast?", ("await/*", "task/spawn_join", "tree/*", "wake/*", "timer/*", "channel/*", "echo/*", "http/*"), {
        "task/spawn_join": "start a task and join it, on one worker",
        "await/call": "`co_await` a coroutine that does not wait",
        "channel/hop/buffered": "a value through a channel",
        "echo/64B/256conn/saturated": "echo, 256 connections, over the same in C",
        "http/small_json/cpu": "HTTP, a small document, over the same in C",
    }),
    ("Steady?", ("growth/*", "task/parked/wave10_over_wave2", "idle_connections/*", "false_sharing",
                 "steady/*"), {
        "growth/tasks": "a task beside a million that sleep, by one beside a thousand",
        "idle_connections/cpu": "a request beside 18,000 idle connections, by one beside 100",
        "steady/one_spinner": "p99.9 of an echo beside a task that computes, above that of C beside a process that does",
        "steady/five_in_vfork": "p99.9 of an echo beside five tasks that nothing can wake",
        "steady/calls_undeclared": "echoes beside 100 tasks that sleep without saying so, by those without them",
        "steady/no_stop_the_world/cancel": "how late a task may be while a million are cancelled",
    }),
    ("From a seed?", ("sim/*",), {
        "sim/orders": "simulated seconds of the order service at 1,000 orders a second, in one",
        "sim/idle_hour": "a simulated hour in which nobody orders",
    }),
    ("Files?", ("file/*",), {
        "file/read_4k_random/32": "4 KiB from the page cache, 32 at a time",
        "file/append_fdatasync/32": "4 KiB appended and on the disk, 32 at a time",
    }),
)

# Rows that stand in the short table only when they do not hold, in the same words.
LOSSES = {
    "fragmentation": "memory kept when 99 % of a million tasks have ended, by the bytes that live",
    "echo/64B/2000conn/saturated": "echo, 2,000 connections, over the same in C",
    "echo/64B/2000conn/20k_per_s": "echo, 2,000 connections at 20,000 requests a second, over the same in C",
    "file/read_4k_random_direct/256/pool_by_levity":
        "4 KiB past the page cache, 256 at a time: the time of 64 threads in C by that of levity",
    "file/append_fdatasync/256/pool_by_levity":
        "4 KiB appended and on the disk, 256 at a time: the time of 64 threads in C by that of levity",
}


def is_judged(record):
    """A row that could not be measured is judged, too: it does not hold."""
    return record["target"] is not None or record["judged"] == "missing"


def cells(record):
    if record["judged"] == "missing":
        return "– | – | – | – | **missing** |"
    judged = record["judged"] if is_judged(record) else None
    value = f"{bold(number(record['value']), judged == 'value')} {SHORT.get(record['unit'], record['unit'])}"
    ratio = "–"
    if record["ratio"] is not None:
        ratio = bold(f"{record['ratio']:.2f}", judged == "ratio")
        if record["ratio_upper"] is not None:
            upper = bold(f"{record['ratio_upper']:.2f}", judged == "ratio_upper")
            ratio += f" (≤ {upper})"
    floor = number(record["floor"]) if record["floor"] is not None else "–"
    if judged is None:
        return f"{value} | {floor} | {ratio} | – | – |"
    must = goal(record).replace("<=", "≤").replace(">=", "≥").replace("x", "×")
    for word in ("upper ", "ratio "):
        must = must.replace(word, "")
    return f"{value} | {floor} | {ratio} | {must} | {'yes' if record['pass'] else '**no**'} |"


def bold(text, is_bold):
    return f"**{text}**" if is_bold else text


def question_of(name):
    return next((question for question, rows, _ in QUESTIONS if any(fnmatch.fnmatchcase(name, row) for row in rows)), "Else?")


def short_rows(recorded):
    """What is asked for, in the order of the questions, and what does not hold."""
    for question in [each for each, _, _ in QUESTIONS] + ["Else?"]:
        words = next((words for each, _, words in QUESTIONS if each == question), {})
        mine = {record["name"]: record for record in recorded["rows"] if question_of(record["name"]) == question}
        picked = [name for name in words if name in mine]
        picked += [name for name, record in mine.items() if is_judged(record) and not record["pass"] and name not in words]
        for place, name in enumerate(picked):
            said = words.get(name) or LOSSES.get(name)
            said = f"{said}, `{name}`" if said else f"`{name}`"
            yield f"| {f'**{question}**' if place == 0 else ''} | {said} | {cells(mine[name])}"


def last_line(recorded):
    machine = recorded["machine"]
    spreads = sorted(record["spread"] for record in recorded["rows"] if record["ratio"] is not None)
    spread = ""
    if spreads:
        spread = f" Quartiles of the ratios lie {spreads[0]:.0%} to {spreads[-1]:.0%} of their median apart."
    if recorded["foreign_share"] > 0.1:
        spread += f" Other programs used up to {recorded['foreign_share']:.0%} of the server's core meanwhile."
    kind = "virtual, " if machine["virtual"] else ""
    command = "./dev bench" + (" --quick" if recorded["mode"] == "quick" else "")
    return (f"`{command}` on {recorded['date'][:10]}: {machine['cpu']}, {kind}{machine['cores']} cores, Linux {machine['kernel']}, "
            f"{machine['compiler']} {machine['flags']}, commit {machine['commit']}.{spread}")


def held(recorded):
    judged = [record for record in recorded["rows"] if is_judged(record)]
    return f"Of {len(judged)} rows with a target {sum(record['pass'] for record in judged)} hold"


def not_there(recorded):
    """How many rows of today's bench the record does not have, and of which groups."""
    have = {record["name"] for record in recorded["rows"]}
    groups = {}
    for name in (name for row in ROWS for name in row.names):
        groups.setdefault(name.split("/")[0], []).append(name not in have)
    missing = sum(sum(each) for each in groups.values())
    if missing == 0:
        return "The record has every row of `bench/run --list`."
    named = [f"{'all' if all(each) and len(each) > 1 else f'{sum(each)} of'} {len(each)} of `{group}`"
             for group, each in groups.items() if any(each)]
    return (f"Of the {sum(len(each) for each in groups.values())} rows of `bench/run --list` {missing} are not in this record: "
            f"{', '.join(named)}.")


BOLD = "The bold number of a row is the one that is judged; a row without a target is shown and not judged."


def short_block(recorded):
    return "\n".join([
        BEGIN,
        "| | what, and its row | levity | floor | ratio (95 % bound) | must | holds |",
        "|---|---|---|---|---|---|---|",
        *short_rows(recorded),
        "",
        f"{held(recorded)}; every one that does not is in this table, [all of them](docs/bench/README.md) in the other. {BOLD} "
        f"{not_there(recorded)} {last_line(recorded)}",
        END])


def whole_block(recorded):
    return "\n".join([
        BEGIN,
        "| row | levity | floor | ratio (95 % bound) | must | holds |",
        "|---|---|---|---|---|---|",
        *[f"| `{record['name']}` | {cells(record)}" for record in recorded["rows"]],
        "",
        f"{held(recorded)}. {BOLD} {not_there(recorded)} {last_line(recorded)}",
        END])


def put(path, wanted, check):
    """0: it is there, or was written; else why not."""
    with open(path, encoding="utf-8") as file:
        text = file.read()
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        print(f"{path} has no single block between {BEGIN} and {END}; add the two lines", file=sys.stderr)
        return 1
    before, after = text[:text.index(BEGIN)], text[text.index(END) + len(END):]
    if before + wanted + after == text:
        return 0
    if check:
        print(f"{path}: its table is not that of the record; run bench/readme_table.py", file=sys.stderr)
        return 2
    with open(path, "w", encoding="utf-8") as file:
        file.write(before + wanted + after)
    return 0


def load(path):
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", default=os.path.dirname(HERE), help="where README.md and docs/bench are")
    parser.add_argument("--record", help="docs/bench/record.json of the root, if not given")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--join", nargs="+", metavar="FILE", help="records of `./dev bench GROUP --json FILE`, of one commit")
    options = parser.parse_args()
    if options.join and options.check:
        parser.error("--check writes nothing, and --join does; give one of them")
    folder = os.path.join(options.root, "docs", "bench")
    path = options.record or os.path.join(folder, "record.json")
    if options.join:
        try:
            recorded = joined([(part, load(part)) for part in options.join])
        except ValueError as why:
            print(f"readme_table: {why}", file=sys.stderr)
            return 1
        with open(path, "w", encoding="utf-8") as file:
            json.dump(recorded, file, indent=1)
            file.write("\n")
    recorded = load(path)
    return max(put(os.path.join(options.root, "README.md"), short_block(recorded), options.check),
               put(os.path.join(folder, "README.md"), whole_block(recorded), options.check))


if __name__ == "__main__":
    sys.exit(main())
