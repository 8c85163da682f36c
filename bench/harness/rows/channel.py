"""Channels: a value from task to task, on one worker and on two."""

import os
import shutil
import subprocess
import tempfile

from ..processes import Failure, run_json
from ..record import at_most, of_pairs, of_values
from ..statistic import median
from .row import Row, alternate


def go_program(source, folder, static=False):
    """A peer in Go, built now where Go is; None where it is not."""
    go = shutil.which("go") or shutil.which("/usr/local/go/bin/go")
    if go is None:
        return None
    built = os.path.join(folder, "peer")
    path = os.path.join(os.path.dirname(__file__), "..", "..", "peers", source)
    environment = {**os.environ, "CGO_ENABLED": "0"} if static else None
    done = subprocess.run([go, "build", "-o", built, path], capture_output=True, check=False, text=True, env=environment)
    if done.returncode != 0:
        raise Failure(f"{source} does not build: {done.stderr.strip()[:200]}")
    return built


def hop(capacity, name, goal_ns):
    def measure(bench):
        values = bench.micro_calls // 10

        def run(path):
            done = run_json(bench, path, values, capacity, cpu=bench.server_cpu)
            return done["cpu_ns"] / done["values"]

        with tempfile.TemporaryDirectory() as folder:
            peer = go_program("channel_go.go", folder)
            if peer is None:
                runs, note = [run(bench.subject("channel_hop")) for _ in range(bench.repetitions)], "Go is not here"
            else:
                pairs = alternate(bench.repetitions, lambda: run(peer), lambda: run(bench.subject("channel_hop")))
                runs = [subject for _, subject in pairs]
                note = f"Go: {median([go for go, _ in pairs]):.0f} ns, {median([go / own for go, own in pairs]):.1f} times as much"
        yield of_values(name, runs, "ns CPU per value", at_most(goal_ns), note=note)

    return Row([name], measure)


def mpmc(pairs_of_tasks):
    name = f"channel/mpmc/{pairs_of_tasks}+{pairs_of_tasks}"

    def measure(bench):
        values = bench.micro_calls // 20

        def run(*plain):
            done = run_json(bench, bench.subject("channel_mpmc"), pairs_of_tasks, values, *plain)
            return done["wall_ns"] / done["values"]

        pairs = alternate(bench.repetitions, lambda: run("deque"), run)
        yield of_pairs(name, pairs, "ns per value", at_most(1), judged="ratio",
                       note="two workers, room for 64; the floor is a std::deque under a std::mutex between two semaphores")

    return Row([name], measure)


ROWS = [
    hop(0, "channel/hop/unbuffered", 40),
    hop(64, "channel/hop/buffered", 20),
    mpmc(1),
    mpmc(2),
    mpmc(8),
]
