#!/usr/bin/env python3
"""Takes the ends of happens-before edges away, one at a time, and says which scenario notices: ./dev model --weaken EDGE...|all

usage: weaken.py BUILD [--executions N] [--minutes N] [--expected] [--remember] [--json FILE] EDGE...|all
       weaken.py --check

An end is one half of an operation that cites an edge (edges.py): its release, its acquire, its seq_cst, the acquire of an exchange
that fails, a fence, or a guard of a lock, which then keeps the others out as before, and orders nothing. First each scenario of the
programs in BUILD is explored as it is, and it is noted which ends it passes; then those that pass an end are
explored without it, shortest first, until one fails: the end is killed. Each has N executions, 200,000 unless told, and as many by
chance where these were not all; all of them are asked briefly before one is for long. Who fails by chance is asked once more with
nothing weakened, and kills nothing if he fails then, too. Runs go two at a time. Ends that no scenario passes are told as not
reached.

Red is an end that no scenario notices, or passes, unless tools/model/unkilled.txt, or unreached.txt, lists it with a reason; and
one that is listed there and noticed, or passed, or is no end at all. --expected asks about those that are listed very briefly: they
cost the most, and say little that is new. And it asks for each end the scenario first that has noticed it before, of
tools/model/noticed_by.txt, without a look at the others unless that one has nothing to say; --remember writes that file. Nothing is
green by it that would else be red: CI goes through all scenarios with nothing weakened, too. --check tells of ends that the file
lacks, without a look at any scenario: one of them has CI explore all that there are, which takes as long as the rest of it.
"""

import argparse
import collections
import concurrent.futures
import itertools
import json
import os
import re
import sys
import time

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
HOUSE = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, HERE)
import edges  # noqa: E402
import scenarios  # noqa: E402

UNKILLED = "tools/model/unkilled.txt"
UNREACHED = "tools/model/unreached.txt"
NOTICED_BY = "tools/model/noticed_by.txt"
GUARDS = ("system_guard", "system_unique_guard", "spin_guard")  # those that an exploration knows the places of
AT_ONCE = 2
NO_END = "no end after "  # as the explorer says it
GLANCE = 200  # executions, for what is listed, with --expected
BRIEFLY = 2000  # executions; most ends are noticed within these, if it is the right scenario that is asked

# `edges` of one operation share its half. `name`: what unkilled.txt calls it, free of line numbers. `item`: of LEVITY_MODEL_WEAKEN.
End = collections.namedtuple("End", "edges half operation name place item")
# `outcome`: killed, survives, not reached, no time. `scenario`: who killed it, or how many passed it. `by`: who is to be asked
# first the next time, a Hint or None.
Row = collections.namedtuple("Row", "end outcome scenario executions seconds what by", defaults=[None])
Hint = collections.namedtuple("Hint", "scenario at_random")


# --- ends -------------------------------------------------------------------------------------------------------------

NO_FUNCTION = re.compile(r"\s*(if|for|while|switch|do|else|try|catch|namespace|class|struct|enum|union|return)\b|.*\]\s*\(",
                         re.DOTALL)


def head_of(code, brace):
    """What stands before an opening brace, back to the statement or block before it: parentheses are passed, so the initialisers of
    a constructor are part of its head, those in braces too. "" inside of parentheses: the brace is of an argument."""
    depth, at = 0, brace
    while at > 0:
        at -= 1
        if code[at] in ")]":
            depth += 1
        elif code[at] in "([":
            depth -= 1
            if depth < 0:
                return ""
        elif code[at] == "}" and depth == 0:
            opening = at
            braces = 1
            while opening > 0 and braces > 0:
                opening -= 1
                braces += {"}": 1, "{": -1}.get(code[opening], 0)
            if not (opening > 0 and (code[opening - 1].isalnum() or code[opening - 1] == "_")):  # no `member_{value}`
                return code[at + 1:brace]
            at = opening
        elif code[at] in ";{" and depth == 0:
            return code[at + 1:brace]
    return code[:brace]


