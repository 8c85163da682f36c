"""The order service and its neighbours: a dead one, three that end under load, and very many connections."""

import json
import os
import re
import subprocess
import sys
import tempfile
import time

from ..processes import Failure, rss_bytes, run_json
from ..record import at_most, of_values
from .row import Row

DEAD = "toolkit/dead_service"


def dead_service(bench):
    """1,000 calls a second to a service that takes each and answers none; then one caller, call after call."""
    def run(breaker):
        return run_json(bench, bench.subject("http_dead_service"), 1000, int(bench.steady_seconds * 500), breaker, timeout=120)

    with_breaker = [run("with") for _ in range(3)]
    without = [run("without") for _ in range(3)]
    everything = with_breaker + without
    if any(each["well_unanswered"] for each in everything):
        raise Failure("the service was not answered in time while it was well; is the machine busy?")
    calls = [each["well_calls"] + each["calls"] for each in without]
    extra = [(each["well_arrived"] + each["arrived"] - all_) / all_ for each, all_ in zip(without, calls)]
    dead = sorted(each["arrived"] / each["calls"] - 1 for each in without)[1]
    held = [each["arrived"] / each["calls"] for each in with_breaker]
    yield of_values(f"{DEAD}/extra_load", extra, "of the calls", at_most(0.10), value=max(extra),
                    note="repetitions by the budget alone, of all calls of its window of 10 s, a half of them before the death; of "
                         "those after it {:.1%}; with a breaker {:.1%} of the calls arrived at all".format(dead, sorted(held)[1]))
    opened = [each["opened_after"] for each in with_breaker]
    yield of_values(f"{DEAD}/opens_after", opened, "calls", at_most(10), value=max(opened),
                    note="of one caller, after ten that went well; attempts that arrived")
    late = [(each["unanswered"] + each["unmarked"]) / each["calls"] for each in everything]
    yield of_values(f"{DEAD}/unanswered", late, "of the calls", at_most(0), value=max(late),
                    note="not answered within the deadline of {} ms, or not marked; the slowest took {:.0f} ms".format(
                        everything[0]["deadline_ms"], max(each["slowest_ms"] for each in everything)))


ENDS = "toolkit/orders/ends"


def ends(bench):
    """tests/e2e/ends_run.py: SIGTERM under load twenty times; each of the three killed twenty times."""
    quick = bench.repetitions < 20
    program = os.path.join(os.path.dirname(__file__), "..", "..", "..", "tests", "e2e", "ends_run.py")
    with tempfile.NamedTemporaryFile(suffix=".json") as facts:
        ran = subprocess.run([sys.executable, program, bench.build, "--terms", "3" if quick else "20", "--kills",
                              "6" if quick else "60", "--json", facts.name], capture_output=True, text=True, timeout=900)
        if ran.returncode not in (0, 2) or os.path.getsize(facts.name) == 0:
            raise Failure(f"the run did not come to its end: {ran.stderr.strip()[-300:]}")
        told = json.load(facts)
    term, kill = told["term"], told["kill"]
    yield of_values(f"{ENDS}/sigterm_failed", [term["failed"]], "requests", at_most(0),
                    note=f"of {term['answered']} in {term['rounds']} ends of the service under load; the slowest end took "
                         f"{term['slowest_end_s']:.1f} s")
    wrong = len(term["wrong"]) + len(kill["wrong"])
    yield of_values(f"{ENDS}/killed_lost", [wrong], "orders", at_most(0),
                    note=f"lost, doubled, not or twice charged or put aside, of {kill['acknowledged']} acknowledged in "
                         f"{kill['rounds']} kills of service, payment and inventory in turn")


def many_connections(bench):
    """10,000 connections to the order service, each used all the time."""
    connections = 1000 if bench.repetitions < 20 else 10_000
    with tempfile.TemporaryDirectory(prefix="levity-bench-orders-") as folder:
        log = os.path.join(folder, "log")
        with open(log, "w", encoding="utf-8") as into:
            service = subprocess.Popen([os.path.join(bench.build, "orders"), "--listen", "127.0.0.1:0", "--data",
                                        os.path.join(folder, "data")], stderr=into, stdout=into)
        try:
            where = None
            until = time.monotonic() + 20
            while where is None and time.monotonic() < until:
                with open(log, encoding="utf-8") as said:
                    where = re.search(r"listening at (http:\S+)", said.read())
                time.sleep(0.02)
            if where is None:
                raise Failure("the order service did not start")
            before = rss_bytes(service.pid)
            out = os.path.join(folder, "load.json")
            load = subprocess.Popen([os.path.join(bench.build, "levity"), "load", where[1] + "/orders?customer=nobody", "--rate",
                                     "2000", "--duration", "12s", "--connections", str(connections), "--lag-limit", "1s", "--quiet",
                                     "--json", out], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
            held = 0
            while load.poll() is None:
                held = max(held, rss_bytes(service.pid))
                time.sleep(0.5)
            if not os.path.exists(out):
                raise Failure(f"the load did not run: {load.stderr.read().strip()[-300:]}")
            with open(out, encoding="utf-8") as file:
                told = json.load(file)
        finally:
            service.kill()
            service.wait()
    if told["connects"] < connections:
        raise Failure(f"only {told['connects']} of {connections} connections were opened")
    yield of_values("toolkit/orders/connections/errors", [told["failed"]], "requests", at_most(0),
                    note=f"{told['good']} good answers over {connections} connections")
    yield of_values("toolkit/orders/connections/bytes", [(held - before) / connections], "B RSS per connection", at_most(8192),
                    note="of the order service, the most that it held while all were in use")


ROWS = [
    Row([f"{DEAD}/{each}" for each in ("extra_load", "opens_after", "unanswered")], dead_service),
    Row([f"{ENDS}/sigterm_failed", f"{ENDS}/killed_lost"], ends),
    Row([f"toolkit/orders/connections/{each}" for each in ("errors", "bytes")], many_connections),
]
