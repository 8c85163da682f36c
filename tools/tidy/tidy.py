#!/usr/bin/env python3
"""Checks the rules of the house: `./dev tidy`, or tidy.py [--root FOLDER] [PATH...] to be told only about some paths.

Every rule is a function that yields findings; `RULES` lists them. What a rule looks at is text, so a rule can be fooled
by macros; it is a colleague who reads every line, not a compiler. What memory orders cite tools/model/edges.py checks.
Exit code: 0 when nothing was found, 1 otherwise.
"""

import collections
import os
import re
import sys

Finding = collections.namedtuple("Finding", "path line message")
Room = collections.namedtuple("Room", "name words uses line")

LINE_MAX = 132
SOURCES = (".cpp", ".hpp")
TEXTS = SOURCES + (".c", ".h", ".py", ".cmake", ".txt", ".md", ".json", ".sh", ".def")
COMPANIONS = ("test", "bench", "fuzz", "model")
SKIPPED_FOLDERS = {".git", "build", "__pycache__", "corpus"}


class Source:
    """One text file: its lines, and for C++ the same lines as code alone and as comments alone."""

    def __init__(self, root, path):
        self.path = path
        self.parts = path.split("/")
        self.name = self.parts[-1]
        self.stem, self.suffix = os.path.splitext(self.name)
        with open(os.path.join(root, path), "rb") as file:
            self.bytes = file.read()
        self.text = self.bytes.decode("utf-8", "replace")
        self.lines = self.text.split("\n")
        if self.suffix in SOURCES:
            code, comments = split_comments(self.text)
            self.code, self.comments = code.split("\n"), comments.split("\n")
        else:
            self.code, self.comments = [], []

    @property
    def place(self):
        """The top folder: src, include, tools, ..."""
        return self.parts[0] if len(self.parts) > 1 else ""

    @property
    def room(self):
        """The room of a file below src/ or include/levity/, "" for the umbrella headers, None elsewhere."""
        if self.place == "src" and len(self.parts) > 2:
            return self.parts[1]
        if self.parts[:2] == ["include", "levity"]:
            return self.parts[2] if len(self.parts) > 3 else ""
        return None

    @property
    def companion(self):
        """test, bench, fuzz, model, or None."""
        kind = self.stem.rsplit("_", 1)[-1]
        return kind if kind in COMPANIONS and "_" in self.stem and self.suffix == ".cpp" else None


PLAIN = re.compile(r"[^/\"']*")  # begins neither a comment nor a literal


def split_comments(text):
    """The text twice, line by line in place: once with comments and the insides of literals blank, once the rest."""
    code, comments = [], []
    index, end = 0, len(text)

    def put(piece, into_code):
        blank = re.sub(r"[^\n]", " ", piece)
        code.append(piece if into_code else blank)
        comments.append(blank if into_code else piece)

    while index < end:
        char = text[index]
        if text.startswith("//", index):
            stop = text.find("\n", index)
            stop = end if stop < 0 else stop
            put(text[index:stop], False)
        elif text.startswith("/*", index):
            stop = text.find("*/", index + 2)
            stop = end if stop < 0 else stop + 2
            put(text[index:stop], False)
        elif char == '"' and index and text[index - 1] == "R":
            opening = re.compile(r'"([^ ()\\\n]{0,16})\(').match(text, index)
            stop = text.find(")" + opening.group(1) + '"', index) if opening else -1
            stop = end if stop < 0 else stop + len(opening.group(1)) + 2
            put('"' + re.sub(r"[^\n]", " ", text[index + 1:stop - 1]) + '"', True)
        elif char == '"' or (char == "'" and not (index and text[index - 1].isalnum())):
            stop = index + 1
            while stop < end and text[stop] not in (char, "\n"):
                stop += 2 if text[stop] == "\\" else 1
            stop = min(stop + 1, end) if stop < end and text[stop] == char else min(stop, end)
            # The path of an #include stays: rules read it.
            line_start = text.rfind("\n", 0, index) + 1
            keep = re.match(r"\s*#\s*include\s*$", text[line_start:index])
            piece = text[index:stop]
            if not keep and len(piece) >= 2:
                piece = char + re.sub(r"[^\n]", " ", piece[1:-1]) + piece[-1]
            put(piece, True)
        else:
            stop = PLAIN.match(text, index + 1).end()
            put(text[index:stop], True)
        index = stop
    return "".join(code), "".join(comments)