def function_at(code, offset):
    """The name of the function around `offset` of code without comments: of the nearest brace whose head is that of one."""
    depth = 0
    for at in range(offset, -1, -1):
        depth += {"}": 1, "{": -1}.get(code[at], 0)
        if depth >= 0:
            continue
        depth = 0
        head = head_of(code, at)
        name = re.search(r"([~\w]+)\s*\(", head)
        if name and not NO_FUNCTION.match(head):
            return name.group(1)
    return "?"


def ends_of(house, tree):
    """Every end of the tree's edges that can be taken away, in the order of edges and lines."""
    by_operation = collections.defaultdict(set)
    for edge, ends in tree.ends.items():
        for end in ends:
            if end.half != "lock" or end.operation.name in GUARDS:
                by_operation[end.operation, end.half].add(edge)
    found, counts = [], collections.Counter()
    for (operation, half), cited in sorted(by_operation.items(), key=lambda item: (min(item[1]), edges.HALVES.index(item[0][1]),
                                                                                   item[0][0])):
        place = f"{operation.path}:{operation.line}-{operation.last_line}"
        item = place if half in ("fence", "lock") else f"{place}={half}"
        if found and found[-1].item == item:  # two on one line go together
            continue
        code = house.by_path[operation.path].code
        start = len("\n".join(code[:operation.line])) - len(code[operation.line - 1])
        start += max(0, code[operation.line - 1].find(operation.word or operation.name))
        path = re.sub(r"^(src|include/levity)/", "", operation.path)
        numbers = ",".join(f"E{edge}" for edge in sorted(cited))
        name = f"{numbers} {half} {path}:{function_at(chr(10).join(code), start)}"
        counts[name] += 1
        if counts[name] > 1:
            name += f"#{counts[name]}"
        found.append(End(sorted(cited), half, operation, name, place, item))
    return found


def read_listed(path):
    """The ends that are listed, with their reasons; and what cannot be read, one sentence each."""
    listed, wrong, reason, goes_on = {}, [], "", False
    if not os.path.exists(path):
        return listed, wrong
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            text = line.strip()
            if not text or line.startswith("#"):
                goes_on = False
            elif line[0].isspace():
                goes_on = False
                listed[text] = reason
                if not reason:
                    wrong.append(f"{os.path.basename(path)}:{number}: {text} has no reason: write one above it, at the margin")
            else:
                reason = f"{reason} {text}" if goes_on else text
                goes_on = True
    return listed, wrong


def read_hints(path):
    """Who is asked first, by the name of the end: a line each, `END: SCENARIO`, with `by chance` behind it."""
    hints = {}
    if os.path.exists(path):
        with open(path, encoding="utf-8") as file:
            for line in file:
                name, found, scenario = line.strip().rpartition(": ")
                if found and not line.startswith("#"):
                    hints[name] = Hint(scenario.removesuffix(" by chance"), scenario.endswith(" by chance"))
    return hints


def write_hints(path, rows):
    with open(path, "w", encoding="utf-8") as file:
        file.write("# Who has noticed that an end was taken away, and is asked first in CI; of those listed, who passes it.\n"
                   "# Written by ./dev model --weaken all --remember. Nothing depends on it but time.\n")
        for row in rows:
            if row.by is not None:
                file.write(f"{row.end.name}: {row.by.scenario}{' by chance' if row.by.at_random else ''}\n")


# --- runs -------------------------------------------------------------------------------------------------------------


def by_hint(end, hint, known, executions, is_listed):
    """What the scenario says that is asked first; None: the others are to be asked."""
    named = [one for one in known if one.name == hint.scenario] if hint is not None else []
    if not named:
        return None
    begun = time.monotonic()
    outcome = scenarios.run(named[0], executions, [end.item], hint.at_random)
    seconds = time.monotonic() - begun
    if outcome.end == "passes":
        passes = is_listed and end.place in outcome.made
        return Row(end, "survives", "1 passes it", outcome.executions, seconds, "", hint) if passes else None
    if hint.at_random and fails_anyway(named[0], outcome, end):
        return None
    return Row(end, "killed", hint.scenario, outcome.executions, seconds, outcome.what, hint)


def fails_anyway(one, outcome, end):
    """Whether who fails by chance does so with nothing weakened, too."""
    return scenarios.run(one, max(outcome.executions, 1), [f"{end.place}=nothing"], True).end != "passes"


