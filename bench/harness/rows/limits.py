"""Limiters of calls: what each costs a call that does not wait, and a server at twice its capacity behind a load_shedder."""

from ..processes import Failure, run_json
from ..record import at_least, at_most, no_target, of_values
from ..statistic import median
from .row import Row


def one_call(name, what, most, note):
    def measure(bench):
        calls = bench.micro_calls // 4
        runs = [run_json(bench, bench.subject("limits_calls"), what, calls, cpu=bench.server_cpu) for _ in range(bench.repetitions)]
        # The runtime's own threads may allocate meanwhile, to say that a task gets no CPU.
        if max(run["allocations"] for run in runs) > calls // 10_000:
            raise Failure(f"{max(run['allocations'] for run in runs)} allocations in {calls} calls")
        goal = at_most(most) if most else no_target()
        yield of_values(name, [run["cpu_ns"] / run["calls"] for run in runs], "ns CPU", goal, note=f"{note}; no allocation")

    return Row([name], measure)


OVERLOAD = "toolkit/overload"


def overload(bench):
    """16 places, calls that sleep for 10 ms on average: at half of the capacity, at twice of it, at half again."""
    runs = [run_json(bench, bench.subject("limits_overload"), "sleeping", bench.steady_seconds * 2, timeout=180)
            for _ in range(max(3, bench.repetitions // 4))]
    asked = sum(run["important_asked"] for run in runs)
    lost = sum(run["important_lost"] for run in runs)
    yield of_values(f"{OVERLOAD}/goodput", [run["goodput"] for run in runs], "of capacity", at_least(0.9),
                    note="at twice the capacity, 1600 calls a second")
    ratios = [run["p99_admitted_ms"] / run["p99_unloaded_ms"] for run in runs]
    yield of_values(f"{OVERLOAD}/admitted_p99", ratios, "x", at_most(2),
                    note="by {:.1f} ms at half of the capacity".format(median([run["p99_unloaded_ms"] for run in runs])))
    yield of_values(f"{OVERLOAD}/important_lost", [lost / asked], "of the first priority", at_most(0.001),
                    note="{} of {}; of the last three of six {:.0%} were lost".format(
                        lost, asked, median([run["lower_lost"] for run in runs])))
    recoveries = [run["recovery_ms"] for run in runs]
    yield of_values(f"{OVERLOAD}/recovery", recoveries, "ms", at_most(2000), value=max(recoveries),
                    note="until the last refusal after the load is back at half, the worst run; p99 then {:.1f} ms".format(
                        median([run["p99_after_ms"] for run in runs])))


def overload_computing(bench):
    """As many places as workers, calls that compute for 8 ms; capacity is measured first."""
    runs = [run_json(bench, bench.subject("limits_overload"), "computing", bench.steady_seconds * 2, timeout=180)
            for _ in range(3)]
    yield of_values(f"{OVERLOAD}/computing/goodput", [run["goodput"] for run in runs], "of capacity", at_least(0.9),
                    note="at twice the capacity, {:.0f} calls a second of 8 ms CPU each".format(
                        median([run["capacity"] for run in runs])))
    ratios = [run["p99_admitted_ms"] / run["p99_unloaded_ms"] for run in runs]
    yield of_values(f"{OVERLOAD}/computing/admitted_p99", ratios, "x", at_most(2),
                    note="by {:.1f} ms at half of the capacity".format(median([run["p99_unloaded_ms"] for run in runs])))


LIMITER = "toolkit/limiter"

ROWS = [
    one_call(f"{LIMITER}/token_bucket", "token_bucket", 40, "one token"),
    one_call(f"{LIMITER}/keyed", "keyed", 60, "one token of four strings of 8 to 24 bytes, hashed"),
    one_call(f"{LIMITER}/keyed_many", "keyed_many", None, "one token of 10^5 numbers at random, whose places are in no cache"),
    one_call(f"{LIMITER}/bulkhead", "bulkhead", 40, "admitted, and the place given back"),
    one_call(f"{LIMITER}/bulkhead_await", "bulkhead_await", None, "the same by co_await, which reads the clock"),
    one_call(f"{LIMITER}/adaptive", "adaptive", 40, "admitted, and told a success"),
    one_call(f"{LIMITER}/shedder", "shedder", 50, "admitted, and told a success"),
    one_call(f"{LIMITER}/shedder_await", "shedder_await", None, "the same by co_await, which reads the clock"),
    one_call(f"{OVERLOAD}/rejection", "shedder_refusal", 5000, "all places taken"),
    Row([f"{OVERLOAD}/{each}" for each in ("goodput", "admitted_p99", "important_lost", "recovery")], overload),
    Row([f"{OVERLOAD}/computing/{each}" for each in ("goodput", "admitted_p99")], overload_computing),
]