class House:
    """The tree under `root`: its text files and its rooms."""

    def __init__(self, root):
        self.root = root
        self.paths = []
        self.sources = []
        for folder, folders, names in os.walk(root):
            folders[:] = sorted(name for name in folders if name not in SKIPPED_FOLDERS)
            for name in sorted(names):
                path = os.path.relpath(os.path.join(folder, name), root).replace(os.sep, "/")
                self.paths.append(path)
                if name.endswith(TEXTS) or path in ("dev", ".ci/run", "bench/run", "bench/race/run", "reference/run"):
                    self.sources.append(Source(root, path))
        self.existing = set(self.paths)
        self.by_path = {source.path: source for source in self.sources}
        self.rooms = {}
        self.room_findings = list(self.read_rooms())
        self.cpp = [source for source in self.sources if source.suffix in SOURCES]

    def read_rooms(self):
        path = "src/rooms.txt"
        if path not in self.by_path:
            yield Finding(path, 1, "is missing: it says which rooms there are and who may use whom")
            return
        for number, line in enumerate(self.by_path[path].lines, 1):
            if not line.strip() or line.startswith("#"):
                continue
            match = re.match(r"([a-z_]+)(?: \[([a-z ]+)\])?: uses([a-z_ ]*)#(.*)$", line)
            if not match:
                yield Finding(path, number, 'cannot be read; write "room [words]: uses a b  # why"')
                continue
            name, words, uses, why = match.group(1), match.group(2) or "", match.group(3).split(), match.group(4)
            if name in self.rooms:
                yield Finding(path, number, f"{name} stands here twice")
            for used in uses:
                if used not in self.rooms:
                    yield Finding(path, number, f"{name} is granted {used}, which does not stand above it")
            for word in words.split():
                if word not in ("optional", "threads", "planned", "outside"):
                    yield Finding(path, number, f"[{word}] means nothing; there are optional, threads, planned, outside")
            has_folder = any(each.startswith(f"src/{name}/") for each in self.paths)
            if "planned" in words.split() and has_folder:
                yield Finding(path, number, f"{name} is marked [planned], but src/{name}/ is there")
            if not has_folder and not {"planned", "outside"} & set(words.split()):
                yield Finding(path, number, f"{name} has no folder src/{name}/; mark it [planned] until it has one")
            if not why.strip():
                yield Finding(path, number, f"{name} gives no reason")
            self.rooms[name] = Room(name, words.split(), uses, number)

    def includes(self, source):
        """The (line, path) of every #include that may name a file of the house."""
        for number, line in enumerate(source.code, 1):
            match = re.match(r'\s*#\s*include\s*(?:"([^"]+)"|<(levity/[^>]+)>)', line)
            if match:
                yield number, match.group(1) or match.group(2)


# --- rooms ------------------------------------------------------------------------------------------------------------


def rooms_are_listed(house):
    yield from house.room_findings
    seen = set()
    for path in house.paths:
        parts = path.split("/")
        room = None
        if parts[0] == "src" and len(parts) > 2:
            room = parts[1]
        elif parts[:2] == ["include", "levity"] and len(parts) > 3:
            room = parts[2]
        elif parts[0] == "src" and path != "src/rooms.txt":
            yield Finding(path, 1, "lies in no room; sources below src/ stand in src/<room>/")
        if room and room not in seen:
            seen.add(room)
            if room not in house.rooms:
                yield Finding(path, 1, f"the room {room} is not listed in src/rooms.txt, so nothing builds it")


def includes_are_granted(house):
    for source in house.cpp:
        if source.room is not None:
            yield from room_includes(house, source)
        elif source.place in house.rooms and "outside" in house.rooms[source.place].words:
            yield from outside_includes(house, source)


