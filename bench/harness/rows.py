"""Every row of the bench: what it is called, what is measured, and what must hold."""

import os
import re
import signal
import socket
import subprocess
import tempfile
import threading
import time

from . import machine
from .processes import Driver, Failure, Server, context_switches, cpu_ns, prepared, program, run_json
from .record import at_least, at_most, missing, of_pairs, of_values

HTTP_PATH = "/orders/42"


class Row:
    """Something that is measured in one go and gives one or several records."""

    def __init__(self, names, measure):
        self.names = names
        self.measure = measure

    def records(self, bench):
        try:
            made = {record["name"]: record for record in self.measure(bench)}
        except Failure as failure:
            return [missing(name, str(failure)) for name in self.names]
        return [made.get(name) or missing(name, "the row gave no such record") for name in self.names]


def alternate(pairs, measure_floor, measure_subject):
    """ABBA: floor and subject in turn, the order turned round each time, so that drift and warmth hit both alike."""
    measured = []
    for i in range(pairs):
        if i % 2 == 0:
            floor = measure_floor()
            subject = measure_subject()
        else:
            subject = measure_subject()
            floor = measure_floor()
        measured.append((floor, subject))
    return measured


class Onlooker:
    """How busy others kept the server's core meanwhile."""

    def __init__(self, bench, servers):
        self.bench, self.servers = bench, servers

    def __enter__(self):
        self.ticks, self.stolen = machine.busy_ticks(self.bench.server_cpu)
        self.own = sum(cpu_ns(server.pid) for server in self.servers)
        self.since = time.monotonic()
        return self

    def __exit__(self, *_):
        pass

    def note(self):
        seconds = time.monotonic() - self.since
        ticks, stolen = machine.busy_ticks(self.bench.server_cpu)
        per_second = os.sysconf("SC_CLK_TCK")
        own = (sum(cpu_ns(server.pid) for server in self.servers) - self.own) / 1e9
        foreign = max(0.0, ((ticks - self.ticks) / per_second - own) / seconds)
        steal = (stolen - self.stolen) / per_second / seconds
        self.bench.foreign_share = max(self.bench.foreign_share, foreign)
        words = []
        if foreign > 0.05:
            words.append(f"others kept the server's core busy {foreign:.0%} of the time")
        if steal > 0.01:
            words.append(f"{steal:.0%} of it stolen by the hypervisor")
        return words