def survey(pool, known, places, executions):
    """Explores every scenario as it is, `places` counted: who passes which, who fails, and who is not to be asked by chance."""
    items = [f"{place}=nothing" for place in sorted(places)]
    outcomes = list(pool.map(lambda one: scenarios.run(one, executions, items), known))
    # By chance, too, where not all were seen, or an end would be killed by what fails in any case. Chance may starve a thread: who
    # has no end then is not asked so.
    left = [at for at, outcome in enumerate(outcomes) if outcome.end == "passes" and not outcome.complete]
    unfit = set()
    for at, outcome in zip(left, pool.map(lambda at: scenarios.run(known[at], min(executions, BRIEFLY), items, True), left)):
        if outcome.what.startswith(NO_END):
            unfit.add(known[at])
        elif outcome.end != "passes":
            outcomes[at] = outcome
    passing = collections.defaultdict(list)
    for one, outcome in sorted(zip(known, outcomes), key=lambda pair: (pair[1].executions, pair[0].name)):
        for place in outcome.made:
            passing[place].append(one)
    return passing, [(one, outcome) for one, outcome in zip(known, outcomes) if outcome.end != "passes"], unfit


def weaken(end, passing, executions, until, unfit=()):
    """Explores those who pass an end without it, until one fails."""
    if not passing:
        return Row(end, "not reached", "", 0, 0.0, "")
    count, begun, left = 0, time.monotonic(), list(passing)
    for most, random in itertools.product(sorted({min(executions, BRIEFLY), executions}), (False, True)):
        for one in list(left):
            if random and one in unfit:
                continue
            if time.monotonic() > until:
                return Row(end, "no time", "", count, time.monotonic() - begun, "")
            outcome = scenarios.run(one, most, [end.item], random)
            count += outcome.executions
            if outcome.end != "passes":
                if random and fails_anyway(one, outcome, end):
                    continue
                return Row(end, "killed", one.name, outcome.executions, time.monotonic() - begun, outcome.what,
                           Hint(one.name, random))
            if outcome.complete:
                left.remove(one)
    return Row(end, "survives", f"{len(passing)} pass it", count, time.monotonic() - begun, "", Hint(passing[0].name, False))


# --- what is told -----------------------------------------------------------------------------------------------------


def told(row, listed):
    line = f"{row.end.operation.path.split('/')[-1]}:{row.end.operation.line}"
    survives = "survives as listed" if row.end.name in listed else "SURVIVES"
    who = {"killed": row.scenario, "survives": f"{survives}, {row.scenario}", "not reached": "-",
           "no time": "NO TIME"}[row.outcome]
    numbers = f"{row.executions:>9} {row.seconds:7.2f} s" if row.executions else ""
    return f"{row.end.name:58} {line:24} {who:58} {numbers}".rstrip()


def findings(rows, listed, unreached, all_names):
    """What is red of some rows, one sentence each."""
    for row in rows:
        if row.outcome == "killed" and row.end.name in listed:
            yield f"{row.end.name} is killed, by {row.scenario}: take it out of {UNKILLED}"
        if row.outcome == "survives" and row.end.name not in listed:
            yield (f"{row.end.name} is noticed by no scenario ({row.end.place}): write one that does, or list it in {UNKILLED} "
                   "with the reason")
        if row.outcome == "not reached" and row.end.name not in unreached:
            yield (f"{row.end.name} is passed by no scenario ({row.end.place}): write one that does, or list it in {UNREACHED} "
                   "with the reason")
        if row.outcome not in ("not reached", "no time") and row.end.name in unreached:
            yield f"{row.end.name} is passed by a scenario: take it out of {UNREACHED}"
        if row.outcome == "no time":
            yield f"{row.end.name} was not tried: the time was over (--minutes)"
    for path, names in ((UNKILLED, listed), (UNREACHED, unreached)):
        for name in names:
            if name not in all_names:
                yield f"{name} is in {path} and not among the ends of edges: mend the line, or take it out"


def as_json(rows, listed):
    return json.dumps([{"end": row.end.name, "edges": [f"E{edge}" for edge in row.end.edges], "half": row.end.half,
                        "place": row.end.place, "outcome": row.outcome, "scenario": row.scenario, "executions": row.executions,
                        "seconds": round(row.seconds, 2), "failure": row.what, "reason": listed.get(row.end.name, "")}
                       for row in rows], indent=1)