def room_includes(house, source):
    room = house.rooms.get(source.room)
    granted = {source.room} | set(room.uses if room else [])
    umbrella = source.room == ""
    for number, path in house.includes(source):
        parts = path.split("/")
        if parts[0] == "levity":
            target = parts[1] if len(parts) > 2 else ""
            if umbrella or source.companion:
                continue
            if target == "":
                yield Finding(source.path, number, f"{path} is for users; include the nouns that are needed")
            elif target not in granted:
                yield Finding(source.path, number, f"{source.room} is not granted {target} (src/rooms.txt)")
        elif parts[0] == "tests":
            if not source.companion or parts[1:2] != ["support"]:
                yield Finding(source.path, number, f"{path}: only companions may use tests, and only tests/support")
        elif parts[0] in house.rooms and "outside" not in house.rooms[parts[0]].words:
            if source.place == "include":
                yield Finding(source.path, number, f"a public header must not include the private {path}")
            elif parts[0] not in granted:
                yield Finding(source.path, number, f"{source.room} is not granted {parts[0]} (src/rooms.txt)")
        elif parts[0] in house.rooms:
            yield Finding(source.path, number, f"{source.room or 'levity'} must not know {parts[0]}/")
        elif "/".join(source.parts[:-1] + parts) in house.existing or ".." in parts:
            yield Finding(source.path, number, f'"{path}": write the path from src/ or include/')


def outside_includes(house, source):
    granted = house.rooms[source.place].uses
    for number, path in house.includes(source):
        parts = path.split("/")
        if parts[0] == "levity":
            if "detail" in parts and not source.companion:
                yield Finding(source.path, number, f"{path} is not promised to users")
        elif f"{source.place}/{path}" in house.existing or path in house.existing:
            continue
        elif parts[0] in house.rooms and f"src/{path}" in house.existing and parts[0] not in granted:
            yield Finding(source.path, number, f"{source.place} is not granted the private {parts[0]} (src/rooms.txt)")


def companions_have_a_source(house):
    for source in house.cpp:
        kind = source.companion
        if not kind or source.place == "tests":
            continue
        folder = "/".join(source.parts[:-1])
        home = "/".join(source.parts[:2]) if source.place in ("src", "tools") else source.place
        public = f"include/levity/{source.room}/" if source.room else None
        nouns = {home.split("/")[-1]}
        for path in house.existing:
            stem, suffix = os.path.splitext(path.split("/")[-1])
            if suffix in (".hpp", ".cpp", ".def") and stem.rsplit("_", 1)[-1] not in COMPANIONS:
                if path.startswith((folder + "/", home + "/", public or folder + "/")):
                    nouns.add(stem)
        name = source.stem[: -len(kind) - 1]
        if not any(name == noun or name.startswith(noun + "_") for noun in nouns):
            yield Finding(source.path, 1, f"companion of nothing: there is no {name}.hpp or {name}.cpp beside it")


# --- threads and memory orders ----------------------------------------------------------------------------------------

ATOMIC = re.compile(r"\bstd::atomic\w*|\batomic_(?:thread|signal)_fence\b|\b__(?:atomic|sync)_\w+|#\s*include\s*<atomic>")
THREADS = re.compile(
    r"\bstd::(?:jthread|thread|async|(?:recursive_|shared_|timed_|recursive_timed_|shared_timed_)?mutex"
    r"|condition_variable(?:_any)?|barrier|latch|counting_semaphore|binary_semaphore|once_flag|call_once"
    r"|this_thread::sleep\w*)\b(?!\s*::\s*id\b)"
    r"|\bsystem_(?:thread|mutex|condition)\b|\bpthread_(?:create|mutex_\w+|cond_\w+|rwlock_\w+|spin_\w+)\b"
    r"|#\s*include\s*<(?:thread|condition_variable|shared_mutex|barrier|latch|semaphore|future)>")
