"""How long a task that is ready waits beside others that never leave its worker without work."""

from ..processes import run_json
from ..record import at_most, of_distances
from ..report import range_of
from .row import Row, alternate


def longest_wait(what, most_ms, cpus, note):
    name = f"steady/longest_wait/{what}"

    def measure(bench):
        def of(subject, beside):
            done = run_json(bench, subject, what, int(bench.steady_seconds * 1000), beside, cpu=cpus(bench))
            return done["wait_ns_max"] / 1e6, done["turns"] / bench.steady_seconds

        pairs = alternate(bench.steady_pairs, lambda: of("fairness", "alone"),
                          lambda: of(bench.subject("fairness"), "disturbed"))
        floor, own = [[side[0] for side in sides] for sides in zip(*pairs)]
        turns = min(side[1] for _, side in pairs)
        yield of_distances(name, list(zip(floor, own)), "ms longer than alone", at_most(most_ms),
                           note=f"{note}; {range_of(own)}, alone {range_of(floor)}; of at least {turns:.0f} turns/s")

    return Row([name], measure)


ROWS = [
    longest_wait("flood", 12, lambda bench: bench.two_cpus,
                 "of 1,000 tasks that wake each 5 ms and yield, beside one that spawns without end"),
    longest_wait("always_ready", 5, lambda bench: {bench.server_cpu},
                 "of a task that wakes each ms, on one CPU with one whose awaits are always ready"),
]
