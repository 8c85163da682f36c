#!/usr/bin/env python3
"""The happens-before edges: what each orders, and the operations at its ends, as the comments that number them say.

usage: edges.py [--json] [EDGE...]     every edge, or those named, with its ends: file, lines, operation, order
       edges.py --check [PATH...]      what is wanting, one sentence each, or only of some paths; exit code 1 if anything is
       edges.py --markdown             writes docs/edges.md anew
       --root FOLDER                   of another tree

Three kinds of comment bear a number, E51 for one:

  a definition   in the paragraph "Edges" of a preface, `//   E51  set -> wait: what was written before`
  a citation     at an operation: on a line of it, or in the comment above its statement, `// E51 release.` It may have several
                 numbers, and both halves: `// E3, E4 acquire: the waiter. E5 release, acquire.` Fences, locks have none: `// E14.`
  a mention      anywhere else in a preface, or in parentheses (E51): it says where to read on, and is no end

An operation has all lines from the one where its expression begins to that of its closing parenthesis. Of these a defaulted
std::source_location::current() tells the one where it begins (clang 19), or that of the member's name (g++ 12), never one of the
arguments; so that an operation which a program names by a line is found by looking between the two.

What is read is text, as tidy reads it, and not that of tests, benches, fuzzers and models.
"""

import argparse
import bisect
import collections
import json
import os
import re
import sys

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
HOUSE = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(HOUSE, "tools", "tidy"))
import tidy  # noqa: E402

Finding = tidy.Finding
TABLE = "docs/edges.md"
REACH = 3  # lines from the end of a comment to the operation that it is about
HALVES = ("release", "acquire", "failure", "seq_cst", "fence", "lock")

Definition = collections.namedtuple("Definition", "edge path line text")
# `line` is where the expression begins and `last_line` where its parenthesis closes, `statement` the same two of the statement
# around it. `word` is what it is made on; `order` its own, or fence, or lock; `failure` that of a failed compare_exchange, or "".
Operation = collections.namedtuple("Operation", "path line last_line statement word name order failure")
# `last_line` is that of the comment; `trailing`: there is code on its line.
Citation = collections.namedtuple("Citation", "edge path line halves last_line trailing")
# `half` is one that was cited; or `failure`, the acquire of a compare_exchange that fails. Who cites an acquire means both of them.
End = collections.namedtuple("End", "edge half operation")


def reads(source):
    """Whether this file may hold ends of edges: not the doors to atomics and threads, nor what stands behind them."""
    shared = source.room is not None or source.place in ("tools", "reference")
    door = source.room == "base" and (source.stem.endswith("atomic") or source.stem.startswith(("explored_", "system_")))
    model = any(part == "model" or part.endswith("_model") for part in source.parts)
    return shared and not door and not model and not source.companion


# --- operations -------------------------------------------------------------------------------------------------------

METHOD = re.compile(r"(?:\.|->)\s*(load|store|exchange|fetch_\w+|compare_exchange_(?:weak|strong)|test_and_set|clear|wait)\s*\(")
FENCE = re.compile(r"(?<!void )\b(full_fence|compiler_fence|process_barrier)\s*\(\s*\)")
LOCK = re.compile(r"(?:\bstd::(lock_guard|unique_lock|scoped_lock)|(?<!\w)(system_guard|system_unique_guard|spin_guard))\b"
                  r"[^;(){}=]*[({]([^(){}]*)[)}]")
ORDER = re.compile(r"\bmemory_order(?:_|::)(relaxed|consume|acquire|release|acq_rel|seq_cst)\b")


def end_of_call(code, opening):
    """Where the parenthesis at `opening` closes."""
    depth = 0
    for at in range(opening, len(code)):
        depth += {"(": 1, ")": -1}.get(code[at], 0)
        if depth == 0:
            return at
    return len(code) - 1


def own_arguments(code, opening, end):
    """The arguments of a call, without those of the calls among them."""
    text, depth = [], 0
    for char in code[opening:end]:
        depth += {"(": 1, ")": -1}.get(char, 0)
        if depth == 1:
            text.append(char)
    return "".join(text)