SYSTEM_THREADS = re.compile(
    r"\bstd::(?:(j?thread)(?!\w|\s*::\s*id\b)|(?:(?:recursive_|shared_|timed_)+)?(mutex)\b|(condition_variable)(?:_any)?\b"
    r"|((?:unique|scoped|shared)_lock)\b)"
    r"|\bstd::((?:counting_|binary_)?semaphore|latch|barrier|future|promise|async|packaged_task)\b(?!\s*::)"
    r"|(?<!\()\bpthread_(mutex|create|cond|rwlock|spin)\w*\s*\("
    r"|#\s*include\s*<(thread|condition_variable|shared_mutex|semaphore|latch|barrier|future)>")
SYSTEM_DOORS = {"thread": "system_thread", "jthread": "system_thread", "mutex": "system_mutex", "shared_mutex": "system_mutex",
                "condition_variable": "system_condition"}
OPERATION = re.compile(
    r"(\w+)(?:\[[^\]]*\])?\s*(?:\.|->)\s*"
    r"(load|store|exchange|fetch_(?:add|sub|and|or|xor)|compare_exchange_(?:weak|strong)|test_and_set)\s*\(")
DECLARATION = re.compile(r"\batomic(?:_ref)?\s*<[^;(){}]*>\s*&?\s*(\w+)\s*(?:\[[^\]]*\]\s*)?(?:[;={,)]|$)")
DOOR = "include/levity/base/atomic.hpp"
BEHIND_THE_DOOR = "include/levity/base/explored_atomic.hpp"
ABOUT_ORDERS = "model"  # the room whose subject they are: it hands them on, and its tests are of them alone


def atomics_pass_the_door(house):
    for source in house.cpp:
        if source.room == "base" or source.place in ("bench", ""):
            continue
        for number, line in enumerate(source.code, 1):
            match = ATOMIC.search(line)
            if match:
                yield Finding(source.path, number, f"{match.group(0).strip()}: atomics and fences come from {DOOR}")


def threads_pass_the_door(house):
    for source in house.cpp:
        if source.room in (None, "base", "model") or source.companion or source.name == "test_support.hpp":
            continue
        for number, line in enumerate(source.code, 1):
            match = SYSTEM_THREADS.search(line)
            if match:
                door = SYSTEM_DOORS.get(next(filter(None, match.groups())), "system_mutex")
                yield Finding(source.path, number, f"{match.group(0).strip()}: threads, their mutexes and condition variables, and "
                                                   f"the guards of those come from src/base/{door}.hpp")


def threads_stay_in_their_rooms(house):
    for source in house.cpp:
        if source.room is None or source.room == "base" or source.companion:
            continue
        room = house.rooms.get(source.room)
        if room and "threads" in room.words:
            continue
        for number, line in enumerate(source.code, 1):
            match = THREADS.search(line)
            if match:
                what = match.group(0).strip()
                yield Finding(source.path, number, f"{what}: {source.room or 'levity'} has no threads; "
                                                   "only rooms marked [threads] in src/rooms.txt create or block them")


def arguments(source, number, column):
    """The text between the parenthesis at `column` of line `number` and its partner, over at most ten lines."""
    depth, text = 0, []
    for offset, line in enumerate(source.code[number - 1:number + 9]):
        for char in line[column if offset == 0 else 0:]:
            if char == "(":
                depth += 1
            elif char == ")":
                depth -= 1
                if depth == 0:
                    return "".join(text)[1:]
            text.append(char)
        text.append(" ")
    return "".join(text)[1:]


