"""A copy of some sources with a known bug in it, and the program of a build that is linked with that copy instead of its own.

Not a command: tools/model/planted.py and tools/sim/planted.py use it. The tree is never changed: what is patched is copied to
FOLDER/planted/NAME first.

A bug is a file NAME.patch: lines of a head, "Planted: what is wrong now, in one sentence.", and others that whoever reads it wants;
below them a patch from a/ to b/, which must fit to the letter.
"""

import collections
import json
import os
import re
import shlex
import shutil
import subprocess

# `head`: the lines of the head by their first word. `patched`: the sources that the patch changes.
Bug = collections.namedtuple("Bug", "name path what head patched")


class Misfit(Exception):
    """A patch that cannot be used, in one sentence."""


def read_bug(root, path, wanted):
    """`wanted`: a sentence by what each line that the head must have begins with; it says what belongs there."""
    with open(os.path.join(root, path), encoding="utf-8") as file:
        text = file.read()
    head = dict(re.findall(r"^([A-Z][a-z]+): *(\S.*?) *$", text.split("\n--- ", 1)[0], re.MULTILINE))
    patched = re.findall(r"^\+\+\+ b/(\S+)", text, re.MULTILINE)
    if any(line not in head for line in wanted) or not patched:
        lines = ", ".join(f"a line \"{line}: \" {what}" for line, what in wanted.items())
        raise Misfit(f"{path} cannot be read: write {lines}, and a patch from a/ to b/ below them")
    name = os.path.splitext(os.path.basename(path))[0]
    return Bug(name, path, head["Planted"], head, patched)


def bugs(root, folder, wanted):
    """All that are planted in a folder or below it, by name."""
    found = {}
    for place, folders, names in os.walk(os.path.join(root, folder)):
        folders.sort()
        for name in sorted(names):
            if name.endswith(".patch"):
                bug = read_bug(root, os.path.relpath(os.path.join(place, name), root), wanted)
                if bug.name in found:
                    raise Misfit(f"{bug.path} and {found[bug.name].path} have one name: rename one of them")
                found[bug.name] = bug
    return found


def chosen(root, folder, wanted, check, names):
    """The planted ones of these names, or all; Misfit where a name is of none, or check(bug) says that one cannot be used."""
    known = bugs(root, folder, wanted)
    for bug in known.values():
        check(bug)
    unknown = [name for name in names if name not in known]
    if unknown or not known:
        raise Misfit(f"there is no planted bug {' '.join(unknown)}; those there are: {', '.join(sorted(known))}")
    return [known[name] for name in names or sorted(known)]


def run(command, folder, why):
    """What it prints; Misfit with `why` if it fails."""
    try:
        done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
                              check=False, timeout=1200)
    except (OSError, subprocess.TimeoutExpired) as wrong:
        raise Misfit(f"{why}: {wrong}") from None
    if done.returncode != 0:
        raise Misfit(f"{why}: {done.stdout.strip()[-800:]}")
    return done.stdout


def copy_and_patch(root, bug, place):
    """The sources of the bug, with it in them, below `place`."""
    shutil.rmtree(place, ignore_errors=True)
    for path in bug.patched:
        if not os.path.exists(os.path.join(root, path)):
            raise Misfit(f"{bug.path} is of {path}, which is not there: make the patch anew")
        os.makedirs(os.path.dirname(os.path.join(place, path)), exist_ok=True)
        shutil.copy(os.path.join(root, path), os.path.join(place, path))
    run(["patch", "-p1", "-F0", "-s", "-f", "--no-backup-if-mismatch", "-i", os.path.join(root, bug.path)], place,
        f"{bug.path} does not fit the sources any more; make it anew")


class Build:
    """A build folder: how its sources are compiled and its programs linked."""

    def __init__(self, root, folder):
        self.root, self.folder = root, folder
        commands = os.path.join(folder, "compile_commands.json")
        if not os.path.exists(commands):
            raise Misfit(f"{folder} is no build folder: there is no {commands}; make it by ./dev build")
        with open(commands, encoding="utf-8") as file:
            self.known = {os.path.relpath(each["file"], root): each for each in json.load(file)}

    def place_of(self, bug):
        """Where its copy is."""
        return os.path.join(self.folder, "planted", bug.name)

    def compile(self, bug, path, more=()):
        """The object of a source, the patched one where there is one, as this build compiles it and with `more` options."""
        if path not in self.known:
            raise Misfit(f"{bug.path} wants {path} compiled, which is no source of this build: mend the patch's head")
        place = self.place_of(bug)
        command = shlex.split(self.known[path]["command"])
        here = os.path.join(place, path)
        first = next(at for at, word in enumerate(command) if word.startswith("-"))
        command[command.index("-o") + 1] = made = os.path.join(place, path.replace("/", "_") + ".o")
        command[command.index("-c") + 1] = here if os.path.exists(here) else os.path.join(self.root, path)
        command[first:first] = [f"-I{place}/include", f"-I{place}/src"]
        run([*command, *more], self.known[path]["directory"], f"{bug.path} does not compile")
        return made

    def link_command(self, bug, program):
        """The words of the command that links a program."""
        lines = run(["ninja", "-C", self.folder, "-t", "commands", program], self.root,
                    f"{bug.path} is of no program of {self.folder}").strip()
        return shlex.split(re.sub(r"^: && | && :$", "", lines.split("\n")[-1]))  # the last one is `: && COMPILER ... && :`

    def link(self, bug, words, objects, program):
        """Carries such a command out, with `objects` before all others, so that none of their namesakes is taken from a library."""
        first = next(at for at, word in enumerate(words) if word.endswith(".o"))
        words[first:first] = objects
        words[words.index("-o") + 1] = made = os.path.join(self.place_of(bug), program)
        run(words, self.folder, f"{bug.path} cannot be linked")
        return made
