"""What workers share without wanting to, and what memory comes back."""

import glob

from ..processes import Failure, program, run_json
from ..record import at_least, at_most, of_values
from ..statistic import median
from .row import Row


ROUNDS_AT_ONCE_LEAST = 10
TRIES = 20


def scaling(bench, name, operations):
    """How many times the work of one hammer two do for twice its CPU time: 2 when neither minds the other.

    CPU time, for on cores that others want, too, wall time says how much of them was left. But only hammers that ran side by side
    could have disturbed each other: rounds in which one was off its core do not count.
    """
    def run(hammers):
        cpu_ns, done, rounds = 0, 0, 0
        for _ in range(TRIES):
            each = run_json(bench, name, hammers, operations)
            cpu_ns += each["cpu_ns"]
            done += each["operations"]
            rounds += each["rounds_at_once"]
            if rounds >= ROUNDS_AT_ONCE_LEAST:
                return cpu_ns / done
        rounds_in_all = TRIES * each["rounds"]
        raise Failure(f"{hammers} threads of {name} ran at once in {rounds} rounds of {rounds_in_all}; is the machine busy?")

    one = run(1)
    return 2 * one / run(2)


def false_sharing(bench):
    operations = bench.micro_calls // 20
    samples, own, machine = [], [], []
    subject = bench.subject("two_hammers")
    for i in range(bench.repetitions * 2):
        halves = [("scaling_floor", machine), (subject, own)]
        for name, into in halves if i % 2 == 0 else reversed(halves):
            into.append(scaling(bench, name, operations))
        samples.append(2 * own[-1] / machine[-1])
    planted = [scaling(bench, "two_hammers_unpadded", operations) for _ in range(5)]
    note = (f"by CPU time two workers do {median(own):.2f} times the work of one; two threads of C that share nothing "
            f"{median(machine):.2f} times, which counts as 2; counters in one cache line: {median(planted):.2f} times")
    yield of_values("false_sharing", samples, "x", at_least(1.9), note=note)


PEERS = {"jemalloc": "/usr/lib/*/libjemalloc.so.2", "mimalloc": "/usr/lib/*/libmimalloc.so.2"}


def fragments_of_peers(bench):
    """What other allocators keep of the same pattern, in words; where they are installed."""
    floor = program(bench.build, "fragments_floor")
    for name, place in PEERS.items():
        for library in glob.glob(place)[:1]:
            run = run_json(bench, "/usr/bin/env", f"LD_PRELOAD={library}", floor, bench.parked_tasks)
            yield f"by {name}: {run['rss_2s'] / 2**20:.0f} MiB"


def fragmentation(bench):
    runs = [run_json(bench, bench.subject("fragments"), bench.parked_tasks, timeout=120)
            for _ in range(1 if bench.repetitions < 20 else 3)]
    excess = [(run["rss_2s"] - run["rss_start"] - 4 * 2**20) / run["live_bytes"] for run in runs]
    one = runs[0]
    heap = run_json(bench, "fragments_floor", bench.parked_tasks)
    words = [f"{one['live_tasks']} of {one['tasks']} tasks live, {one['live_bytes'] / 2**20:.0f} MiB of frames and records; "
             f"RSS {one['rss_full'] / 2**20:.0f} MiB when full, {(one['rss_2s'] - one['rss_start']) / 2**20:.0f} MiB more than at "
             "the start 2 s after",
             f"the pages that the living would keep, all laid down without a gap in the order of their birth: "
             f"{heap['packed'] / 2**20:.0f} MiB",
             f"by the C library's heap: {heap['rss_2s'] / 2**20:.0f} MiB, {heap['rss_trimmed'] / 2**20:.0f} after malloc_trim()"]
    yield of_values("fragmentation", excess, "x", at_most(1.5), note="; ".join(words + list(fragments_of_peers(bench))))


ROWS = [
    Row(["false_sharing"], false_sharing),
    Row(["fragmentation"], fragmentation),
]