def orders_are_written_out(house):
    declared = {source.path: {name for line in source.code for name in DECLARATION.findall(line)}
                for source in house.cpp}
    for source in house.cpp:
        if source.path in (DOOR, BEHIND_THE_DOOR) or source.room == ABOUT_ORDERS or source.place == "bench":
            continue
        own = set(declared[source.path])
        for _, path in house.includes(source):
            for candidate in (f"include/{path}", f"src/{path}", path, f"{source.place}/{path}"):
                own |= declared.get(candidate, set())
        for number, line in enumerate(source.code, 1):
            for match in OPERATION.finditer(line):
                name, operation = match.groups()
                certain = operation.startswith(("fetch_", "compare_exchange", "test_and_set"))
                if not certain and name not in own:
                    continue
                if "order" not in arguments(source, number, match.end() - 1):
                    yield Finding(source.path, number, f"{name}.{operation}() is seq_cst by silence: write its order")
            for name in declared[source.path]:
                if name.endswith("_") and not DECLARATION.search(line) and re.search(
                        rf"(?:\+\+|--)\s*{name}\b|\b{name}\s*(?:\+\+|--|[-+|&^]=|=(?!=))", line):
                    yield Finding(source.path, number, f"an operator on {name} is seq_cst by silence; call it")


# --- the kernel -------------------------------------------------------------------------------------------------------

SEAM = ("src/platform/syscall.hpp", "src/platform/fault_plan.cpp")
KERNEL_CALL = re.compile(
    r"(?<![\w>:\])])::((?:p?(?:read|write)v?|p(?:read|write)v2|recv(?:from|m?msg)?|send(?:to|m?msg|file)?|accept4?|connect|socket"
    r"|socketpair|bind|listen|[gs]etsockopt|get(?:sock|peer)name|shutdown|close|epoll_\w+|p?poll|eventfd|timerfd_\w+|signalfd"
    r"|open(?:at2?)?|creat|f(?:data)?sync|f?truncate|fallocate|[fl]?stat|statx|rename(?:at2?)?|unlink(?:at)?|mkdir(?:at)?|rmdir"
    r"|pipe2?|dup[23]?|fcntl|flock|splice|tee|mmap|mremap|munmap|madvise|waitid)\s*\(|syscall\s*\()"
    r"|\bio_uring_(?:enter|submit\w*|wait_cqe\w*|queue_init\w*|register_buf_ring)\s*\(")


def the_kernel_is_called_through_the_seam(house):
    """What a test cannot make fail at will has no tested way to fail: see src/platform/syscall.hpp."""
    for source in house.cpp:
        # base stands below the seam, and so does model; platform says ::syscall where nothing is to be injected, and owns the ring.
        if source.room in (None, "base", "model") or source.companion or source.path in SEAM or source.name == "test_support.hpp":
            continue
        for number, line in enumerate(source.code, 1):
            for match in KERNEL_CALL.finditer(line):
                own = source.room == "platform" and match.group(0).lstrip(":").startswith(("syscall", "io_uring"))
                if not own:
                    name = match.group(0).lstrip(":").rstrip("( ")
                    yield Finding(source.path, number, f"calls {name} directly, past {SEAM[0]}: say kernel::{name}")


# --- text -------------------------------------------------------------------------------------------------------------

UNFINISHED = re.compile(r"\b(" + "|".join(("TO" + "DO", "FIX" + "ME", "X" * 3)) + r")\b")
MACHINE = re.compile(r"(?<![\w.~-])/(?:" + "|".join(("work", "root", "home/" + r"\w")) + r")(?=[/\w])[\w/]*")
FILE_NAME = re.compile(r"[a-z0-9_]+(\.[a-z0-9_]+)*$")
FREE_NAMES = re.compile(
    r"[A-Z]+(\.md)?$|CMakeLists\.txt$|CMakePresets\.json$|\.[a-z-]+$|docs/design/\d{4}-[a-z0-9-]+\.md$")


def texts_are_clean(house):
    for source in house.sources:
        if b"\r" in source.bytes:
            yield Finding(source.path, 1, "has carriage returns; lines end with a line feed alone")
        if source.bytes and not source.bytes.endswith(b"\n"):
            yield Finding(source.path, len(source.lines), "the last line does not end")
        for number, line in enumerate(source.lines, 1):
            if "\t" in line:
                yield Finding(source.path, number, "a tab; indent with spaces")
            if line.rstrip("\r") != line.rstrip("\r").rstrip():
                yield Finding(source.path, number, "space at the end of the line")
            if len(line) > LINE_MAX and source.suffix not in (".md", ".json"):
                yield Finding(source.path, number, f"{len(line)} characters; at most {LINE_MAX}")
            match = UNFINISHED.search(line)
            if match:
                yield Finding(source.path, number, f"{match.group(1)}: finish it, or say in docs why it is not there")
            match = MACHINE.search(line)
            if match and not re.search(r"https?://\S*$", line[:match.start()]):
                yield Finding(source.path, number, f"{match.group(0)} is a path of one machine")