def start_of_expression(code, joint):
    """Where the expression begins of which the `.`, `->` or `::` at `joint` names a member."""
    at = joint
    while at > 0 and code[at - 1].isspace():
        at -= 1
    while at > 0 and code[at - 1] in ")]":
        depth = 0
        while at > 0:
            at -= 1
            depth += {")": 1, "]": 1, "(": -1, "[": -1}.get(code[at], 0)
            if depth == 0:
                break
    name = at
    while name > 0 and (code[name - 1].isalnum() or code[name - 1] == "_"):
        name -= 1
    at = outer = name
    while outer > 0 and code[outer - 1].isspace():
        outer -= 1
    for mark in (".", "->", "::"):
        if code.startswith(mark, outer - len(mark)):
            return start_of_expression(code, outer - len(mark))
    return at


def operations(source):
    """Every operation of a source at which an edge may be cited, in order; and findings: the orders that are those of none."""
    code = "\n".join(source.code)
    line_starts = [0]
    for line in source.code:
        line_starts.append(line_starts[-1] + len(line) + 1)

    def line_of(offset):
        return bisect.bisect_right(line_starts, offset)

    def statement(start, end):
        first = max(code.rfind(stop, 0, start) for stop in ";{}") + 1
        while code[first].isspace():
            first += 1
        last = re.compile(r"[;{}]").search(code, end)
        return line_of(first), line_of(last.start() if last else len(code) - 1)

    found, spans, strays = [], [], []

    def note(start, end, word, name, order, failure=""):
        spans.append(range(start, end))
        found.append((start, Operation(source.path, line_of(start), line_of(end), statement(start, end),
                                       re.sub(r"\s", "", word), name, order, failure)))

    for match in METHOD.finditer(code):
        end = end_of_call(code, match.end() - 1)
        orders = ORDER.findall(own_arguments(code, match.end() - 1, end))
        if orders:
            start = start_of_expression(code, match.start())
            note(start, end, code[start:match.start()], match.group(1), *orders[:2])
    for match in FENCE.finditer(code):
        note(match.start(), match.end() - 1, "", match.group(1), "fence")
    for match in LOCK.finditer(code):
        note(match.start(), match.end() - 1, match.group(3), match.group(1) or match.group(2), "lock")
    for match in ORDER.finditer(code):
        if match.group(1) != "relaxed" and not any(match.start() in span for span in spans):
            strays.append(Finding(source.path, line_of(match.start()), f"{match.group(1)} is the order of no operation that is "
                                                                       "known here: write it in the call of an atomic's member"))
    return [each for _, each in sorted(found)], strays


def halves_of_order(order):
    """What an order has of them; and a fence is one, as is a lock."""
    return {"relaxed": set(), "consume": {"acquire"}, "acq_rel": {"release", "acquire"},
            "seq_cst": {"release", "acquire", "seq_cst"}, "": set()}.get(order, {order})


def halves_of(operation):
    """What an operation can be for an edge: its release, its acquire, its seq_cst, one of its fences or locks."""
    return halves_of_order(operation.order) | halves_of_order(operation.failure)


def parts_of(operation, half):
    """What a half that is cited is made of: the acquire of a compare_exchange may be in either of its orders, or in both."""
    if half in halves_of_order(operation.order):
        yield half
    if half == "acquire" and half in halves_of_order(operation.failure):
        yield "failure"


def cited_half(end):
    return "acquire" if end.half == "failure" else end.half


def halves_to_cite(operation):
    """What of that has to be cited. Of a seq_cst operation that succeeds, the other two halves need not be."""
    if operation.order == "lock":
        return set()
    if operation.order == "seq_cst":
        return {"seq_cst"} | halves_of(operation._replace(order="relaxed"))
    return halves_of(operation)


def shown(operation):
    return f"{operation.word}.{operation.name}()" if operation.word else f"{operation.name}()"


# --- comments ---------------------------------------------------------------------------------------------------------

NUMBER = re.compile(r"\bE(\d+)\b")
HEADING = re.compile(r"\s*//+ Edges$")
DEFINITION = re.compile(r"\s*//+ {3}E(\d+)\b\s*(.*)$")
# Numbers, or a further half of those before it: `// E30 acquire: the children; release: the joiner.`
CITED = re.compile(r"\bE\d+\b(?:(?:,| and) E\d+\b)*|(?<=; )(?=(?:release|acquire|seq_cst)\b)")
CITED_HALVES = re.compile(r" ?(release|acquire|seq_cst)\b(?:, (release|acquire|seq_cst)\b)?")


