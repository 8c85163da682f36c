"""gdb for programs that use levity: the tasks of a process or of a core file, and values printed as what they mean.

    levity-tasks             every task: what it waits for, since when, who spawned it, its await chain
    levity-tasks NAME        those whose name, wait reason, spawn site or chain contains NAME
    levity-task ID           one of them in detail; locals of its frames where the program has full debug information

Loaded by itself beside an installed shared library, elsewhere by `source levity_gdb.py`. The commands read memory and nothing else:
no code of the process runs, no thread is resumed, a core file is as good as a live process. They need the symbols `levity_layout`
and `levity_runtimes`, which `strip -g` leaves (src/inspect/layout.hpp says what they hold), and no debug information.
"""

import os
import re
import struct
import time

import gdb
import gdb.printing

LAYOUT_VERSION = 1
CHAIN_MAX = 32
PHASES = {0: "running", 1: "notified", 3: "parked"}
IN_CALL = 1
HAS_WAITED = 1 << 32


class Unreadable(gdb.GdbError):
    """What stands in the way, in one sentence."""


# Memory ---------------------------------------------------------------------------------------------------------------------------


def _bytes(address, count):
    try:
        return gdb.selected_inferior().read_memory(address, count).tobytes()
    except gdb.MemoryError as why:
        raise Unreadable(f"levity: memory at {address:#x} is not readable: {why}") from why


def _word(address):
    return struct.unpack("<Q", _bytes(address, 8))[0]


def _signed(address):
    return struct.unpack("<q", _bytes(address, 8))[0]


def _half(address):
    return struct.unpack("<I", _bytes(address, 4))[0]


def _text(address):
    """A string of C; empty for null."""
    if address == 0:
        return ""
    found = b""
    while b"\0" not in found and len(found) < 4096:
        step = 64 - address % 64  # stays inside a page
        found += _bytes(address, step)
        address += step
    return found.split(b"\0", 1)[0].decode("utf-8", "replace")


def _symbol(name):
    # The address alone: what type it has is only known with debug information.
    try:
        return int(gdb.parse_and_eval(f"(unsigned long)&{name}"))
    except gdb.error:
        return None


# The table of the library ---------------------------------------------------------------------------------------------------------


class Layout:
    """Where things are in this program's levity."""

    def __init__(self):
        entry = _symbol("levity_layout")
        self.runtimes = _symbol("levity_runtimes")
        if entry is None or self.runtimes is None:
            raise Unreadable("levity: this program has no symbol levity_layout: it was stripped of all symbols, "
                             "or uses no levity of 0.1 or later")
        self.places = {}
        while True:
            name, value = struct.unpack("<Qq", _bytes(entry, 16))
            if name == 0:
                break
            self.places[_text(name)] = value
            entry += 16
        if self.places.get("version") != LAYOUT_VERSION:
            raise Unreadable(f"levity: the program's layout has version {self.places.get('version')}, this script reads "
                             f"{LAYOUT_VERSION}: take the script that came with the library")

    def __getitem__(self, name):
        if name not in self.places:
            raise Unreadable(f"levity: the program's layout does not say '{name}': take the script that came with the library")
        return self.places[name]


NAMELESS = ("(anonymous namespace)::", "{anonymous}::")
OPERATOR = re.compile(r"operator(?!\w)(\(\)|\[\]|<=>|<<=|>>=|->\*|<<|>>|<=|>=|->|<|>|[^(<]*)")


def _bracket_length(text):
    opened = ""
    for at, c in enumerate(text):
        if c in "<(":
            opened += c
        elif c == ">" and opened[-1] == "<" and text[at - 1] != "-":
            opened = opened[:-1]
        elif c == ")":
            opened = opened[:max(opened.rfind("("), 0)]
        if not opened:
            return at + 1
    return len(text)


