"""Load at a fixed rate, and what its answers say: each counts from the moment when its request was due."""

import array
import bisect
import json
import os
import signal
import subprocess
import tempfile
import time

from . import machine
from .processes import Failure, Server, Spoiled, cpu_ns, prepared, program

CONNECTIONS = 200
PER_SECOND = 5000
SLOW_NS = 20_000_000  # as open_loop.cpp has it
LATE_NS = 1_000_000  # what one request of a thousand may be sent too late by where two are compared: it hides in both;
LATE_ALONE_NS = 3_000_000  # where the subject is judged alone: it counts against it
STOLEN_MAX = 0.10  # of the CPUs, by the hypervisor, during what is counted


class Echoes:
    """The answers of a run: when they were due, how late they came, and how much of that others than the server may answer for."""

    def __init__(self, path):
        numbers = array.array("q")
        with open(path, "rb") as file:
            numbers.frombytes(file.read())
        self.due_ns, self.latency_ns, self.sent_late_ns, self.excused_ns = (numbers[i::4] for i in range(4))

    def __iter__(self):
        return zip(self.due_ns, self.latency_ns, self.excused_ns)

    def of_windows(self, begins_ns, lasts_ns):
        """The latencies of what was due in each of those windows, but for those in which the generator was late."""
        windows = [[] for _ in begins_ns]
        late = [0] * len(windows)
        for due, latency, sent_late in zip(self.due_ns, self.latency_ns, self.sent_late_ns):
            place = bisect.bisect_right(begins_ns, due) - 1
            if place >= 0 and due - begins_ns[place] < lasts_ns:
                windows[place].append(latency)
                late[place] += sent_late > LATE_NS
        return [window for window, late_ones in zip(windows, late) if not late_ones]

    def slow(self):
        return sum(latency > SLOW_NS for latency in self.latency_ns)

    def unexplained(self):
        """Those that were slow, and would have been without the generator's delay and the longest hindrance by the machine."""
        return sum(latency - excused > SLOW_NS for _, latency, excused in self if latency > SLOW_NS)


def at_ms(latencies_ns, part):
    """The latency that so large a part of them keeps within, in milliseconds."""
    ordered = sorted(latencies_ns)
    if not ordered:
        raise Failure("no request was answered")
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))] / 1e6


