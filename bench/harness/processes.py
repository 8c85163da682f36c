"""Programs under test: started on their core, watched from outside, always ended."""

import ctypes
import json
import os
import platform
import signal
import socket
import struct
import subprocess
import tempfile
import time


class Failure(Exception):
    """A row cannot be measured; the text says why."""


class Spoiled(Failure):
    """The machine was in the way of those who measure: what was measured counts for neither side, and may be measured again."""


def process_clock(pid):
    """The kernel's id of the CPU clock of another process (see clock_getcpuclockid)."""
    return (~pid << 3) | 2


def cpu_ns(pid):
    return time.clock_gettime_ns(process_clock(pid))


def rss_bytes(pid):
    """What memory of a process is resident."""
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as lines:
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Rss:"))


def context_switches(pid):
    """How often the threads of a process have left or been taken off a CPU: each wake-up ends in one."""
    total = 0
    for thread in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{thread}/status", encoding="ascii", errors="replace") as status:
            for line in status:
                if line.startswith(("voluntary_ctxt_switches", "nonvoluntary_ctxt_switches")):
                    total += int(line.split()[1])
    return total


def short_slice(priority, slice_ns=100_000):
    """Asks the kernel (from 6.12) to run this process soon after each of its wake-ups, whoever else wants the core.

    With the default slice a server that sleeps between requests waits up to 4 ms behind another program, and no fixed
    rate can be kept. sched_setattr has no name in the standard library.
    """
    numbers = {"x86_64": 314, "aarch64": 274}
    number = numbers.get(platform.machine())
    if number is not None:
        attributes = struct.pack("=IIQiIQQQ", 48, 0, 0, priority, 0, slice_ns, 0, 0)
        ctypes.CDLL(None).syscall(number, 0, attributes, 0)


def prepared(cpus, priority, group=None, *, first=False):
    """What a program is told before it begins: on which CPU or CPUs (None: any), how urgent it is, and in which cgroup.

    `first`: where it is allowed nobody of another urgency keeps it waiting. It must sleep most of its time.
    """
    def prepare():
        if group is not None:
            group.join()
        if cpus is not None:
            os.sched_setaffinity(0, {cpus} if isinstance(cpus, int) else cpus)
        try:
            os.setpriority(os.PRIO_PROCESS, 0, priority)
            if priority < 0:
                short_slice(priority)
            if first:
                os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
        except OSError:
            pass
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: no program outlives a harness that was killed

    return prepare


def program(build, name):
    if os.path.isabs(name):
        return name  # a peer, built elsewhere
    path = os.path.join(build, "bench", name)
    if not os.access(path, os.X_OK):
        raise Failure(f"bench/{name} is not built")
    return path


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """A server program with PORT as its first argument. It has one CPU and is urgent, if nothing else is said."""

    def __init__(self, bench, name, *arguments, count_allocations=False, environment=None, cpus=None, priority=None, group=None):
        self.port = free_port()
        self.name = name
        self.errors = tempfile.TemporaryFile()
        environment = {**os.environ, **(environment or {})}
        self.count_file = None
        if count_allocations:
            self.count_file = tempfile.NamedTemporaryFile(prefix="allocations")
            environment["LD_PRELOAD"] = program(bench.build, "malloc_counter.so")
            environment["ALLOCATION_COUNT_FILE"] = self.count_file.name
        self.process = subprocess.Popen(
            [program(bench.build, name), str(self.port), *arguments],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self.errors, env=environment,
            preexec_fn=prepared(bench.server_cpu if cpus is None else cpus, bench.priority if priority is None else priority,
                                group))
        try:
            self.wait_until_ready()
        except BaseException:
            self.stop()
            raise

    @property
    def pid(self):
        return self.process.pid

    def wait_until_ready(self):
        until = time.monotonic() + 10
        while time.monotonic() < until:
            if self.process.poll() is not None:
                raise Failure(f"{self.name} ended at once: {self.last_words()}")
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=5).close()
                return
            except ConnectionRefusedError:
                time.sleep(0.01)
        raise Failure(f"{self.name} does not listen after 10 s")

    def last_words(self):
        self.errors.seek(0)
        lines = self.errors.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else f"exit code {self.process.poll()}"

    def allocations(self):
        with open(self.count_file.name, "rb") as file:
            word = file.read(8)
        if len(word) != 8:
            raise Failure("the allocation counter was not loaded into the program")
        return struct.unpack("=Q", word)[0]

    def report(self):
        """Ends the server (SIGTERM); the line of JSON that it says at its end."""
        self.process.terminate()
        try:
            said, _ = self.process.communicate(timeout=20)
            return json.loads(said)
        except subprocess.TimeoutExpired as late:
            raise Failure(f"{self.name} does not end within 20 s of SIGTERM") from late
        except ValueError as wrong:
            raise Failure(f"{self.name} said nothing at its end: {self.last_words()}") from wrong

    def stop(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        self.errors.close()
        if self.count_file:
            self.count_file.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


class Driver:
    """The load generator, connected to its servers for as long as it lives."""

    def __init__(self, bench, servers, connections, *arguments):
        command = [program(bench.build, "driver"), "--cpu", str(bench.driver_cpu), "--connections", str(connections)]
        for server in servers:
            command += ["--target", f"{server.port}:{server.pid}"]
        self.errors = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            command + [str(x) for x in arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors,
            text=True, preexec_fn=prepared(None, bench.priority))

    def run(self, target, mode, seconds):
        try:
            self.process.stdin.write(f"run {target} {mode} {seconds}\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass
        line = self.process.stdout.readline()
        if not line:
            self.process.wait()
            self.errors.seek(0)
            raise Failure(self.errors.read().decode(errors="replace").strip() or "the driver ended")
        half = json.loads(line)
        if half["requests"] == 0:
            raise Failure("no request was answered")
        return half

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()
        self.errors.close()


def run_json(bench, name, *arguments, cpu=None, timeout=120, environment=None):
    """Runs a program that prints one JSON line."""
    command = [program(bench.build, name), *[str(x) for x in arguments]]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False,
                              env={**os.environ, **(environment or {})}, preexec_fn=prepared(cpu, bench.priority))
    except subprocess.TimeoutExpired as late:
        raise Failure(f"{name} did not end within {timeout} s") from late
    if done.returncode != 0:
        words = done.stderr.strip().splitlines()
        raise Failure(f"{name} failed with {done.returncode}: {words[-1] if words else 'no message'}")
    try:
        return json.loads(done.stdout)
    except ValueError as wrong:
        raise Failure(f"{name} printed no JSON line") from wrong
