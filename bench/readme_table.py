#!/usr/bin/env python3
"""Writes the table of a recorded run into README.md, between <!-- bench:begin --> and <!-- bench:end -->.

  bench/readme_table.py [--record FILE] [--readme FILE]            rewrites the block
  bench/readme_table.py --check [--record FILE] [--readme FILE]    exit 2 when the block is not that of the record
"""

import argparse
import json
import os
import sys

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)

from harness.report import goal, number  # noqa: E402

BEGIN, END = "<!-- bench:begin -->", "<!-- bench:end -->"
SHORT = {"MiB RSS kept 1 s after the end": "MiB RSS kept 1 s after", "x": "×"}


def row_of(record):
    if record["judged"] == "missing":
        return f"| `{record['name']}` | – | – | – | – | **missing** |"
    value = f"{number(record['value'])} {SHORT.get(record['unit'], record['unit'])}"
    ratio = "–"
    if record["ratio"] is not None:
        upper = f" (≤ {record['ratio_upper']:.2f})" if record["ratio_upper"] is not None else ""
        ratio = f"{record['ratio']:.2f}{upper}"
    floor = number(record["floor"]) if record["floor"] is not None else "–"
    must = goal(record).replace("<=", "≤").replace(">=", "≥").replace("x", "×")
    for word in ("upper ", "ratio "):
        must = must.replace(word, "")
    return f"| `{record['name']}` | {value} | {floor} | {ratio} | {must} | {'yes' if record['pass'] else '**no**'} |"


def block(recorded):
    machine = recorded["machine"]
    rows = recorded["rows"]
    held = sum(record["pass"] for record in rows)
    spreads = sorted(record["spread"] for record in rows if record["ratio"] is not None)
    spread = ""
    if spreads:
        spread = f" Quartiles of the ratios lie {spreads[0]:.0%} to {spreads[-1]:.0%} of their median apart."
    if recorded["foreign_share"] > 0.1:
        spread += f" Other programs used up to {recorded['foreign_share']:.0%} of the server's core meanwhile."
    kind = "virtual, " if machine["virtual"] else ""
    command = "./dev bench" + (" --quick" if recorded["mode"] == "quick" else "")
    return "\n".join([
        BEGIN,
        "| row | levity | floor | ratio (95 % bound) | must | holds |",
        "|---|---|---|---|---|---|",
        *[row_of(record) for record in rows],
        "",
        f"{held} of {len(rows)} rows hold. `{command}` on {recorded['date'][:10]}: {machine['cpu']}, {kind}"
        f"{machine['cores']} cores, Linux {machine['kernel']}, {machine['compiler']} {machine['flags']}, "
        f"commit {machine['commit']}.{spread}",
        END])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--record", default=os.path.join(HERE, "..", "docs", "bench", "record.json"))
    parser.add_argument("--readme", default=os.path.join(HERE, "..", "README.md"))
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    with open(options.record, encoding="utf-8") as file:
        wanted = block(json.load(file))
    with open(options.readme, encoding="utf-8") as file:
        text = file.read()
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        print(f"{options.readme} has no single block between {BEGIN} and {END}; add the two lines", file=sys.stderr)
        return 1
    before, after = text[:text.index(BEGIN)], text[text.index(END) + len(END):]
    if before + wanted + after == text:
        return 0
    if options.check:
        print(f"the table in {options.readme} is not that of {options.record}; run bench/readme_table.py",
              file=sys.stderr)
        return 2
    with open(options.readme, "w", encoding="utf-8") as file:
        file.write(before + wanted + after)
    return 0


if __name__ == "__main__":
    sys.exit(main())
