"""Awaits, spawns and parked tasks."""

import re
import signal
import subprocess
import threading
import time

from ..processes import Failure, prepared, program, run_json
from ..record import at_least, at_most, of_pairs, of_values
from ..statistic import median
from .row import Row, alternate


def await_call(bench):
    calls = bench.micro_calls

    def run(name):
        done = run_json(bench, name, calls, cpu=bench.server_cpu)
        return done["result"], done["cpu_ns"] / done["calls"]

    results = {run("await_floor")[0], run(bench.subject("await_call"))[0]}  # warms as well
    if len(results) != 1:
        raise Failure("floor and subject computed different results")
    pairs = alternate(bench.pairs, lambda: run("await_floor")[1], lambda: run(bench.subject("await_call"))[1])
    yield of_pairs("await/call", pairs, "ns CPU per await", at_most(1.2), judged="ratio")


def spawn_join(bench):
    one_by_one, batches = [], []
    for _ in range(bench.repetitions):
        done = run_json(bench, bench.subject("spawn_join"), bench.micro_calls // 10, cpu=bench.server_cpu)
        one_by_one.append(done["cpu_ns"] / done["tasks"])
        batches.append(done["cpu_ns_batch"] / done["tasks"])
    note = f"one at a time; a thousand spawned per join: {sorted(batches)[len(batches) // 2]:.0f} ns each"
    yield of_values("task/spawn_join", one_by_one, "ns CPU per task", at_most(60), note=note)


def parked(bench):
    tasks = bench.parked_tasks
    runs, until = [], time.monotonic() + bench.parked_seconds
    while not runs or (len(runs) < bench.parked_runs and time.monotonic() < until):
        runs.append(run_json(bench, bench.subject("parked"), tasks, "waves", 10, timeout=300))
    each = [(run["rss_parked_max"] - run["rss_before"]) / tasks for run in runs]
    kept = [(run["rss_after"] - run["rss_before"]) / 2**20 for run in runs]
    # Three waves beside three: waves of one run differ by half, whatever their number, by how many workers woke for them.
    growth = [median(run["cpu_ns"][7:10]) / median(run["cpu_ns"][1:4]) for run in runs]
    second = median([median(run["cpu_ns"][1:4]) for run in runs])
    faults = [median([run["page_faults"][wave] for run in runs]) for wave in (1, 9)]
    yield of_values("task/parked/bytes", each, "B RSS per task", at_most(240), value=max(each),
                    note="worst of ten waves")
    yield of_values("task/parked/returned", kept, "MiB RSS kept 1 s after the end", at_most(4), value=max(kept))
    yield of_values("task/parked/wave10_over_wave2", growth, "x", at_most(1.1),
                    note=f"the medians of the 8th to 10th and of the 2nd to 4th, which is {second / tasks:.0f} ns CPU a task; page "
                         f"faults in the 2nd: {faults[0]:.0f}, in the 10th: {faults[1]:.0f}")
    yield of_values("task/parked/visible", [sleepers_in_dump(bench, tasks)], "tasks in the dump", at_least(tasks))


def parked_receive(bench):
    runs = [run_json(bench, bench.subject("parked_receive"), bench.parked_tasks) for _ in range(bench.parked_runs)]
    each = [(run["rss_parked"] - run["rss_before"]) / run["tasks"] for run in runs]
    yield of_values("task/parked/receive", each, "B RSS per task", at_most(240), value=max(each),
                    note="10^6 that wait to receive from a channel")


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
        seen, alike = 0, re.compile(rb'  (?:task \d+|(\d+) tasks) "sleeper" .*waits?: ')
        for line in process.stderr:
            if match := alike.match(line):
                seen += int(match.group(1) or 1)
            elif re.match(rb"levity: \d+ tasks$", line):
                return seen
        raise Failure(f"the dump did not end after {seen} tasks")
    finally:
        guard.cancel()
        process.kill()
        process.wait()
        process.stdout.close()
        process.stderr.close()


ROWS = [
    Row(["await/call"], await_call),
    Row(["task/spawn_join"], spawn_join),
    Row(["task/parked/bytes", "task/parked/returned", "task/parked/wave10_over_wave2", "task/parked/visible"], parked),
    Row(["task/parked/receive"], parked_receive),
]