def server_pairs(bench, floor, subject, connections, mode, driver_arguments):
    """CPU time per request of two servers under the same load, as (floor, subject) pairs in nanoseconds, and notes."""
    with Driver(bench, [floor, subject], connections, *driver_arguments) as driver, \
         Onlooker(bench, [floor, subject]) as onlooker:
        rates, busy = [], {0: [], 1: []}

        def half(target):
            done = driver.run(target, mode, bench.half_seconds)
            rates.append(done["requests"] / max(done["seconds"], bench.half_seconds))
            busy[target].append(done["server_cpu_ns"] / 1e9 / done["seconds"])
            if done["server_cpu_ns"] <= 0:
                raise Failure("a server answered without using any CPU time")
            return done["server_cpu_ns"] / done["requests"]

        for target in (0, 1):  # warm caches, pools and branch predictors
            half(target)
        rates.clear()
        pairs = alternate(bench.pairs, lambda: half(0), lambda: half(1))
        notes = onlooker.note()
    if mode.startswith("rate:"):
        wanted = float(mode.removeprefix("rate:"))
        achieved = sorted(rates)[len(rates) // 2] / wanted
        if achieved < 0.95:
            raise Failure(f"only {achieved:.0%} of {wanted:.0f} requests a second were reached; is the machine busy?")
    notes.insert(0, "server busy {:.0%} / {:.0%}".format(*[sorted(busy[t])[len(busy[t]) // 2] for t in (0, 1)]))
    return pairs, "; ".join(notes)


def echo_row(size, connections, mode):
    label = "saturated" if mode == "saturated" else "20k_per_s"
    name = f"echo/{'16KiB' if size == 16384 else f'{size}B'}/{connections}conn/{label}"

    def measure(bench):
        with Server(bench, "echo_floor") as floor, Server(bench, bench.subject("echo_server")) as subject:
            pairs, note = server_pairs(bench, floor, subject, connections, mode, ["--size", size])
        yield of_pairs(name, pairs, "ns CPU per request", at_most(1.25), judged="ratio_upper", note=note)

    return Row([name], measure)


def await_call(bench):
    calls = bench.micro_calls

    def run(name):
        done = run_json(bench, name, calls, cpu=bench.server_cpu)
        return done["result"], done["cpu_ns"] / done["calls"]

    results = {run("await_floor")[0], run(bench.subject("await_call"))[0]}  # warms as well
    if len(results) != 1:
        raise Failure("floor and subject computed different results")
    pairs = alternate(bench.pairs, lambda: run("await_floor")[1], lambda: run(bench.subject("await_call"))[1])
    yield of_pairs("await/call", pairs, "ns CPU per await", at_most(1.5), judged="ratio")


def spawn_join(bench):
    one_by_one, batches = [], []
    for _ in range(bench.repetitions):
        done = run_json(bench, bench.subject("spawn_join"), bench.micro_calls // 10, cpu=bench.server_cpu)
        one_by_one.append(done["cpu_ns"] / done["tasks"])
        batches.append(done["cpu_ns_batch"] / done["tasks"])
    note = f"one at a time; a thousand spawned per join: {sorted(batches)[len(batches) // 2]:.0f} ns each"
    yield of_values("task/spawn_join", one_by_one, "ns CPU per task", at_most(80), note=note)


def parked(bench):
    tasks = bench.parked_tasks
    runs, until = [], time.monotonic() + bench.parked_seconds
    while not runs or (len(runs) < bench.parked_runs and time.monotonic() < until):
        runs.append(run_json(bench, bench.subject("parked"), tasks, "waves", 10, timeout=300))
    each = [(run["rss_parked_max"] - run["rss_before"]) / tasks for run in runs]
    kept = [(run["rss_after"] - run["rss_before"]) / 2**20 for run in runs]
    growth = [run["cpu_ns"][9] / run["cpu_ns"][1] for run in runs]
    second = sorted(run["cpu_ns"][1] for run in runs)[len(runs) // 2]
    yield of_values("task/parked/bytes", each, "B RSS per task", at_most(240), value=max(each),
                    note="worst of ten waves")
    yield of_values("task/parked/returned", kept, "MiB RSS kept 1 s after the end", at_most(4), value=max(kept))
    yield of_values("task/parked/wave10_over_wave2", growth, "x", at_most(1.1),
                    note=f"second wave: {second / tasks:.0f} ns CPU a task")
    yield of_values("task/parked/visible", [sleepers_in_dump(bench, tasks)], "tasks in the dump", at_least(tasks))


def sleepers_in_dump(bench, tasks):
    """Asks a process with so many parked tasks for its dump (SIGQUIT) and counts those it names as waiting."""
    command = [program(bench.build, bench.subject("parked")), str(tasks), "hold", "120"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=prepared(None, 0))
    guard = threading.Timer(100, process.kill)
    guard.start()
    try:
        if b"parked" not in process.stdout.readline():
            raise Failure("parked did not get its tasks to sleep")
        process.send_signal(signal.SIGQUIT)
        seen, line_of_task = set(), re.compile(rb'task (\d+) "sleeper" .*waits: ')
        for line in process.stderr:
            if match := line_of_task.search(line):
                seen.add(int(match.group(1)))
            elif re.match(rb"levity: \d+ tasks$", line):
                return len(seen)
        raise Failure(f"the dump did not end after {len(seen)} tasks")
    finally:
        guard.cancel()
        process.kill()
        process.wait()
        process.stdout.close()
        process.stderr.close()


def idle(bench):
    with Server(bench, bench.subject("echo_server")) as server, \
         Driver(bench, [server], 16, "--size", 64) as driver:
        driver.run(0, "saturated", 0.3)  # a service that has worked, with its connections open
        time.sleep(bench.settle_seconds)
        switches, cpu = context_switches(server.pid), cpu_ns(server.pid)
        time.sleep(bench.idle_seconds)
        switches, cpu = context_switches(server.pid) - switches, cpu_ns(server.pid) - cpu
    note = f"{bench.idle_seconds} s with 16 open connections"
    yield of_values("idle/wakeups", [switches], "wake-ups", at_most(0), note=note)
    yield of_values("idle/cpu", [cpu], "ns CPU", at_most(0), note=note)


def one_response(port):
    """What the server answers to the driver's request, byte for byte."""
    request = f"GET {HTTP_PATH} HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: bench\r\nAccept: application/json\r\n\r\n"
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(request.encode())
        got = b""
        while True:
            head, blank, body = got.partition(b"\r\n\r\n")
            length = re.search(rb"(?i)content-length: *(\d+)", head)
            if blank and (not length or len(body) >= int(length.group(1))):
                return got
            more = connection.recv(65536)
            if not more:
                raise Failure("the HTTP server closed the connection instead of answering")
            got += more


def http_cpu(bench):
    with Server(bench, bench.subject("http_small_json")) as subject, tempfile.NamedTemporaryFile() as response:
        bytes_ = one_response(subject.port)
        response.write(bytes_)
        response.flush()
        with Server(bench, "http_floor", response.name) as floor:
            pairs, note = server_pairs(bench, floor, subject, 64, "saturated", ["--http", HTTP_PATH])
    yield of_pairs("http/small_json/cpu", pairs, "ns CPU per request", at_most(1.6), judged="ratio",
                   note=f"64 connections, {len(bytes_)} B answers; {note}")


def http_allocations(bench):
    with Server(bench, bench.subject("http_small_json"), *bench.http_arguments, count_allocations=True) as server, \
         Driver(bench, [server], 64, *bench.http_load) as driver:
        driver.run(0, "saturated", bench.half_seconds)
        before = server.allocations()
        requests = driver.run(0, "saturated", 1.0)["requests"]
        made = server.allocations() - before
    yield of_values("http/small_json/allocations", [made / requests], "allocations per request", at_most(0),
                    note=f"{made} in {requests} requests on 64 warm connections")


ROWS = [
    Row(["await/call"], await_call),
    Row(["task/spawn_join"], spawn_join),
    Row(["task/parked/bytes", "task/parked/returned", "task/parked/wave10_over_wave2", "task/parked/visible"], parked),
    *[echo_row(size, connections, mode)
      for size, connections in ((64, 16), (64, 256), (64, 2000), (16384, 16))
      for mode in ("saturated", "rate:20000")],
    Row(["idle/wakeups", "idle/cpu"], idle),
    Row(["http/small_json/cpu"], http_cpu),
    Row(["http/small_json/allocations"], http_allocations),
]
