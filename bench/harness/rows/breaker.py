"""A circuit breaker: what it costs each call that goes through, and each that does not."""

import os
import shutil
import subprocess
import tempfile

from ..processes import Failure, run_json
from ..record import at_most, of_values
from ..statistic import median
from .row import Row, alternate


def gobreaker(folder):
    """A peer, built now where Go is and has the module; None where not."""
    go = shutil.which("go") or shutil.which("/usr/local/go/bin/go")
    if go is None:
        return None
    built = os.path.join(folder, "peer")
    source = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "peers", "gobreaker")
    done = subprocess.run([go, "build", "-o", built, "."], cwd=source, capture_output=True, check=False, text=True)
    return built if done.returncode == 0 else None


def each_call(done):
    return done["cpu_ns"] / done["calls"]


def one_thread(name, what, calls_by, note):
    def measure(bench):
        calls = bench.micro_calls // calls_by
        allocated = []

        def own():
            done = run_json(bench, bench.subject("breaker_calls"), what, calls, cpu=bench.server_cpu)
            allocated.append(done["allocations"])
            return each_call(done)

        with tempfile.TemporaryDirectory() as folder:
            peer = gobreaker(folder) if what in ("well", "rejected") else None
            if peer is None:
                runs, beside = [own() for _ in range(bench.repetitions)], "nothing beside it"
            else:
                pairs = alternate(bench.repetitions,
                                  lambda: each_call(run_json(bench, peer, what, calls // 4, cpu=bench.server_cpu)), own)
                runs, beside = [subject for _, subject in pairs], f"gobreaker: {median([go for go, _ in pairs]):.0f} ns"
        if any(allocated):
            raise Failure(f"{max(allocated)} allocations in {calls} calls")
        yield of_values(name, runs, "ns CPU", at_most(20), note=f"{note}; no allocation; {beside}")

    return Row([name], measure)


def contended(bench):
    calls = bench.micro_calls // 4
    worst = {}
    for what in ("contended", "contended_failing"):
        runs = [run_json(bench, bench.subject("breaker_calls"), what, calls) for _ in range(bench.repetitions)]
        worst[what] = [run["p99_ns"] for run in runs], median([each_call(run) for run in runs])
    yield of_values("toolkit/breaker/contended", worst["contended"][0], "ns p99", at_most(60),
                    note="two threads, one breaker, every call a success, 32 at a time; CPU {:.1f} ns. Every fourth one a failure: "
                         "p99 {:.0f} ns, CPU {:.0f} ns".format(worst["contended"][1], median(worst["contended_failing"][0]),
                                                               worst["contended_failing"][1]))


ROWS = [
    one_thread("toolkit/breaker/admit_record", "well", 1, "closed, every call a success"),
    one_thread("toolkit/breaker/admit_record_failing", "failing", 1,
               "closed, every fourth call a failure: each verdict moves the word"),
    one_thread("toolkit/breaker/rejected", "rejected", 1, "open; the answer says when to ask again"),
    Row(["toolkit/breaker/contended"], contended),
]