def function_name(signature):
    """As src/inspect/function_name.hpp: "task<V> cache<K, V>::load(const K&)" is cache::load."""
    name, rest = "", signature
    while rest:
        begins = not name or name.endswith(":")
        nameless = next((each for each in NAMELESS if rest.startswith(each)), None)
        overloaded = OPERATOR.match(rest) if begins else None
        if nameless:
            name, rest = "", rest[len(nameless):]
        elif overloaded:
            name += overloaded.group()
            break
        elif rest[0] == "<":
            if begins and rest.startswith("<lambda"):
                name += "<lambda>"
            rest = rest[_bracket_length(rest):]
        elif rest[0] == "(" and begins:
            length = _bracket_length(rest)
            name, rest = name + rest[:length], rest[length:]
        elif rest[0] == "(" and name == "decltype":
            rest = rest[_bracket_length(rest):]
        elif rest[0] == "(":
            break
        elif rest[0] in " *&":
            name, rest = "", rest[1:]
        else:
            name, rest = name + rest[0], rest[1:]
    return name or signature


class Site:
    """A place in the sources, as the compiler put it into the program."""

    def __init__(self, layout, address):
        self.file = os.path.basename(_text(_word(address + layout["site.file"]))) if address else "?"
        self.line = _half(address + layout["site.line"]) if address else 0
        self.function = function_name(_text(_word(address + layout["site.function"]))) if address else "?"

    def __str__(self):
        return f"{self.file}:{self.line}"


class Frame:
    """One suspended coroutine."""

    def __init__(self, layout, address):
        self.address = address
        self.resume = _word(address + layout["frame.resume"])
        promise = address + layout["frame.promise"]
        self.continuation = _word(promise + layout["promise.continuation"])
        self.site = Site(layout, _word(promise + layout["promise.here"]))


def _kind(name, site):
    """Behind "task": its name, if it has one, and where it was spawned, if not from outside or as the main task."""
    return (f' "{name}"' if name else "") + (f" spawned at {site}" if site.line else "")