def comments(source):
    """The comments of a source: their first and last line, and whether there is code on the line."""
    number, count = 0, len(source.comments)
    while number < count:
        first = number
        number += 1
        if not source.comments[first].strip():
            continue
        trailing = source.code[first].strip() != ""
        while not trailing and number < count and source.comments[number].strip() and not source.code[number].strip():
            number += 1
        yield first + 1, number, trailing


def words(comment):
    return comment.strip().lstrip("/").strip()


def before_declarations(source):
    """The last line before the first declaration of a file."""
    for number, code in enumerate(source.code):
        if code.strip() and not code.lstrip().startswith("#"):
            return number
    return len(source.code)


def definitions(source):
    """The definitions of a source, and the lines of its prefaces: what stands before all code, or has such a paragraph."""
    found, preface = [], set(range(1, before_declarations(source) + 1))
    for first, last, _ in comments(source):
        inside = False
        for number in range(first, last + 1):
            comment = source.comments[number - 1]
            if HEADING.match(comment):
                inside = True
                preface.update(range(first, last + 1))
                continue
            inside = inside and words(comment) != ""
            match = DEFINITION.match(comment)
            if inside and match:
                found.append(Definition(int(match.group(1)), source.path, number, match.group(2)))
            elif inside and found:
                found[-1] = found[-1]._replace(text=f"{found[-1].text} {words(comment)}")
    return found, preface


def citations(source, preface):
    """What is cited outside of prefaces."""
    for first, last, trailing in comments(source):
        if first in preface:
            continue
        text, lines = "", []
        for number in range(first, last + 1):
            text += words(source.comments[number - 1]) + " "
            lines += [number] * (len(text) - len(lines))
        edges = []
        for match in CITED.finditer(text):
            if text.count("(", 0, match.start()) > text.count(")", 0, match.start()):
                continue
            edges = [int(edge) for edge in NUMBER.findall(match.group(0))] or edges
            halves = CITED_HALVES.match(text, match.end())
            for edge in edges:
                yield Citation(edge, source.path, lines[match.start()], halves.groups() if halves else (), last, trailing)


# --- the edges of a tree ----------------------------------------------------------------------------------------------


class Edges:
    """The edges of a tree by their numbers: who defines them, who cites them, and what stands at their ends."""

    def __init__(self, house):
        self.defined = collections.defaultdict(list)  # Definition
        self.cited = collections.defaultdict(list)    # Citation
        self.ends = collections.defaultdict(list)     # End
        self.operations = []
        self.unbound = []  # findings: orders, and citations, that belong to no operation
        for source in filter(reads, house.cpp):
            found, preface = definitions(source)
            for each in found:
                self.defined[each.edge].append(each)
            here, strays = operations(source)
            self.operations += here
            self.unbound += strays
            for citation in citations(source, preface):
                self.cited[citation.edge].append(citation)
                self.bind(citation, here)

    def bind(self, citation, here):
        """Finds the operations that a citation is about, among those of its file."""
        edge, _, line, halves, last_line, trailing = citation
        if trailing:
            near = ([each for each in here if each.line <= line <= each.last_line] or
                    [each for each in here if each.statement[0] <= line <= each.statement[1]])
        else:
            below = [each for each in here if last_line < each.line <= last_line + REACH]
            near = [each for each in below if each.statement == below[0].statement]
        if not near:
            self.lost(citation, "is cited where no operation is in reach: cite it at the operation, or put it in parentheses if it "
                                "only says where to read on")
        elif not any(halves) and not any(each.order in ("fence", "lock") for each in near):
            self.lost(citation, f"does not say which end this is: write E{edge} release, or acquire")
        else:
            for half in filter(None, halves or ("fence", "lock")):
                able = [each for each in near if half in halves_of(each)]
                self.ends[edge] += [End(edge, part, each) for each in able for part in parts_of(each, half)]
                if halves and not able:
                    self.lost(citation, f"{half} stands at an order that is {near[0].order}: mend the comment, or the order")

    def lost(self, citation, why):
        self.unbound.append(Finding(citation.path, citation.line, f"E{citation.edge} {why}"))


def edges_of(root):
    """The edges of the tree under `root`."""
    return Edges(tidy.House(root))


# --- what is wanting --------------------------------------------------------------------------------------------------


def all_is_of_an_operation(edges):
    yield from edges.unbound