def names_are_snake_case(house):
    for path in house.paths:
        name = path.split("/")[-1]
        if not (FILE_NAME.match(name) or FREE_NAMES.match(name) or FREE_NAMES.match(path)):
            yield Finding(path, 1, "file names are snake_case")
        if path.startswith(("src/", "include/")) and path.endswith((".h", ".hh", ".cc", ".cxx")):
            yield Finding(path, 1, "sources end with .hpp and .cpp; nothing builds this one")


def headers_guard_themselves(house):
    for source in house.cpp:
        if source.suffix == ".hpp" and not any(line.strip() == "#pragma once" for line in source.code):
            yield Finding(source.path, 1, "a header without #pragma once")


def namespaces_bear_the_version(house):
    """What a library exports lies in an inline namespace, so that two versions in one program do not mix."""
    for source in house.cpp:
        if source.place in ("src", "include") and source.companion is None:
            for number, line in enumerate(source.code, 1):
                if re.match(r"\s*namespace levity\b(?!::inline v\d+)(?!\s*=)", line):
                    yield Finding(source.path, number, "opens levity without its version; write namespace levity::inline v0")


# ---- what g++ 12 cannot compile ------------------------------------------------------------------------------------------

AWAITED_CONDITION = re.compile(r"\b(if|while|switch|for)\s*\(")
LOCAL_VARIABLE = re.compile(
    r"\s*(?!(?:return|co_return|co_await|co_yield|throw|delete|else|using|static_assert|if|while|do|switch|try|case|goto|break)\b)"
    r"(?:for\s*\(\s*|(?:if|while)\s*\(\s*)?(?:static\s+|constexpr\s+|const\s+)*"
    r"(?:struct\s+\w+\s*$|[A-Za-z_][\w:]*(?:<.*>)?[\s*&]+(?:const\s+)?(?:\w+|\[[\w, ]+\])\s*(?:=|\{|\(|\[|:|$))")
FUNCTION_HEAD = re.compile(r"\)\s*(?:const|noexcept|mutable|override|final|->\s*[\w:<>,\s*&]+|\s)*$")
CONDITION_VARIABLE = re.compile(r"\s*(?:if|while|for)\s*\(\s*(?:const\s+)?[A-Za-z_][\w:]*(?:<[^;]*>)?[\s*&]+\w+\s*(?:=|:|\{)")


def top_level_statements(body):
    """The statements of a block, without what stands in braces inside them."""
    statement, depth = "", 0
    for letter in body:
        if letter == "{":
            depth += 1
        elif letter == "}":
            depth -= 1
            if depth == 0:
                yield statement
                statement = ""
        elif depth == 0:
            if letter == ";" and statement.count("(") == statement.count(")"):
                yield statement
                statement = ""
            else:
                statement += letter
    yield statement


def function_bodies(code):
    """Start and end of every brace pair that follows a parameter list, innermost last."""
    opened = []
    for at, letter in enumerate(code):
        if letter == "{":
            before = code[:at].rstrip()[-200:]
            body = before.endswith("]") or FUNCTION_HEAD.search(before) is not None
            if body and not before.endswith("]"):
                depth, start = 0, len(before)
                for start in range(len(before) - 1, -1, -1):
                    depth += {")": 1, "(": -1}.get(before[start], 0)
                    if before[start] == "(" and depth == 0:
                        break
                body = re.search(r"\b(if|while|for|switch|catch|constexpr)\s*$", before[:start]) is None
            opened.append((at, body))
        elif letter == "}" and opened:
            start, body = opened.pop()
            if body:
                yield start, at


