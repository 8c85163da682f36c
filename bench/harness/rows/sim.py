"""Simulated worlds: how much faster than the clock they are, and what an event in them costs."""

import os
import re
import subprocess
import time

from ..processes import Failure, prepared, run_json
from ..record import at_least, at_most, no_target, of_values
from ..statistic import median
from .row import Row

HOUR_S = 3600


def orders(bench):
    """The order service with both of those that it calls, 1,000 orders a second of the world's time, in one thread."""
    seconds = max(2, bench.steady_seconds * 2)
    runs = [run_json(bench, bench.subject("sim_orders"), "orders", seconds, cpu=bench.server_cpu, timeout=300)
            for _ in range(max(3, bench.repetitions // 4))]
    for run in runs:
        if run["orders"] < 1000 * seconds:
            raise Failure(f"only {run['orders']} of {1000 * seconds} orders were taken")
    yield of_values("sim/orders", [run["simulated_ns"] / run["wall_ns"] for run in runs], "simulated s per s", at_least(20),
                    note=f"{runs[0]['failures']} of the requests were asked again")
    yield of_values("sim/orders/order", [run["cpu_ns"] / run["orders"] / 1000 for run in runs], "us CPU", no_target(),
                    note="of all four hosts, the customers' too; {:.0f} events".format(
                        median([run["events"] / run["orders"] for run in runs])))
    yield of_values("sim/orders/event", [run["cpu_ns"] / run["events"] for run in runs], "ns CPU", no_target(),
                    note="a turn of a host, or what comes out of the network")


def idle_hours(bench):
    """An hour in which nothing happens: of the order service and those that it calls, and of a world without any."""
    runs = [run_json(bench, bench.subject("sim_orders"), "idle", HOUR_S, cpu=bench.server_cpu) for _ in range(bench.repetitions)]
    yield of_values("sim/idle_hour", [run["wall_ns"] / 1e6 for run in runs], "ms", at_most(10),
                    note=f"three services are up; {runs[0]['events']} events")
    hours = 1000
    runs = [run_json(bench, bench.subject("sim_world"), "idle_hours", hours, cpu=bench.server_cpu)
            for _ in range(bench.repetitions)]
    yield of_values("sim/idle_hour/empty", [run["wall_ns"] / hours / 1e6 for run in runs], "ms", no_target(),
                    note="{:.0f} events".format(runs[0]["events"] / hours))


RAN = re.compile(r"\[       OK \] order_check\.\S+ \((\d+) ms\)")


def seed(bench):
    """What each seed of reference/order_check_test.cpp takes: a day of three services with a fault plan of its own."""
    seeds = 10 if bench.repetitions < 20 else 40
    program = os.path.join(bench.build, "reference_test")
    if not os.access(program, os.X_OK):
        raise Failure("reference_test is not built")
    samples = []
    for _ in range(3):
        environment = {name: value for name, value in os.environ.items() if not name.startswith("LEVITY_SIM_")}
        environment["LEVITY_SIM_SEEDS"] = str(seeds)
        since = time.monotonic()
        ran = subprocess.run([program, "--gtest_filter=order_check.what_was_acknowledged*"], capture_output=True, text=True,
                             errors="replace", timeout=600, check=False, env=environment,
                             preexec_fn=prepared(bench.server_cpu, bench.priority))
        wall_s = time.monotonic() - since
        if ran.returncode != 0 or not RAN.search(ran.stdout):
            raise Failure(f"order_check failed with {ran.returncode}: {ran.stdout.strip()[-300:]}")
        samples.append(wall_s * 1000 / (seeds + 1))  # the first one is run twice
    yield of_values("sim/seed", samples, "ms", no_target(), note="{:.1f} seeds a second".format(1000 / median(samples)))


def pingpong(bench):
    """64 bytes from one host to another and back."""
    messages = 100_000 if bench.repetitions < 20 else 300_000
    runs = [run_json(bench, bench.subject("sim_world"), "pingpong", messages // 2, cpu=bench.server_cpu)
            for _ in range(bench.repetitions)]
    yield of_values("sim/pingpong", [run["cpu_ns"] / messages for run in runs], "ns CPU per message", no_target(),
                    note="{:.1f} events each".format(runs[0]["events"] / messages))


ROWS = [
    Row(["sim/orders", "sim/orders/order", "sim/orders/event"], orders),
    Row(["sim/idle_hour", "sim/idle_hour/empty"], idle_hours),
    Row(["sim/seed"], seed),
    Row(["sim/pingpong"], pingpong),
]
