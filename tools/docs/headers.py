"""What the public headers offer: every public name with its place, signature and docstring, as clang sees it.

Public is what stands in namespace levity or one of its namespaces but `detail`, in any header, and every macro LEVITY_*.
What the language or the library asks of a type is no name that a user looks up, and is left out: the members of awaiters
and iterators, promise types, destructors, moves, deleted and defaulted functions, the types that ranges name. So is what has to be
public for other rooms of the house: its docstring says `Not for users`.

A docstring is `///` above a name or `///<` behind it. Functions of one name that follow each other share the first one's.
"""

import re
import sys
from dataclasses import dataclass, field
from pathlib import Path

from clang.cindex import AccessSpecifier, Config, CursorKind, Index, TranslationUnit

ROOT = Path(__file__).resolve().parents[2]
LIBRARY = Path("/usr/lib/llvm-19/lib/libclang-19.so.1")

TYPES = {CursorKind.CLASS_DECL: "class", CursorKind.STRUCT_DECL: "struct", CursorKind.CLASS_TEMPLATE: "class"}
FUNCTIONS = {CursorKind.FUNCTION_DECL, CursorKind.FUNCTION_TEMPLATE, CursorKind.CXX_METHOD, CursorKind.CONSTRUCTOR,
             CursorKind.CONVERSION_FUNCTION}
ALIASES = {CursorKind.TYPE_ALIAS_DECL, CursorKind.TYPEDEF_DECL, CursorKind.TYPE_ALIAS_TEMPLATE_DECL}
VALUES = {CursorKind.VAR_DECL, CursorKind.FIELD_DECL}
NOT_FOR_USERS = "Not for users"
OF_A_RANGE = {"value_type", "difference_type", "reference", "pointer", "iterator_category", "result_type", "rep", "period"}


@dataclass
class Name:
    name: str
    path: str  # without levity::, "scope::spawn"
    kind: str  # class, enum, enumerator, function, alias, value, concept, macro
    file: Path
    line: int
    signature: str
    doc: str
    shares: bool = False  # the docstring of the function before it
    gives: str = ""  # what co_await makes of it
    members: list = field(default_factory=list)


class Source:
    """The text of one header."""

    def __init__(self, path):
        self.text = path.read_bytes()
        self.lines = self.text.decode().splitlines()

    def doc_of(self, first, last):
        """The docstring of what stands on lines `first` to `last`."""
        above = []
        at = first - 2
        while at >= 0 and re.match(r"\s*///(?!<)", self.lines[at]):
            above.append(re.sub(r"^\s*/// ?", "", self.lines[at]))
            at -= 1
        if above:
            return "\n".join(reversed(above))
        behind = re.search(r"///<\s*(.*)", self.lines[last - 1])
        return behind.group(1) if behind else ""

    def declaration(self, begin, end):
        """From byte `begin` to the body, the end of the declaration, or `end`."""
        text = self.text[begin:end].decode()
        depth, at, word = 0, 0, ""
        while at < len(text):
            each = text[at]
            if text.startswith("//", at):
                at = text.find("\n", at)
                if at < 0:
                    break
            elif each in "([":
                depth += 1
            elif each in ")]":
                depth -= 1
            elif depth == 0 and (each in ";{" or (each == ":" and text[at + 1] != ":" and text[at - 1] != ":" and ")" in word)):
                break
            word += each
            at += 1
        return tidy(word)


def tidy(text):
    text = re.sub(r"\[\[(?:[^\]\"]|\"[^\"]*\")*\]\]\s*", "", text)
    text = re.sub(r"//[^\n]*", "", text)
    text = re.sub(r"\s+", " ", text).strip().replace("( ", "(")
    text = re.sub(r",? ?std::source_location (site|at) = [^)]*\(\)", "", text)
    return text


def qualified(cursor):
    names = []
    while cursor is not None and cursor.kind != CursorKind.TRANSLATION_UNIT:
        if cursor.kind != CursorKind.LINKAGE_SPEC:
            names.append(cursor.spelling)
        cursor = cursor.semantic_parent
    return list(reversed(names))


def methods_of(cursor):
    found = set()
    for each in cursor.get_children():
        if each.kind in FUNCTIONS:
            found.add(each.spelling)
        elif each.kind == CursorKind.CXX_BASE_SPECIFIER:
            base = each.referenced
            if base is not None and base.spelling:
                found |= methods_of(base.get_definition() or base)
    return found


