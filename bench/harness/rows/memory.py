"""What workers share without wanting to, and what memory comes back."""

from ..processes import run_json
from ..record import at_least, at_most, of_values
from ..statistic import median
from .row import Row


def scaling(bench, name, operations):
    """Two hammers on two workers by one hammer, as (one, two) wall times in nanoseconds an operation."""
    def run(hammers):
        return run_json(bench, name, hammers, operations)["wall_ns"] / operations

    return run(1), run(2)


def false_sharing(bench):
    operations = bench.micro_calls // 20
    samples, own, machine = [], [], []
    subject = bench.subject("two_hammers")
    for i in range(bench.repetitions * 2):
        halves = [("scaling_floor", machine), (subject, own)]
        for name, into in halves if i % 2 == 0 else reversed(halves):
            one, two = scaling(bench, name, operations)
            into.append(2 * one / two)
        samples.append(2 * own[-1] / machine[-1])
    planted = [2 * one / two for one, two in (scaling(bench, "two_hammers_unpadded", operations) for _ in range(5))]
    note = (f"two workers do {median(own):.2f} times the work of one; two threads of C that share nothing {median(machine):.2f} "
            f"times, which counts as 2; counters in one cache line: {median(planted):.2f} times")
    yield of_values("false_sharing", samples, "x", at_least(1.9), note=note)


def fragmentation(bench):
    runs = [run_json(bench, bench.subject("fragments"), bench.parked_tasks, timeout=120)
            for _ in range(1 if bench.repetitions < 20 else 3)]
    excess = [(run["rss_2s"] - run["rss_start"] - 4 * 2**20) / run["live_bytes"] for run in runs]
    one = runs[0]
    heap = run_json(bench, "fragments_floor", bench.parked_tasks)
    note = (f"{one['live_tasks']} of {one['tasks']} tasks live, {one['live_bytes'] / 2**20:.0f} MiB of frames and records; "
            f"RSS {one['rss_full'] / 2**20:.0f} MiB when full, {one['rss_2s'] / 2**20:.0f} MiB 2 s after; "
            f"by the C library's heap: {heap['rss_freed'] / 2**20:.0f} MiB, {heap['rss_trimmed'] / 2**20:.0f} after malloc_trim()")
    yield of_values("fragmentation", excess, "x", at_most(1.5), note=note)


ROWS = [
    Row(["false_sharing"], false_sharing),
    Row(["fragmentation"], fragmentation),
]
