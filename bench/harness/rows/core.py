"""Trees of tasks, wake-ups across workers, timers, and what does not grow with the number of tasks."""

from ..processes import Failure, run_json
from ..record import at_most, of_pairs, of_values
from ..statistic import median
from .row import Row, alternate


def tree(depth):
    name = f"tree/10-ary/{depth}"

    def measure(bench):
        # Deep enough to last, shallow enough for a quick run: depth 6 has a million leaves, depth 8 a hundred.
        rounds = 3 if depth < 8 else 1
        runs = []
        for _ in range(bench.repetitions if depth < 8 else max(3, bench.repetitions // 10)):
            done = run_json(bench, bench.subject("tree"), depth, rounds, timeout=300)
            if done["leaves"] != 10**depth:
                raise Failure("not every leaf was counted")
            runs.append(done["cpu_ns"] / done["tasks"])
        yield of_values(name, runs, "core-ns per task", at_most(30), note="CPU time of all workers; every node and leaf a task")

    return Row([name], measure)


def wake_cross(bench):
    rounds = bench.micro_calls // 2500

    def run(name, *arguments):
        done = run_json(bench, name, rounds, *arguments)
        return done["wall_ns"] / done["rounds"]

    futex = median([run("wake_floor", "futex") for _ in range(5)])
    pairs = alternate(bench.repetitions, lambda: run("wake_floor"), lambda: run(bench.subject("wake_cross")))
    yield of_pairs("wake/cross", pairs, "ns per round trip", at_most(1.15), judged="ratio",
                   note=f"eventfd on epoll, there and back, one thread a CPU; by futex {futex:.0f} ns")


def timers(bench):
    armed, operations = 1_000_000, bench.micro_calls // 4
    runs = [run_json(bench, bench.subject("timers"), armed, operations, cpu=bench.server_cpu, timeout=120)
            for _ in range(bench.repetitions // 2)]
    few = [run_json(bench, bench.subject("timers"), 1000, operations, cpu=bench.server_cpu)
           for _ in range(bench.repetitions // 2)]

    def each(which, these=runs):
        return [run[f"{which}_ns"] / run["operations"] for run in these]

    note = "10^6 others armed; a deadline around a task that does not wait: {:.0f} ns; a timer for one use: {:.0f} ns".format(
        median(each("deadline")), median(each("fresh")))
    yield of_values("timer/schedule_cancel", each("schedule_cancel"), "ns CPU", at_most(25), note=note)
    yield of_values("timer/reset", each("reset"), "ns CPU", at_most(15), note="10^6 others armed; to a later moment")
    growth = [many / small for many, small in zip(each("deadline"), each("deadline", few))]
    yield of_values("growth/timers", growth, "x", at_most(1.3),
                    note="into the wheel and out of it, a deadline each: 10^6 armed by 10^3 armed")


def growth(bench):
    operations = bench.micro_calls // 10
    ratios, notes = [], []
    for _ in range(bench.repetitions // 2):
        few = run_json(bench, bench.subject("population"), 1000, operations, cpu=bench.server_cpu)
        many = run_json(bench, bench.subject("population"), 1_000_000, operations, cpu=bench.server_cpu, timeout=120)
        each = {which: many[f"{which}_ns"] / few[f"{which}_ns"] for which in ("spawn_join", "yield", "park")}
        ratios.append(max(each.values()))
        notes.append(each)
    note = "10^6 sleeping by 10^3 sleeping, the worst of " + ", ".join(
        f"{which.replace('_', ' and ')} {median([each[which] for each in notes]):.2f}" for which in notes[0])
    yield of_values("growth/tasks", ratios, "x", at_most(1.3), note=note)


ROWS = [
    tree(6),
    tree(8),
    Row(["wake/cross"], wake_cross),
    Row(["timer/schedule_cancel", "timer/reset", "growth/timers"], timers),
    Row(["growth/tasks"], growth),
]
