"""The API reference: `docs.py --check` lists public names without a docstring, `docs.py FOLDER` writes the page."""

import argparse
import sys
from pathlib import Path

import headers
import page


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("folder", nargs="?", type=Path, help="where index.html goes")
    arguments.add_argument("--check", action="store_true", help="list public names without a docstring")
    arguments.add_argument("--root", type=Path, default=headers.ROOT)
    chosen = arguments.parse_args()
    root = chosen.root.resolve()
    names = headers.read(root)
    bare = list(headers.undocumented(names))
    for each in bare:
        place = f"{each.file.relative_to(root)}:{each.line}"
        print(f"{place}: {each.path} has no docstring; say above it, in `///`, what a user may rely on")
    if chosen.check:
        if bare:
            return 1
        print(f"{headers.count(names)} public names, each with a docstring")
    elif chosen.folder is not None:
        print(f"{page.write(names, root, chosen.folder)}: {headers.count(names)} names")
    return 0


if __name__ == "__main__":
    sys.exit(main())