class Generator:
    """CONNECTIONS to one server, for as long as it lives."""

    def __init__(self, bench, server):
        self.cpus = bench.two_cpus
        self.errors = tempfile.TemporaryFile()
        self.file = tempfile.NamedTemporaryFile(prefix="echoes")
        self.process = subprocess.Popen(
            [program(bench.build, "open_loop"), str(server.port), str(server.pid), str(CONNECTIONS)], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=self.errors, text=True,
            preexec_fn=prepared(bench.two_cpus, bench.priority, first=bench.priority < 0))

    def tell(self, line):
        try:
            self.process.stdin.write(line + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            self.process.wait()
            self.errors.seek(0)
            raise Failure(self.errors.read().decode(errors="replace").strip() or "the generator ended")
        return json.loads(line)

    def stolen_s(self):
        return sum(machine.busy_ticks(cpu)[1] for cpu in self.cpus) / os.sysconf("SC_CLK_TCK")

    def tell_to_count(self, line):
        self.since, self.stolen_before_s = time.monotonic(), self.stolen_s()
        self.tell(line)

    def counted(self):
        """What it says at the end. Where others had too much of the CPUs meanwhile, that is spoiled, on whichever side."""
        said = self.answer()
        stolen = (self.stolen_s() - self.stolen_before_s) / (time.monotonic() - self.since) / len(self.cpus)
        if stolen > STOLEN_MAX:
            raise Spoiled(f"the hypervisor took {stolen:.0%} of the CPUs, more than {STOLEN_MAX:.0%}: it needs a quieter machine")
        return said

    def begin(self, seconds):
        self.tell_to_count(f"run {PER_SECOND} {seconds} {self.file.name}")

    def finish(self, late_max_ns=LATE_NS):
        """Its echoes. Those of a generator that was later are spoiled; None: their caller sees to that."""
        said = self.counted()
        if late_max_ns is not None and (late := said["sent_late_ns_p999"]) > late_max_ns:
            raise Spoiled(f"the generator sent one request of a thousand {late / 1e6:.1f} ms too late, more than "
                          f"{late_max_ns / 1e6:.0f} ms: it needs the right to go first (CAP_SYS_NICE), or a quieter machine")
        echoes = Echoes(self.file.name)
        echoes.threads_max, echoes.sent_late_ns_max = said["threads_max"], said["sent_late_ns_max"]
        return echoes

    def run(self, seconds, late_max_ns=LATE_NS):
        self.begin(seconds)
        return self.finish(late_max_ns)

    def warm(self, seconds):
        """The same, and nothing is counted."""
        self.begin(seconds)
        self.answer()

    def saturate(self, seconds):
        self.tell_to_count(f"saturate {seconds}")
        return self.counted()

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()
        self.errors.close()
        self.file.close()


class Trial:
    """A server under load on two CPUs, and what disturbs it there: itself, when it is told to, or spinners from outside.

    Server and spinners are as urgent as any program of a user, the generator goes before them.
    """

    def __init__(self, bench, name, *arguments, disturbs_itself=False, spinners=0, spin_seconds=0, group=None):
        """With spin_seconds the spinners compute for so long each time they are told to, else from disturb() on for ever."""
        self.bench, self.disturbs_itself, self.outside = bench, disturbs_itself, None
        self.spinners, self.spin_seconds = spinners, spin_seconds
        self.server = Server(bench, name, *[str(x) for x in arguments], cpus=bench.two_cpus, priority=0, group=group)
        self.load = self.since = None

    def __enter__(self):
        try:
            self.load = Generator(self.bench, self.server)
            if self.spin_seconds:
                self.begin_spinners(str(self.spin_seconds))
                self.outside.stdout.readline()
            self.load.warm(self.bench.warm_seconds)
            self.threads = self.thread_count()
            self.since, self.others_since = time.monotonic(), self.used_by_others()
        except BaseException:
            self.__exit__()
            raise
        return self

    def begin_spinners(self, *seconds):
        self.outside = subprocess.Popen([program(self.bench.build, "spinners"), str(self.spinners), *seconds],
                                        stdout=subprocess.PIPE, preexec_fn=prepared(self.bench.two_cpus, 0))

    def disturb(self):
        """From now on. What follows is counted once it has gone on for a while."""
        if self.disturbs_itself:
            self.tell()
        elif self.spinners:
            self.begin_spinners()
        self.load.warm(self.bench.disturbed_seconds)

    def tell(self):
        """Sets off one disturbance; when (CLOCK_MONOTONIC, ns)."""
        at = time.monotonic_ns()
        (self.server.process if self.disturbs_itself else self.outside).send_signal(signal.SIGUSR1)
        return at

    def used_by_others(self):
        """Seconds of the two CPUs that went to nobody of this scene."""
        ticks = sum(machine.busy_ticks(cpu)[0] for cpu in self.bench.two_cpus)
        own = [self.server.process, self.load.process, self.outside]
        used = sum(cpu_ns(each.pid) for each in own if each is not None and each.poll() is None)
        return ticks / os.sysconf("SC_CLK_TCK") - used / 1e9

    def thread_count(self):
        return len(os.listdir(f"/proc/{self.server.pid}/task"))

    def __exit__(self, *_):
        if self.since is not None and self.server.process.poll() is None:
            share = (self.used_by_others() - self.others_since) / (time.monotonic() - self.since) / len(self.bench.two_cpus)
            self.bench.foreign_share = max(self.bench.foreign_share, share)
        if self.outside is not None:
            self.outside.kill()
            self.outside.wait()
            self.outside.stdout.close()
        if self.load is not None:
            self.load.stop()
        self.server.stop()


def stop_and_continue(pid, pauses):
    """Lets a process go on for a while and stops it for one, in turn; when each stop began and ended (CLOCK_MONOTONIC, ns)."""
    spans = []
    for between_s, stopped_s in pauses:
        time.sleep(between_s)
        os.kill(pid, signal.SIGSTOP)
        began = time.monotonic_ns()
        time.sleep(stopped_s)
        os.kill(pid, signal.SIGCONT)
        spans.append((began, time.monotonic_ns()))
    return spans


def after_stops(echoes, spans, settled_ns):
    """How long after each stop those were answered that had been due before its end, in ms; and the latencies of those due at least
    settled_ns after the end of one, and answered before the next one."""
    ends = [end for _, end in spans]
    backlog, later = [0] * len(spans), []
    for due, latency, _ in echoes:
        place = bisect.bisect_right(ends, due)
        if place < len(spans) and due + latency > ends[place]:
            backlog[place] = max(backlog[place], due + latency - ends[place])
        stopped = place < len(spans) and due + latency >= spans[place][0]
        if place > 0 and due >= ends[place - 1] + settled_ns and not stopped:
            later.append(latency)
    return [each / 1e6 for each in backlog], later