REMEDIES = {
    "release": "has a release that cites no edge: name it on this line or in the comment above, as in // E7 release.",
    "acquire": "has an acquire that cites no edge: name it on this line or in the comment above, as in // E7 acquire.",
    "seq_cst": "is seq_cst and no edge asks for it: write a weaker order, or the edge that does and why, as in // E7 seq_cst: why.",
    "fence": "cites no edge: name the one that it stands for, as in // E7.",
}


def orders_cite_edges(edges):
    cited = collections.defaultdict(set)
    for ends in edges.ends.values():
        for end in ends:
            cited[end.operation].add(cited_half(end))
    for each in edges.operations:
        for half in sorted(halves_to_cite(each) - cited[each]):
            yield Finding(each.path, each.line, f"{shown(each)} {REMEDIES[half]}")


def last_name(word):
    """What both ends call the same word, whatever leads to it: `fired` of `guard.context_.fired`, `idle_` of `idle_[word / 64]`."""
    names = re.findall(r"\w+", re.sub(r"\[[^\]]*\]|\([^)]*\)", "", word))
    return names[-1] if names else word


def edges_have_two_ends(edges):
    """Who acquires reads the word that who releases wrote. Of fences and locks there are at least two."""
    for edge, ends in sorted(edges.ends.items()):
        at = collections.defaultdict(set)
        for end in ends:
            half = cited_half(end)
            paired = half in ("release", "acquire")
            at[last_name(end.operation.word) if paired else "", half].add(end.operation)
        for (word, half), here in sorted(at.items()):
            first = min(here)
            partner = {"release": "acquire", "acquire": "release"}.get(half)
            if partner and (word, partner) not in at:
                yield Finding(first.path, first.line, f"E{edge} is cited on one end only: this {half} of {word} has no partner; "
                                                      f"the {partner} that it pairs with cites the edge, too")
            elif not partner and len(here) == 1 and (half != "seq_cst" or len(at) == 1):
                yield Finding(first.path, first.line, f"E{edge} is cited on one end only: this {half} has no partner; "
                                                      "the one that it pairs with cites the edge, too")
        fences = at.get(("", "fence"), ())
        if {each.name for each in fences} == {"compiler_fence"}:
            first = min(fences)
            yield Finding(first.path, first.line, f"E{edge} has no process_barrier(), without which a compiler_fence() orders "
                                                  "nothing for others")


def numbers_are_defined_and_cited(edges):
    for edge, cited in sorted(edges.cited.items()):
        if edge not in edges.defined:
            first = cited[0]
            yield Finding(first.path, first.line, f"E{edge} is cited, and no preface defines it: say under Edges what it carries")
    for edge, (first, *others) in sorted(edges.defined.items()):
        if edge not in edges.cited:
            yield Finding(first.path, first.line, f"E{edge} is defined, and cited nowhere: cite it at both ends, or drop it")
        for again in others:
            yield Finding(again.path, again.line, f"E{edge} is defined in {first.path}, too: a number is one edge's")


def numbers_are_needed(edges):
    """One number for one promise: not twice at one operation, and no two for the same ends."""
    same_ends = collections.defaultdict(list)
    for edge, ends in sorted(edges.ends.items()):
        same_ends[frozenset((end.half, end.operation) for end in ends)].append(f"E{edge}")
        for end, times in collections.Counter(ends).items():
            if times > 1:
                yield Finding(end.operation.path, end.operation.line,
                              f"E{edge} {end.half} is cited {times} times at {shown(end.operation)}: once is enough")
    for ends, numbers in same_ends.items():
        if ends and len(numbers) > 1:
            first = min(operation for _, operation in ends)
            yield Finding(first.path, first.line, f"{' and '.join(numbers)} have the same ends: one number is enough")


def mentions_lead_somewhere(house, edges):
    for source in filter(reads, house.cpp):
        for number, comment in enumerate(source.comments, 1):
            for edge in map(int, NUMBER.findall(comment)):
                if edge not in edges.defined and edge not in edges.cited:
                    yield Finding(source.path, number, f"E{edge} is mentioned, and no preface defines it: it leads nowhere")


def table_is_fresh(root, edges):
    path = os.path.join(root, TABLE)
    text = ""
    if os.path.exists(path):
        with open(path, encoding="utf-8") as file:
            text = file.read()
    if text != as_markdown(edges):
        yield Finding(TABLE, 1, "is not what the sources say; run python3 tools/model/edges.py --markdown")


RULES = (all_is_of_an_operation, orders_cite_edges, edges_have_two_ends, numbers_are_defined_and_cited, numbers_are_needed)