class Reader:
    def __init__(self, include):
        self.include = include
        self.sources = {}
        self.names = []
        self.awaits = {}  # the name of an awaiter or awaitable -> what co_await may give
        self.seen = set()

    def source(self, path):
        if path not in self.sources:
            self.sources[path] = Source(path)
        return self.sources[path]

    def read(self, headers):
        Config.set_library_file(str(LIBRARY))
        # Each header for itself is included; what is parsed is one unit of them all.
        text = "".join(f'#include "{each.relative_to(self.include)}"\n' for each in headers)
        unit = Index.create().parse("all.cpp", args=["-std=c++23", f"-I{self.include}", "-Wno-everything"],
                                    unsaved_files=[("all.cpp", text)], options=TranslationUnit.PARSE_INCOMPLETE)
        wrong = [each for each in unit.diagnostics if each.severity >= 3]
        if wrong:
            sys.exit("levity: the headers do not compile, so nothing can be said of them:\n" + "\n".join(map(str, wrong[:5])))
        for each in unit.cursor.get_children():
            if each.kind == CursorKind.NAMESPACE and each.spelling == "levity":
                self.awaitables(each)
        for each in unit.cursor.get_children():
            if each.kind == CursorKind.NAMESPACE and each.spelling == "levity":
                self.walk(each, self.names, None)
        for each in headers:
            self.macros(each)
        self.names.sort(key=lambda name: (str(name.file), name.line))
        return self.names

    def awaitables(self, cursor):
        for each in cursor.get_children():
            if each.kind == CursorKind.NAMESPACE or each.kind in TYPES:
                self.awaitables(each)
                continue
            if each.kind == CursorKind.CLASS_TEMPLATE:
                self.awaitables(each)
            if each.kind == CursorKind.TYPE_ALIAS_DECL and each.spelling.endswith("_awaiter"):
                text = self.source(Path(each.extent.start.file.name)).declaration(each.extent.start.offset, each.extent.end.offset)
                self.awaits[f"{each.semantic_parent.spelling}::{each.spelling}"] = {text.split("= ")[1]}
                continue
            if each.spelling not in ("await_resume", "operator co_await"):
                continue
            owner = each.semantic_parent
            source = self.source(Path(each.extent.start.file.name))
            text = source.declaration(each.extent.start.offset, each.extent.end.offset)
            given = re.sub(r"^(?:inline|friend|constexpr|virtual) ", "", text.split(f" {each.spelling}")[0])
            for key in ("::".join(qualified(owner)[-2:]), owner.spelling):
                self.awaits.setdefault(key, set()).add(given)

    def given_by(self, returned, parent):
        """What co_await makes of a function's return type; empty if that is no awaitable of the house."""
        for _ in range(3):
            bare = re.sub(r"^(?:static|inline|constexpr|friend) ", "", re.sub(r"<.*>$", "", returned.strip()))
            last = bare.split("::")[-1]
            if last in ("task", "void", ""):
                break
            keys = (f"{parent}::{last}", "::".join(bare.split("::")[-2:]), last)
            found = next((self.awaits[key] for key in keys if len(self.awaits.get(key, ())) == 1), None)
            if found is None:
                return ""
            returned = next(iter(found))
            if not re.search(r"awaiter|_operation", returned):
                return returned
        return ""

    def walk(self, cursor, into, parent):
        previous = None
        for each in cursor.get_children():
            place = each.location.file
            if place is None or self.include not in Path(place.name).parents:
                continue
            if each.kind == CursorKind.NAMESPACE:
                if each.spelling != "detail":
                    self.walk(each, into, None)
                continue
            befriended = each.kind == CursorKind.FRIEND_DECL
            if befriended:
                inner = [child for child in each.get_children() if child.kind in FUNCTIONS]
                if not inner:
                    continue
                each = inner[0]
            elif parent is not None and each.access_specifier not in (AccessSpecifier.PUBLIC, AccessSpecifier.INVALID,
                                                                       AccessSpecifier.NONE):
                continue
            made = self.name_of(each, into, parent, previous)
            if made is not None:
                previous = made

    def name_of(self, cursor, into, parent, previous):
        kind, spelling = cursor.kind, cursor.spelling
        if kind in TYPES or kind == CursorKind.CLASS_TEMPLATE:
            if not cursor.is_definition() or kind == CursorKind.CLASS_TEMPLATE_PARTIAL_SPECIALIZATION or not spelling:
                return None
            word = "class"
        elif kind == CursorKind.ENUM_DECL:
            if not cursor.is_definition():
                return None
            word = "enum"
        elif kind in FUNCTIONS:
            if "detail" in qualified(cursor.semantic_parent)[1:] or self.is_asked_for(cursor, parent):
                return None
            word = "function"
        elif kind in ALIASES:
            word = "alias"
        elif kind in VALUES:
            word = "value"
        elif kind == CursorKind.CONCEPT_DECL:
            word = "concept"
        else:
            return None
        if word == "alias" and (spelling in OF_A_RANGE or spelling.endswith("_awaiter")):
            return None
        if spelling == "promise_type":
            return None
        methods = methods_of(cursor) if word == "class" else set()
        if "await_suspend" in methods or (word == "class" and spelling.endswith("_awaiter")):
            return None
        spelling = re.sub(r"(?<=\w)<.*>$", "", spelling)  # of a template's constructor
        around = parent.path.split("::") if parent else [each for each in qualified(cursor)[1:-1] if each != "v0"]
        path = "::".join([*around, spelling])
        file = Path(cursor.location.file.name)
        # A function that is declared in its class and defined below it is one name.
        key = cursor.get_usr() or (path, cursor.location.line)
        if key in self.seen:
            return None
        if cursor.semantic_parent != cursor.lexical_parent and word in ("function", "value") and parent is None:
            return None
        self.seen.add(key)
        source = self.source(file)
        start, end = cursor.extent.start, cursor.extent.end
        stop = end.offset
        if word == "value":
            stop = source.text.find(b";", stop)
        signature = source.declaration(start.offset, stop + len(" = default;") if word == "function" else stop)
        if word == "function" and re.search(r" = (delete|default)$", signature):
            return None
        if word == "concept":
            signature = tidy(source.text[start.offset:end.offset].decode())
        made = Name(spelling, path, word, file, start.line, signature, source.doc_of(start.line, end.line if word in
                    ("value", "alias") else start.line))
        if not made.doc and word == "function":
            made.doc = source.doc_of(start.line, end.line)
        if not made.doc and previous is not None and word == "function" and self.is_kin(previous, made):
            made.doc, made.shares = previous.doc, True
        if NOT_FOR_USERS in made.doc:
            return None
        if word == "function":
            owner = parent.name if parent else ""
            made.gives = self.given_by(cursor.result_type.spelling, owner)
            made.signature = re.sub(r"^(inline|friend) ", "", made.signature)
        into.append(made)
        if word == "class":
            self.walk(cursor, made.members, made)
        elif word == "enum":
            for value in cursor.get_children():
                if value.kind == CursorKind.ENUM_CONSTANT_DECL:
                    line = value.location.line
                    text = tidy(source.text[value.extent.start.offset:value.extent.end.offset].decode())
                    made.members.append(Name(value.spelling, f"{path}::{value.spelling}", "enumerator", file, line, text,
                                             source.doc_of(line, line)))
        return made

    @staticmethod
    def is_kin(previous, made):
        return previous.kind == "function" and previous.name == made.name

    @staticmethod
    def is_asked_for(cursor, parent):
        """By the language, or by the library of what it calls a range, rather than by a user."""
        if cursor.is_deleted_method() or cursor.is_default_method() or cursor.spelling.startswith("operator co_await"):
            return True
        if cursor.kind == CursorKind.CONSTRUCTOR and (cursor.is_move_constructor() or cursor.is_copy_constructor()):
            return True
        if cursor.kind == CursorKind.CONSTRUCTOR and not list(cursor.get_arguments()):
            return True
        if cursor.kind == CursorKind.CXX_METHOD and cursor.spelling == "operator=":
            return True
        return parent is not None and parent.name == "iterator"

    def macros(self, path):
        source = self.source(path)
        for number, line in enumerate(source.lines, 1):
            found = re.match(r"#\s*define\s+(LEVITY_\w+(?:\([^)]*\))?)", line)
            if not found:
                continue
            name = found.group(1).split("(")[0]
            if any(each.name == name for each in self.names):
                continue
            first = number
            while source.lines[first - 2].startswith("#if"):
                first -= 1
            self.names.append(Name(name, name, "macro", path, number, found.group(1), source.doc_of(first, number)))


def headers_below(include):
    return sorted((include / "levity").rglob("*.hpp"))


def read(root=ROOT):
    include = root / "include"
    return Reader(include).read(headers_below(include))


def undocumented(names):
    for each in names:
        if not each.doc:
            yield each
        yield from undocumented(each.members)


def count(names):
    return sum(1 + count(each.members) for each in names)