def without_hint(root):
    """The ends of which nobody has written down who notices them, one sentence each."""
    house = edges.tidy.House(root)
    hints = read_hints(os.path.join(root, NOTICED_BY))
    known = {*hints, *read_listed(os.path.join(root, UNREACHED))[0]}
    return [f"{end.operation.path}:{end.operation.line}: {end.name} has no line in {NOTICED_BY}: "
            "write it by `./dev model --weaken all --remember`"
            for end in ends_of(house, edges.Edges(house)) if end.name not in known]


def main(arguments):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", nargs="?", help=argparse.SUPPRESS)
    parser.add_argument("--check", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--root", default=HOUSE, help=argparse.SUPPRESS)
    parser.add_argument("--executions", type=int, default=200_000, help=argparse.SUPPRESS)
    parser.add_argument("--minutes", type=float, default=20, help=argparse.SUPPRESS)
    parser.add_argument("--expected", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--json", help=argparse.SUPPRESS)
    parser.add_argument("--remember", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("names", nargs="*", help=argparse.SUPPRESS)
    options = parser.parse_intermixed_args(arguments)
    if options.check:
        missing = without_hint(options.root)
        print("\n".join(missing), end="\n" if missing else "")
        return 1 if missing else 0
    if not options.names:
        print("levity: which edges? Name some, E14 for one, or say all", file=sys.stderr)
        return 2
    until = time.monotonic() + 60 * options.minutes

    house = edges.tidy.House(options.root)
    tree = edges.Edges(house)
    ends = ends_of(house, tree)
    listed, red = read_listed(os.path.join(options.root, UNKILLED))
    unreached, also_red = read_listed(os.path.join(options.root, UNREACHED))
    red += also_red
    if options.names == ["all"]:
        wanted = ends
    else:
        unknown = [name for name in options.names if name not in {f"E{edge}" for edge in {*tree.defined, *tree.cited}}]
        if unknown:
            print(f"levity: there is no edge {unknown[0]}; docs/edges.md lists all", file=sys.stderr)
            return 2
        wanted = [end for end in ends if any(f"E{edge}" in options.names for edge in end.edges)]
    try:
        known = scenarios.scenarios(options.build)
        with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
            hints = read_hints(os.path.join(options.root, NOTICED_BY)) if options.expected else {}

            def executions_for(end):
                return GLANCE if options.expected and end.name in listed else options.executions

            def hinted(end):
                return by_hint(end, hints.get(end.name), known, executions_for(end), end.name in listed)

            first = list(pool.map(hinted, wanted))
            left = [end for end, row in zip(wanted, first) if row is None]
            passing, failing, unfit = {}, [], set()
            if left:
                passing, failing, unfit = survey(pool, known, {end.place for end in left}, options.executions)
            if failing:
                for one, outcome in failing:
                    print(f"levity: {one.name} {outcome.end} with nothing weakened: {outcome.what}", file=sys.stderr)
                return 1

            def row_of(end, row):
                return row or weaken(end, passing[end.place], executions_for(end), until, unfit)

            rows = []
            for row in pool.map(row_of, wanted, first):
                if row.outcome != "not reached" or options.names != ["all"]:
                    print(told(row, listed), flush=True)
                rows.append(row)
    except scenarios.Broken as wrong:
        print(f"levity: {wrong}", file=sys.stderr)
        return 2
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            file.write(as_json(rows, listed) + "\n")
    if options.remember:
        write_hints(os.path.join(options.root, NOTICED_BY), rows)
    red += findings(rows, listed, unreached, {end.name for end in ends})
    counts = collections.Counter(row.outcome for row in rows)
    print(f"\n{len(rows)} ends: " + ", ".join(f"{count} {outcome}" for outcome, count in sorted(counts.items())))
    paths = collections.Counter(row.end.operation.path for row in rows if row.outcome == "not reached")
    if paths:
        print("not reached: " + ", ".join(f"{count} of {path}" for path, count in sorted(paths.items())))
    for sentence in red:
        print(f"FAILS  {sentence}")
    return 1 if red else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