def conditions_await_beside_a_variable(house):
    """g++ before 12.3 (bug 106188) breaks a coroutine that awaits in a condition and has no variable at its top level."""
    for source in house.cpp:
        code = "\n".join(source.code)
        if "co_await" not in code:
            continue
        bodies = sorted(function_bodies(code))
        for match in AWAITED_CONDITION.finditer(code):
            depth, end = 0, match.end() - 1
            for end in range(match.end() - 1, len(code)):
                depth += {"(": 1, ")": -1}.get(code[end], 0)
                if depth == 0:
                    break
            if "co_await" not in code[match.end():end] or CONDITION_VARIABLE.match(code[match.start():end]):
                continue
            around = [body for body in bodies if body[0] < match.start() < body[1]]
            if not around:
                continue
            start, stop = around[-1]
            statements = list(top_level_statements(code[start + 1:stop]))
            if not any(LOCAL_VARIABLE.match(each) or CONDITION_VARIABLE.match(each) for each in statements):
                line = code.count("\n", 0, match.start()) + 1
                yield Finding(source.path, line, "awaits in a condition of a function without a variable, which g++ 12.2 "
                              "breaks: name the result first")


AWAITS = re.compile(r"\bco_(?:await|yield)\b")
MAKES_A_STRING = re.compile(r'\b(?:std::)?to_string\s*\(|\bstd::string\s*[({]|\bfmt::format\s*\(|"\s*\+|\+\s*"')


def conditional_arguments(code, start):
    """What stands behind a `?` within parentheses of the expression that begins at `start`, up to the parenthesis that ends it."""
    depth, braces, asked = 0, 0, []
    for at in range(start, len(code)):
        letter = code[at]
        if letter in "{}":
            braces += 1 if letter == "{" else -1
            if braces < 0:
                return
        elif braces:
            continue
        elif letter in "([":
            depth += 1
        elif letter in ")]":
            while asked and asked[-1][1] == depth:
                yield code[asked.pop()[0]:at]
            depth -= 1
            if depth < 0:
                return
        elif letter == "?" and depth:
            asked.append((at, depth))
        elif letter == ";" and not depth:
            return


def awaited_arguments_choose_between_names(house):
    """g++ 12 destroys what a conditional expression makes within an awaited one twice. Told are strings, which a text shows."""
    for source in house.cpp:
        code = "\n".join(source.code)
        for match in AWAITS.finditer(code):
            if any(MAKES_A_STRING.search(choice) for choice in conditional_arguments(code, match.end())):
                line = code.count("\n", 0, match.start()) + 1
                yield Finding(source.path, line, "makes a string by `?:` in an argument of what is awaited, which g++ 12 destroys "
                              "twice: name it first")


RULES = (
    rooms_are_listed, includes_are_granted, companions_have_a_source,
    atomics_pass_the_door, threads_pass_the_door, threads_stay_in_their_rooms, the_kernel_is_called_through_the_seam,
    orders_are_written_out,
    texts_are_clean, names_are_snake_case, headers_guard_themselves, namespaces_bear_the_version,
    conditions_await_beside_a_variable, awaited_arguments_choose_between_names,
)


def findings(root):
    house = House(root)
    return house, sorted({finding for rule in RULES for finding in rule(house)})


def main(paths):
    root = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
    if len(paths) > 1 and paths[0] == "--root":
        root, paths = paths[1], paths[2:]
    paths = [os.path.normpath(path) for path in paths]
    house, found = findings(root)
    found = [one for one in found if not paths or any(f"{one.path}/".startswith(f"{path}/") for path in paths)]
    for one in found:
        print(f"{one.path}:{one.line}: {one.message}")
    largest = sorted(house.cpp, key=lambda source: (-len(source.lines), source.path))[:5]
    if largest:
        print("largest: " + ", ".join(f"{source.path} {len(source.lines) - 1}" for source in largest))
    print(f"tidy: {len(found) or 'no'} finding{'s' if len(found) != 1 else ''} in {len(house.sources)} files")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
