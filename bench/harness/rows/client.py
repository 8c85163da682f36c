"""The HTTP client: what a request over a kept connection costs, and what a kept connection weighs."""

import tempfile

from ..processes import Failure, Server, program, run_json
from ..record import at_most, of_pairs, of_values
from .http import HTTP_PATH, one_response
from .row import Row, alternate


def client_get(bench):
    """CPU time of the client alone; the server is C, on the driver's core."""
    requests = max(bench.micro_calls // 100, 2000)
    with Server(bench, bench.subject("http_small_json")) as model, tempfile.NamedTemporaryFile() as response:
        bytes_ = one_response(model.port)
        response.write(bytes_)
        response.flush()
        with Server(bench, "http_floor", response.name, cpus=bench.driver_cpu) as server:
            def run(name):
                done = run_json(bench, name, server.port, requests, HTTP_PATH, cpu=bench.server_cpu)
                if done.get("errors", 0):
                    raise Failure(f"{done['errors']} of {requests} requests failed")
                return done["cpu_ns"] / done["requests"]

            pairs = alternate(bench.pairs, lambda: run("http_client_floor"), lambda: run(bench.subject("http_client")))
    yield of_pairs("toolkit/client/get", pairs, "ns CPU per request", at_most(2.5), judged="ratio",
                   note=f"one kept connection, {len(bytes_)} B answers, beside a C program that writes and reads the same bytes")


def client_allocations(bench):
    requests = 2000
    with Server(bench, bench.subject("http_small_json"), cpus=bench.driver_cpu) as server, tempfile.NamedTemporaryFile() as count:
        done = run_json(bench, "/usr/bin/env", f"LD_PRELOAD={program(bench.build, 'malloc_counter.so')}",
                        f"ALLOCATION_COUNT_FILE={count.name}", program(bench.build, bench.subject("http_client")), server.port,
                        requests, HTTP_PATH)
    if done["allocations"] < 0:
        raise Failure("the allocation counter was not loaded into the program")
    yield of_values("toolkit/client/allocations", [done["allocations"] / requests], "allocations per request", at_most(0.01),
                    note=f"{done['allocations']} in {requests} requests over {done['connects']} kept connection")


def client_pooled(bench):
    connections, each = 1000, 10
    with Server(bench, bench.subject("http_small_json"), cpus=bench.driver_cpu) as server:
        runs = [run_json(bench, bench.subject("http_client"), server.port, each, HTTP_PATH, connections, timeout=120)
                for _ in range(3)]
    errors = sum(run["errors"] for run in runs)
    if errors or any(run["open"] != connections for run in runs):
        raise Failure(f"{errors} errors; {min(run['open'] for run in runs)} of {connections} connections were open")
    bytes_ = [(run["rss_open"] - run["rss_before"]) / connections for run in runs]
    yield of_values("toolkit/client/pooled_1000", bytes_, "B RSS per idle connection", at_most(2048),
                    note=f"0 errors in {sum(run['requests'] for run in runs)} requests over {connections} connections at once")


ROWS = [
    Row(["toolkit/client/get"], client_get),
    Row(["toolkit/client/allocations"], client_allocations),
    Row(["toolkit/client/pooled_1000"], client_pooled),
]
