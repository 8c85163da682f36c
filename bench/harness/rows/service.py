"""What stands around the handlers of a service: its log, and who goes to the canary."""

from ..processes import Failure, run_json
from ..record import at_most, of_values
from ..statistic import median
from .row import Row


def log_line(bench):
    lines = bench.micro_calls // 40
    runs = [run_json(bench, bench.subject("service_log_line"), lines, cpu=bench.server_cpu) for _ in range(bench.repetitions)]
    if any(run["dropped"] for run in runs):
        raise Failure("lines were dropped although the sink takes everything")

    def each(which):
        return median([run[which] / run["lines"] for run in runs])

    yield of_values("toolkit/log/line", [run["cpu_ns"] / run["lines"] for run in runs], "ns CPU per line", at_most(500),
                    note=f"three fields and a request id, {each('bytes'):.0f} B, the writer's share in it; below the level: "
                         f"{each('below_ns'):.1f} ns, suppressed: {each('suppressed_ns'):.0f} ns")


def canary_route(bench):
    calls = bench.micro_calls // 10
    runs = [run_json(bench, bench.subject("service_canary_route"), calls, cpu=bench.server_cpu) for _ in range(bench.repetitions)]
    share = median([100 * run["canaries"] / run["calls"] for run in runs])
    record = median([(run["with_record_ns"] - run["cpu_ns"]) / run["calls"] for run in runs])
    yield of_values("toolkit/canary/route", [run["cpu_ns"] / run["calls"] for run in runs], "ns CPU per decision", at_most(150),
                    note=f"two rules, six fields, by X-Request-Id; 1,024 keys, of which {share:.1f} % to the canary; to record the "
                         f"outcome: {record:.0f} ns")


ROWS = [
    Row(["toolkit/log/line"], log_line),
    Row(["toolkit/canary/route"], canary_route),
]
