"""HTTP: CPU time and allocations of a request."""

import re
import socket
import tempfile

from ..processes import Driver, Failure, Server
from ..record import at_most, of_pairs, of_values
from .row import Row, server_pairs

HTTP_PATH = "/orders/42"


def one_response(port):
    """What the server answers to the driver's request, byte for byte."""
    request = f"GET {HTTP_PATH} HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: bench\r\nAccept: application/json\r\n\r\n"
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(request.encode())
        got = b""
        while True:
            head, blank, body = got.partition(b"\r\n\r\n")
            length = re.search(rb"(?i)content-length: *(\d+)", head)
            if blank and (not length or len(body) >= int(length.group(1))):
                return got
            more = connection.recv(65536)
            if not more:
                raise Failure("the HTTP server closed the connection instead of answering")
            got += more


def http_cpu(bench):
    with Server(bench, bench.subject("http_small_json")) as subject, tempfile.NamedTemporaryFile() as response:
        bytes_ = one_response(subject.port)
        response.write(bytes_)
        response.flush()
        with Server(bench, "http_floor", response.name) as floor:
            pairs, note = server_pairs(bench, floor, subject, 64, "saturated", ["--http", HTTP_PATH])
    yield of_pairs("http/small_json/cpu", pairs, "ns CPU per request", at_most(1.6), judged="ratio",
                   note=f"64 connections, {len(bytes_)} B answers; {note}")


def http_allocations(bench):
    with Server(bench, bench.subject("http_small_json"), *bench.http_arguments, count_allocations=True) as server, \
         Driver(bench, [server], 64, *bench.http_load) as driver:
        driver.run(0, "saturated", bench.half_seconds)
        before = server.allocations()
        requests = driver.run(0, "saturated", 1.0)["requests"]
        made = server.allocations() - before
    yield of_values("http/small_json/allocations", [made / requests], "allocations per request", at_most(0),
                    note=f"{made} in {requests} requests on 64 warm connections")


ROWS = [
    Row(["http/small_json/cpu"], http_cpu),
    Row(["http/small_json/allocations"], http_allocations),
]