def findings(root):
    house = tidy.House(root)
    edges = Edges(house)
    found = {finding for rule in RULES for finding in rule(edges)}
    return edges, sorted(found | set(mentions_lead_somewhere(house, edges)) | set(table_is_fresh(root, edges)))


# --- what is printed --------------------------------------------------------------------------------------------------


def text_of(edges, edge):
    return edges.defined[edge][0].text if edge in edges.defined else ""


def sorted_ends(edges, edge):
    return sorted(set(edges.ends[edge]), key=lambda end: (HALVES.index(end.half), end.operation))


def as_text(edges, wanted):
    for edge in wanted:
        yield f"E{edge}  {text_of(edges, edge)}"
        for _, half, each in sorted_ends(edges, edge):
            lines = f"{each.line}" if each.line == each.last_line else f"{each.line}-{each.last_line}"
            order = f"{each.order}, {each.failure}" if each.failure else each.order
            yield f"  {half:8} {f'{each.path}:{lines}':48} {shown(each):42} {order}"


def as_json(edges, wanted):
    cited = collections.defaultdict(set)
    for ends in edges.ends.values():
        for end in ends:
            cited[end.operation].add(end.edge)

    def told(end):
        each = end.operation
        return {"end": end.half, "file": each.path, "line": each.line, "last_line": each.last_line, "word": each.word,
                "operation": each.name, "order": each.order, "failure": each.failure,
                "edges": [f"E{other}" for other in sorted(cited[each])]}

    return json.dumps([{"edge": f"E{edge}", "orders": text_of(edges, edge),
                        "ends": [told(end) for end in sorted_ends(edges, edge)]} for edge in wanted], indent=1)


def as_markdown(edges):
    def files(edge, *halves):
        paths = sorted({end.operation.path for end in edges.ends[edge] if end.half in halves})
        return ", ".join(f"[{path.split('/')[-1]}](../{path})" for path in paths)

    lines = [
        "# Edges", "",
        "Every happens-before edge of levity: what it orders, and the files in which its ends stand. The number leads to the",
        "preface that says more; `python3 tools/model/edges.py E51` prints the lines of one. With `--markdown` the same command",
        "makes this page of the comments in the sources, and `./dev tidy` compares it.", "",
        "| edge | orders | release | acquire | fences, locks |", "|---|---|---|---|---|"]
    for edge in sorted(edges.defined):
        first_sentence = re.split(r"(?<=[\w)`])\.(?: |$)", text_of(edges, edge), maxsplit=1)[0]
        orders = re.sub(r" {3,}", ": ", first_sentence)
        for mark, written in ("|", "\\|"), ("<", "&lt;"), (">", "&gt;"):
            orders = orders.replace(mark, written)
        lines.append(f"| [E{edge}](../{edges.defined[edge][0].path}) | {orders} | {files(edge, 'release')} "
                     f"| {files(edge, 'acquire', 'failure')} | {files(edge, 'seq_cst', 'fence', 'lock')} |")
    return "\n".join(lines) + "\n"


def main(arguments):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", default=HOUSE, help=argparse.SUPPRESS)
    kind = parser.add_mutually_exclusive_group()
    for name in ("json", "check", "markdown"):
        kind.add_argument(f"--{name}", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("names", nargs="*", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    edges, found = findings(options.root)
    if options.check:
        paths = [os.path.normpath(path) for path in options.names]
        found = [one for one in found if not paths or any(f"{one.path}/".startswith(f"{path}/") for path in paths)]
        for one in found:
            print(f"{one.path}:{one.line}: {one.message}")
        print(f"edges: {len(found) or 'no'} finding{'s' if len(found) != 1 else ''} at {len(edges.defined)} edges")
        return 1 if found else 0
    if options.markdown:
        with open(os.path.join(options.root, TABLE), "w", encoding="utf-8") as file:
            file.write(as_markdown(edges))
        return 0
    known = sorted({*edges.defined, *edges.cited})
    unknown = [name for name in options.names if name not in {f"E{edge}" for edge in known}]
    if unknown:
        print(f"levity: there is no edge {unknown[0]}; docs/edges.md lists all", file=sys.stderr)
        return 2
    wanted = [int(name[1:]) for name in options.names] or known
    print(as_json(edges, wanted) if options.json else "\n".join(as_text(edges, wanted)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
