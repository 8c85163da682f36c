"""Records for people: lines on the terminal, and a table between two marks in a document."""

from harness.report import number
from harness.processes import Failure

BEGIN, END = "<!-- races:begin -->", "<!-- races:end -->"


def best_peer(record):
    """The peer with the least value; None where levity runs alone."""
    others = {name: entry for name, entry in record["runtimes"].items() if name != "levity"}
    return min(others, key=lambda name: others[name]["value"]) if others else None


def line(record, runners):
    cells = []
    for runner in runners:
        if entry := record["runtimes"].get(runner.name):
            off = "" if entry["spread"] is None else f" ±{entry['spread'] / 2:.0%}"
            cells.append(f"{runner.name} {number(entry['value'])}{off}")
    best = best_peer(record)
    by = f"; {record['runtimes'][best]['levity_by_it']:.2f} of {best}" if best else ""
    return f"{record['name']:24} {record['unit']}: " + ", ".join(cells) + by


def row(record, names):
    cells = []
    least = min(entry["value"] for entry in record["runtimes"].values())
    for name in names:
        entry = record["runtimes"].get(name)
        if entry is None:
            cells.append("–")
            continue
        text = number(entry["value"]) + ("" if entry["spread"] is None else f" ± {entry['spread'] / 2:.0%}")
        cells.append(f"**{text}**" if entry["value"] == least else text)
    best = best_peer(record)
    by = f"{record['runtimes'][best]['levity_by_it']:.2f}" if best else "–"
    return f"| `{record['name']}` | {record['unit'].strip()} | " + " | ".join(cells) + f" | {by} |"


def block(written):
    runtimes = written["runtimes"]
    names = [each["name"] for each in runtimes]
    where = written["machine"]
    kind = "virtual, " if where["virtual"] else ""
    text = [BEGIN, "| race | unit | " + " | ".join(each["title"] for each in runtimes) + " | levity by the best peer |",
            "|---" * (len(runtimes) + 3) + "|", *[row(record, names) for record in written["races"]], ""]
    text.append("Medians, and half the distance of the quartiles by the median; bold is the least of the row. The last column is "
                "the median of the ratios within the rounds: below 1 levity is ahead of everybody.")
    text.append("")
    notes = {}
    for record in written["races"]:
        notes.setdefault(record["note"], []).append(f"`{record['name']}`")
    text += [f"- {', '.join(races)}: {note}." for note, races in notes.items() if note]
    text.append("")
    text.append("| runtime | version | built with |")
    text.append("|---|---|---|")
    text += [f"| {each['title']} | {each['version']} | `{each['flags']}` |" for each in runtimes]
    text.append("")
    for name, why in written["absent"].items():
        text.append(f"{name} did not take part: {why}.")
    for failure in written["failures"]:
        text.append(f"Failed: {failure}.")
    machine_text = f"{where['cpu']}, {kind}{where['cores']} cores, Linux {where['kernel']}"
    load = f"{written['load_at_start']:.1f} as it began, {written['load_at_end']:.1f} as it ended"
    text.append(f"{written['date'][:10]}, {written['mode']} run of {written['seconds']:.0f} s: {machine_text}; malloc: "
                f"{written['malloc']}; load average {load}, the races themselves included.")
    return "\n".join([*text, END])


def rewrite(path, wanted):
    with open(path, encoding="utf-8") as file:
        text = file.read()
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise Failure(f"{path} has no single block between {BEGIN} and {END}; add the two lines")
    before, after = text[:text.index(BEGIN)], text[text.index(END) + len(END):]
    with open(path, "w", encoding="utf-8") as file:
        file.write(before + wanted + after)
