"""The echo server, busy and idle."""

import time

from ..processes import Driver, Server, context_switches, cpu_ns
from ..record import at_most, of_pairs, of_values
from .row import Row, server_pairs


def echo_row(size, connections, mode):
    label = "saturated" if mode == "saturated" else "20k_per_s"
    name = f"echo/{'16KiB' if size == 16384 else f'{size}B'}/{connections}conn/{label}"

    def measure(bench):
        with Server(bench, "echo_floor") as floor, Server(bench, bench.subject("echo_server")) as subject:
            pairs, note = server_pairs(bench, floor, subject, connections, mode, ["--size", size])
        yield of_pairs(name, pairs, "ns CPU per request", at_most(1.25), judged="ratio_upper", note=note)

    return Row([name], measure)


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


ROWS = [
    *[echo_row(size, connections, mode)
      for size, connections in ((64, 16), (64, 256), (64, 2000), (16384, 16))
      for mode in ("saturated", "rate:20000")],
    Row(["idle/wakeups", "idle/cpu"], idle),
]
