"""The echo server, busy and idle."""

import shutil
import signal
import subprocess
import sys
import tempfile
import time

from ..processes import Driver, Failure, Server, context_switches, cpu_ns, rss_bytes
from ..record import at_most, no_target, of_pairs, of_values
from .row import Row, server_pairs


def echo_row(size, connections, mode):
    label = "saturated" if mode == "saturated" else "20k_per_s"
    name = f"echo/{'16KiB' if size == 16384 else f'{size}B'}/{connections}conn/{label}"

    most = 1.12

    def measure(bench):
        with Server(bench, "echo_floor") as floor, Server(bench, bench.subject("echo_server")) as subject:
            pairs, note = server_pairs(bench, floor, subject, connections, mode, ["--size", size], most)
        yield of_pairs(name, pairs, "ns CPU per request", at_most(most), judged="ratio_upper", note=note)

    return Row([name], measure)


def ring_row(size, connections):
    """The same server by both backends: io_uring by epoll."""
    name = f"echo/{'16KiB' if size == 16384 else f'{size}B'}/{connections}conn/ring"

    def measure(bench):
        subject = bench.subject("echo_server")
        with Server(bench, subject, environment={"LEVITY_SOCKETS": "epoll"}) as epoll, \
             Server(bench, subject, environment={"LEVITY_SOCKETS": "ring"}) as ring:
            pairs, note = server_pairs(bench, epoll, ring, connections, "saturated", ["--size", size])
        yield of_pairs(name, pairs, "ns CPU per request", no_target(), judged="ratio", note=f"by epoll; {note}")

    return Row([name], measure)


def connect_request_close(bench):
    with Server(bench, "echo_floor") as floor, Server(bench, bench.subject("echo_server")) as subject:
        pairs, note = server_pairs(bench, floor, subject, 16, "saturated", ["--size", 64, "--anew", 1])
    yield of_pairs("echo/connect_request_close", pairs, "ns CPU per connection", at_most(1.2), judged="ratio", note=note)


class Crowd:
    """Connections to a server that say nothing, held by a process of their own."""

    def __init__(self, server, connections):
        code = ("import resource, socket, sys\n"
                "limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]\n"
                "resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))\n"
                f"held = [socket.create_connection(('127.0.0.1', {server.port})) for _ in range({connections})]\n"
                "print('held', flush=True)\n"
                "sys.stdin.read()\n")
        self.process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.DEVNULL)
        if self.process.stdout.readline() != b"held\n":
            self.stop()
            raise Failure(f"{connections} connections could not be opened; are {connections + 100} files allowed?")
        time.sleep(0.5)

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


def system_calls(server, driver, target):
    """How many system calls the server makes for a request, by strace's count."""
    if shutil.which("strace") is None:
        raise Failure("system calls are counted with strace, which is not installed")
    with tempfile.NamedTemporaryFile() as counts:
        tracer = subprocess.Popen(["strace", "-f", "-c", "-o", counts.name, "-p", str(server.pid)], stderr=subprocess.PIPE)
        tracer.stderr.readline()  # attached
        requests = driver.run(target, "rate:2000", 1)["requests"]
        tracer.send_signal(signal.SIGINT)
        tracer.wait()
        tracer.stderr.close()
        total = [line.split() for line in counts.read().decode().splitlines() if line.endswith(" total")]
    if not total:
        raise Failure("strace counted nothing")
    return int(total[0][3] if len(total[0]) > 4 else total[0][2]) / requests


def idle_connections(bench):
    few, many = 100, 18_000
    name = bench.subject("echo_server")
    with Server(bench, name) as quiet, Server(bench, name) as crowded:
        with Crowd(quiet, few):
            before = rss_bytes(crowded.pid)
            with Crowd(crowded, many):
                each = (rss_bytes(crowded.pid) - before) / many
                pairs, note = server_pairs(bench, quiet, crowded, 16, "saturated", ["--size", 64])
                with Driver(bench, [quiet, crowded], 16, "--size", 64) as driver:
                    calls = [system_calls(server, driver, i) for i, server in enumerate((quiet, crowded))]
    record = of_pairs("idle_connections/cpu", pairs, "ns CPU per request", at_most(1), judged="ratio",
                      note=f"{many} idle connections by {few}; equal within the spread; {note}")
    record["target"] = 1 + max(0.02, record["spread"])
    record["pass"] = record["ratio"] <= record["target"]
    yield record
    yield of_values("idle_connections/system_calls", [calls[1] / calls[0]], "x", at_most(1.05),
                    note=f"{calls[1]:.2f} a request beside {many} idle ones, {calls[0]:.2f} beside {few}, at 2,000/s")
    yield of_values("idle_connections/bytes", [each], "B RSS per connection", at_most(1024),
                    note=f"{many} tasks parked in a socket read, their sockets and what accepting them left behind")


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
    *[ring_row(size, connections) for size, connections in ((64, 16), (64, 256), (64, 2000), (16384, 16))],
    Row(["echo/connect_request_close"], connect_request_close),
    Row(["idle_connections/cpu", "idle_connections/system_calls", "idle_connections/bytes"], idle_connections),
    Row(["idle/wakeups", "idle/cpu"], idle),
]