class Task:
    """A record, as it stands in memory."""

    def __init__(self, layout, runtime, address):
        self.layout = layout
        self.runtime = runtime
        self.address = address
        self.id = _half(address + layout["record.id"])
        self.name = _text(_word(address + layout["record.name"]))
        self.site = Site(layout, _word(address + layout["record.site"]))
        self.word = _word(address + layout["record.word"])
        self.since_ms = _half(address + layout["record.since_ms"]) & 0x7FFF_FFFF
        self.waits_on = _word(address + layout["record.waits_on"])
        self.leaf = _word(address + layout["record.leaf"])
        self.scope = _word(address + layout["record.scope"])
        self.is_parked = PHASES.get(self.word >> 62) == "parked" and self.waits_on != 0
        self.cancelled = (self.word >> layout["record.reason_shift"]) & 0xFF

    @property
    def reason(self):
        return _text(_word(_word(self.waits_on + self.layout["waiter.reason"]) + self.layout["reason.name"]))

    def chain(self):
        """From the frame that waits outward."""
        address, frames = self.leaf, []
        while address != 0 and len(frames) < CHAIN_MAX:
            frames.append(Frame(self.layout, address))
            address = frames[-1].continuation
        return frames

    def waited_ms(self):
        """Since it parked; in a simulated runtime, whose clock memory does not tell, only good for comparing."""
        if self.runtime.simulated:
            return -self.since_ms
        waited = (self.runtime.now_ns() // 1_000_000 - self.since_ms) & 0x7FFF_FFFF
        return 0 if waited > 0x4000_0000 else waited  # it parked in the millisecond that we look

    def state(self):
        if self.is_parked:
            said = self.reason
            if said == "sleep":
                left = _signed(self.waits_on + self.layout["sleep.due_ns"]) - self.runtime.now_ns()
                if not self.runtime.simulated:
                    said += f" ({max(left, 0) / 1e9:.3f} s left)"
            if self.runtime.simulated:
                return f"waits: {said}, since {self.since_ms / 1e3:.3f} s of its virtual clock"
            return f"waits: {said}, for {self.waited_ms() / 1e3:.3f} s"
        for worker in self.runtime.workers():
            if worker.current == self.address:
                return "in a blocking call" if worker.in_call else "running"
        return "ready"

    def title(self):
        return f"task {self.id}{_kind(self.name, self.site)}"


class Worker:
    """A thread that runs tasks."""

    def __init__(self, layout, address):
        self.address = address
        self.current = _word(address + layout["worker.current"])
        self.in_call = (_word(address + layout["worker.call"]) & IN_CALL) != 0
        runs = _word(address + layout["worker.runs_id"])
        self.started_id = 0 if runs & HAS_WAITED else runs
        self.started_name = _text(_word(address + layout["worker.runs_name"])) if self.started_id else ""
        self.started_site = Site(layout, _word(address + layout["worker.runs_site"])) if self.started_id else None


class Scope:
    """A scope that has, or had, children."""

    def __init__(self, layout, address):
        self.layout = layout
        self.address = address
        self.name = _text(_word(address + layout["scope.name"]))
        self.opened_at = Site(layout, _word(address + layout["scope.opened_at"]))
        outstanding = _signed(address + layout["scope.outstanding"])
        bias = layout["scope.open_bias"]
        if outstanding >= bias // 2:
            outstanding += _signed(address + layout["scope.spawned"]) - bias
        self.live = max(outstanding, 0)

    def records(self):
        """The addresses of those children that have ever waited."""
        cursors = {self.address + self.layout["scope.cursors"] + i * self.layout["scope.link_bytes"]
                   for i in range(self.layout["scope.cursors_count"])}
        for link in _list(self.address + self.layout["scope.children"]):
            if link not in cursors:
                yield link - self.layout["record.sibling"]


def _list(head):
    """The links between a list's sentinel and itself."""
    link, seen = _word(head), 0
    while link not in (head, 0):
        yield link
        link = _word(link)
        seen += 1
        if seen > 100_000_000:
            raise Unreadable(f"levity: the list at {head:#x} has no end: the memory is damaged, or it was being changed")


class Runtime:
    """One run of levity in the process."""

    def __init__(self, layout, address):
        self.layout = layout
        self.address = address
        self.simulated = _word(address + layout["runtime.simulated"]) != 0
        self._now_ns = None

    def scopes(self):
        registry = _word(self.address + self.layout["runtime.registries"])
        for _ in range(_word(self.address + self.layout["runtime.registries_count"])):
            visitor = registry + self.layout["registry.visitor"]
            for link in _list(registry + self.layout["registry.scopes"]):
                if link != visitor:
                    yield Scope(self.layout, link - self.layout["scope.registry"])
            registry += self.layout["registry.bytes"]

    def workers(self):
        array = _word(self.address + self.layout["runtime.workers"])
        for i in range(_half(_word(self.address + self.layout["runtime.workers_count"]))):
            yield Worker(self.layout, _word(array + 8 * i))

    def tasks(self):
        for scope in self.scopes():
            for record in scope.records():
                yield Task(self.layout, self, record)

    def now_ns(self):
        """The moment of which the memory tells, on the monotonic clock: now, or when the core file was written."""
        if self._now_ns is None:
            core = _core_file()
            if core is None:
                self._now_ns = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
            else:
                self._now_ns = (_signed(self.address + self.layout["runtime.monotonic_ns"]) + os.stat(core).st_mtime_ns -
                                _signed(self.address + self.layout["runtime.realtime_ns"]))
        return self._now_ns


def _core_file():
    found = re.search(r"^Local core dump file:\n\s*`(.*)', file type", gdb.execute("info files", to_string=True), re.MULTILINE)
    return found.group(1) if found else None


def runtimes():
    if gdb.selected_inferior().pid == 0 and _core_file() is None:
        raise Unreadable("levity: there is no process and no core file: 'attach PID' or 'core FILE' first")
    layout = Layout()
    found, address = [], _word(layout.runtimes)
    while address != 0:
        found.append(Runtime(layout, address))
        address = _word(address + layout["runtime.next"])
    return found


# Commands -------------------------------------------------------------------------------------------------------------------------


ALIKE_MAX = 3  # tasks that wait at the same place and are told one by one


def _list_alike(tasks):
    """Prints tasks as SIGQUIT does: those of one name and spawn site that wait for the same reason at one place are one entry."""
    groups = {}
    for task in tasks:
        chain = _chain_lines(task)
        reason = task.reason if task.is_parked else task.state()
        groups.setdefault((task.name, str(task.site), task.is_parked, reason, *chain), []).append(task)
    for (_, _, waits, reason, *chain), alike in groups.items():
        if len(alike) <= ALIKE_MAX:
            for task in alike:
                print("\n".join([f"  {task.title()} {task.state()}", *chain]))
            continue
        # Who parked first has waited longest; the counter wraps, so by its distance from now.
        longest = sorted(alike, key=lambda task: -task.waited_ms())[:ALIKE_MAX] if waits else alike[:ALIKE_MAX]
        kind = longest[0].title().split(" ", 2)[2]
        print("\n".join([f"  {len(alike)} tasks {kind} {f'wait: {reason}' if waits else reason}", *chain]))
        for task in longest:
            print(f"      task {task.id} {task.state()}" if waits else f"      task {task.id}")
        print("      ...")


def _chain_lines(task):
    frames = task.chain() if task.is_parked else []
    lines = [f"      {frame.site.function} {frame.site}" for frame in frames]
    if len(frames) == CHAIN_MAX:
        lines.append("      ...")
    return lines


class LevityTasks(gdb.Command):
    """Lists the tasks of the process, or of the core file: levity-tasks [TEXT].

Those that wait at the same place are one entry. With TEXT only those in whose name, wait reason, spawn site or await chain it
occurs, each by itself. Reads memory only; runs nothing."""

    def __init__(self):
        super().__init__("levity-tasks", gdb.COMMAND_STATUS, gdb.COMPLETE_NONE)

    def invoke(self, argument, from_tty):
        wanted = argument.strip()
        found = runtimes()
        if not found:
            print("levity: no runtime lives in this process")
        total, picked, alone = 0, [], []
        for runtime in found:
            for scope in runtime.scopes():
                entered = 0
                for record in scope.records():
                    entered += 1
                    task = Task(runtime.layout, runtime, record)
                    if not wanted or wanted in "\n".join([f"  {task.title()} {task.state()}", *_chain_lines(task)]):
                        picked.append(task)
                total += max(scope.live, entered)
                if scope.live > entered and not wanted:
                    which = f'"{scope.name}"' if scope.name else f"opened at {scope.opened_at}"
                    alone.append(f"  {scope.live - entered} of scope {which} ready for the first time, or running and never waited "
                                 "yet")
            for number, worker in enumerate(runtime.workers()):
                if worker.started_id and not wanted:
                    kind = _kind(worker.started_name, worker.started_site)
                    alone.append(f"  worker {number} runs task {worker.started_id}{kind}, which has not waited yet"
                                 f"{' and is in a blocking call' if worker.in_call else ''}")
        if wanted:
            for task in picked:
                print("\n".join([f"  {task.title()} {task.state()}", *_chain_lines(task)]))
        else:
            _list_alike(picked)
        for line in alone:
            print(line)
        print(f"levity: {len(picked)} of {total} tasks" if wanted else f"levity: {total} tasks")


class LevityTask(gdb.Command):
    """Shows one task in detail: levity-task ID.

With full debug information (-g) the locals of each of its frames too: the values of those that are declared above the line that
waits, and the names of the others. Reads memory only; runs nothing."""

    def __init__(self):
        super().__init__("levity-task", gdb.COMMAND_STATUS, gdb.COMPLETE_NONE)

    def invoke(self, argument, from_tty):
        if not argument.strip().isdigit():
            raise Unreadable("levity: say which: levity-task ID; levity-tasks lists them")
        wanted = int(argument)
        for runtime in runtimes():
            for task in runtime.tasks():
                if task.id == wanted:
                    self.show(task)
                    return
        raise Unreadable(f"levity: no task {wanted} has ever waited here and lives; levity-tasks lists those that do")

    def show(self, task):
        print(f"{task.title()}\n  {task.state()}")
        print(f"  record {task.address:#x}, scope {task.scope:#x}" + (", told to cancel" if task.cancelled else ""))
        if not task.is_parked:
            print("  its frames are in use by the thread that runs it")
            return
        print(f"  waiter {task.waits_on:#x}")
        for number, frame in enumerate(task.chain()):
            print(f"  #{number} {frame.site.function} {frame.site}, frame {frame.address:#x}")
            for line in _locals(frame):
                print(f"       {line}")


# What compilers add to a frame: their own state and temporaries.
NOT_LOCALS = ("_Coro_", "__coro_", "__resume_fn", "__destroy_fn", "__promise", "Aw", "D.", "T0",  # g++
              "__int_", "class_", "struct_", "union_", "PointerType")  # clang
NOT_LOCALS_WHOLE = ("Is", "Fs")  # g++'s first and last awaiter


def _blocks(function):
    """The blocks of a function, itself first; a block that has no line of its own is not found."""
    found = {(function.start, function.end): function}
    for entry in function.function.symtab.linetable():
        if function.start <= entry.pc < function.end:
            block = gdb.block_for_pc(entry.pc)
            while block is not None and block.function is None:
                found.setdefault((block.start, block.end), block)
                block = block.superblock
    return found.values()


def _locals(frame):
    """What lives in a coroutine's frame, as far as debug information tells. Which variables it has not come to yet tell the lines:
    a frame has room for all from its first moment on, and what stands there before means nothing."""
    block = gdb.block_for_pc(frame.resume)
    while block is not None and block.function is None:
        block = block.superblock
    if block is None:
        return
    shape, first_line = None, {}
    for each in _blocks(block):
        for symbol in each:
            if symbol.name in ("frame_ptr", "__coro_frame"):  # g++, clang
                shape = symbol.type.strip_typedefs()
                if shape.code == gdb.TYPE_CODE_PTR:
                    shape = shape.target().strip_typedefs()
            elif symbol.is_variable and symbol.line:
                first_line[symbol.name] = min(symbol.line, first_line.get(symbol.name, symbol.line))
    if shape is None or shape.code != gdb.TYPE_CODE_STRUCT:
        return
    value = gdb.Value(frame.address).cast(shape.pointer()).dereference()
    being_set, not_reached = [], []
    for field in shape.fields():
        name = field.name or ""
        if not name or name.startswith(NOT_LOCALS):
            continue
        name = re.sub(r"_[0-9]+_[0-9]+$", "", name)
        if name in NOT_LOCALS_WHOLE:
            continue
        if first_line.get(name, 0) >= frame.site.line:
            (being_set if first_line[name] == frame.site.line else not_reached).append(name)
            continue
        try:
            said = value[field].format_string(max_elements=40, max_depth=2).replace("\n", " ")
        except (gdb.error, gdb.MemoryError) as why:
            said = f"<{why}>"
        yield f"{name} = {said}"
    if being_set:
        yield f"of this line: {', '.join(being_set)}"
    if not_reached:
        yield f"not reached yet: {', '.join(not_reached)}"


# Values ---------------------------------------------------------------------------------------------------------------------------


def _atomic(value):
    """The value of a std::atomic, whichever base holds it."""
    for name in ("_M_i", "_M_base"):
        try:
            inner = value[name]
            return _atomic(inner) if name == "_M_base" else inner
        except gdb.error:
            continue
    try:
        return value["_M_b"]["_M_p"]
    except gdb.error:
        return value["_M_p"]


def _enumerator(value):
    return str(value).rsplit("::", 1)[-1]


class _Printer:
    def __init__(self, value):
        self.value = value

    def to_string(self):
        try:
            return self.said()
        except gdb.error:
            # clang leaves out the members of a class whose constructors are elsewhere; -fstandalone-debug keeps them.
            return "(its members are not in the debug information)"


class IoError(_Printer):
    """eof, or: reset (errno 104) while "read" """

    def said(self):
        said = _enumerator(self.value["failure_"])
        if int(self.value["code_"]) != 0:
            said += f" (errno {int(self.value['code_'])}: {os.strerror(int(self.value['code_']))})"
        doing = int(self.value["doing_"])
        return said + (f" in {_text(doing)}" if doing else "")


class Address(_Printer):
    """127.0.0.1:7000"""

    def said(self):
        raw = bytes(int(self.value["bytes_"][i]) for i in range(16))
        port = int(self.value["port_"])
        if bool(self.value["v6_"]):
            import ipaddress
            return f"[{ipaddress.IPv6Address(raw)}]:{port}"
        return f"{raw[0]}.{raw[1]}.{raw[2]}.{raw[3]}:{port}"


class Expected(_Printer):
    """The value, or the error, of an io_result."""

    def said(self):
        if bool(self.value["_M_has_value"]):
            try:
                return f"a value: {self.value['_M_val'].format_string(max_depth=2)}"
            except gdb.error:
                return "a value"
        return f"an error: {self.value['_M_unex'].format_string(max_depth=2)}"


class TaskHandle(_Printer):
    """A task that was not awaited yet, or nothing."""

    def said(self):
        frame = int(self.value["frame_"]["_M_fr_ptr"])
        return f"a task not awaited yet, frame {frame:#x}" if frame else "no task: moved from"


class ScopeValue(_Printer):
    """How many live in it."""

    def said(self):
        state = int(self.value["state_"])
        if not state:
            return "a scope that was left"
        scope = Scope(Layout(), state)
        name = f' "{scope.name}"' if scope.name else f" opened at {scope.opened_at}"
        waiting = sum(1 for _ in scope.records())
        return f"a scope{name} of {scope.live} tasks, {waiting} of which have waited"


class Mutex(_Printer):
    """Free, or who holds it."""

    def said(self):
        state = _enumerator(_atomic(self.value["word_"]))
        if state == "free":
            return "free"
        return f"{state}, by task {int(_atomic(self.value['owner_']))}"


class Semaphore(_Printer):
    """How many permits are left."""

    def said(self):
        return f"{int(self.value['permits_'])} permits left"


class Event(_Printer):
    """set, or not set"""

    def said(self):
        return "set" if bool(_atomic(self.value["set_"])) else "not set"


class WaitGroup(_Printer):
    """How many are awaited."""

    def said(self):
        return f"waits for {int(self.value['count_'])}"


class Channel(_Printer):
    """How full it is."""

    def said(self):
        core = self.value["core_"]
        return f"{int(core['count_'])} of {int(core['capacity_'])} values{', closed' if bool(core['closed_']) else ''}"


class TcpStream(_Printer):
    """Open, or closed; the endpoint that a dump names."""

    def said(self):
        socket = int(self.value["socket_"])
        return f"an open stream, endpoint {socket:#x}" if socket else "closed"


class File(_Printer):
    """Its descriptor."""

    def said(self):
        fd = int(self.value["fd_"])
        return f"descriptor {fd}" if fd >= 0 else "closed"


class Record(_Printer):
    """What levity-tasks says of it in one line."""

    def said(self):
        address = int(self.value.address)
        for runtime in runtimes():
            return Task(runtime.layout, runtime, address).title()
        return "a task"


PRINTERS = (
    ("io_error", r"^levity::(v\d+::)?io_error$", IoError),
    ("io_result", r"^std::expected<.*levity::(v\d+::)?io_error>$", Expected),
    ("address", r"^levity::(v\d+::)?address$", Address),
    ("task", r"^levity::(v\d+::)?task<.*>$", TaskHandle),
    ("scope", r"^levity::(v\d+::)?scope$", ScopeValue),
    ("mutex", r"^levity::(v\d+::)?mutex$", Mutex),
    ("semaphore", r"^levity::(v\d+::)?semaphore$", Semaphore),
    ("event", r"^levity::(v\d+::)?event$", Event),
    ("wait_group", r"^levity::(v\d+::)?wait_group$", WaitGroup),
    ("channel", r"^levity::(v\d+::)?channel<.*>$", Channel),
    ("tcp_stream", r"^levity::(v\d+::)?tcp_stream$", TcpStream),
    ("file", r"^levity::(v\d+::)?file$", File),
    ("record", r"^levity::(v\d+::)?detail::task_record$", Record),
)


def register():
    printers = gdb.printing.RegexpCollectionPrettyPrinter("levity")
    for name, pattern, printer in PRINTERS:
        printers.add_printer(name, pattern, printer)
    # For all programs: a user's own objects hold levity's types as well.
    gdb.printing.register_pretty_printer(None, printers, replace=True)
    LevityTasks()
    LevityTask()


register()
