"""A whole record from the records of groups: two hours in which a machine is quiet are not always had at once."""

import os

from .rows import ROWS

# What the parts have to have in common. Each row says what disturbed it; of the rest the record has the worst.
SAME = ("schema", "mode", "machine")


def joined(parts):
    """(path, record) of each part -> the record of all, its rows in the order of the bench. ValueError says what does not fit."""
    (first_path, first), *others = parts
    for path, part in others:
        for what in SAME:
            if part[what] != first[what]:
                raise ValueError(f"{path} and {first_path} differ in '{what}': {shown(part[what])}, {shown(first[what])}; "
                                 "join what was measured of one commit on one machine")
    found = {}
    for path, part in parts:
        for row in part["rows"]:
            if row["name"] in found:
                raise ValueError(f"{path} has the row '{row['name']}' that another part has, too; take one of the parts away")
            found[row["name"]] = row
    names = [name for row in ROWS for name in row.names]
    rows = [found.pop(name) for name in names if name in found]
    if found:
        raise ValueError(f"no row of the bench is called '{next(iter(found))}'; join records of this commit's bench")
    records = [part for _, part in parts]
    return {
        **{what: first[what] for what in SAME},
        "date": min(part["date"] for part in records),
        "seconds": round(sum(part["seconds"] for part in records), 1),
        "load_at_start": max(part["load_at_start"] for part in records),
        "foreign_share": max(part["foreign_share"] for part in records),
        "complete": len(rows) == len(names),
        "parts": [os.path.basename(path) for path, _ in parts],
        "rows": rows,
    }


def shown(of):
    return of["name"] if isinstance(of, dict) else of
