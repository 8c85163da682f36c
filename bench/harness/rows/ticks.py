"""Whether a task on every slot still runs each millisecond while something large happens."""

import json
import subprocess
import tempfile

from ..processes import Failure, prepared, program
from ..record import at_most, of_distances
from ..report import range_of
from ..statistic import median
from .row import Row, alternate


class Ticker:
    """A process that does one piece of work when told, with or without a tick of 1 ms on every slot."""

    def __init__(self, bench, name, work, ticks):
        self.errors = tempfile.TemporaryFile()
        self.process = subprocess.Popen([program(bench.build, name), work, ticks], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=self.errors, preexec_fn=prepared(bench.two_cpus, 0))

    def line(self):
        line = self.process.stdout.readline()
        if not line:
            self.process.wait()
            self.errors.seek(0)
            raise Failure(self.errors.read().decode(errors="replace").strip() or f"ticker ended with {self.process.returncode}")
        return json.loads(line)

    def tell(self):
        self.process.stdin.write(b"go\n")
        self.process.stdin.flush()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()
        self.errors.close()


def worst_tick_ms(late, work):
    """The latest tick of those that were due while the work was done, or late enough for it to be to blame."""
    return max([by for due, by in late if due <= work["to_ns"] and due + by >= work["from_ns"]], default=0) / 1e6


def no_stop_the_world(work, what):
    name = f"steady/no_stop_the_world/{work}"

    def measure(bench):
        def own():
            with Ticker(bench, bench.subject("ticker"), work, "ticks") as ticker:
                ticker.line()
                ticker.tell()
                done = ticker.line()
            return worst_tick_ms(done["late"], done), (done["to_ns"] - done["from_ns"]) / 1e6

        def beside():
            with Ticker(bench, "ticker", "idle", "ticks") as ticks, Ticker(bench, "ticker", work, "no_ticks") as works:
                ticks.line()
                ticks.tell()
                works.line()
                works.tell()
                done = works.line()
                ticks.process.stdin.close()
                return worst_tick_ms(ticks.line()["late"], done), (done["to_ns"] - done["from_ns"]) / 1e6

        pairs = alternate(bench.steady_pairs, beside, own)
        floor, late = [[side[0] for side in sides] for sides in zip(*pairs)]
        took = [side[1] for _, side in pairs]
        yield of_distances(name, list(zip(floor, late)), "ms later than beside another process", at_most(5),
                           note=f"{what}, which takes {median(took):.0f} ms; the latest tick {range_of(late)}, beside a process "
                                f"that does the same {range_of(floor)}")

    return Row([name], measure)


ROWS = [
    no_stop_the_world("cancel", "a scope of 10^6 tasks is cancelled"),
    no_stop_the_world("free", "10^6 tasks end"),
    no_stop_the_world("return", "tasks of 200 MB end, which goes back to the kernel"),
    no_stop_the_world("memcpy", "512 MiB are copied in a task"),
]
