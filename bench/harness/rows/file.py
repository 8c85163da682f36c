"""Files: reads at random places and appends that are on the disk, one at a time and many, beside io_uring and a thread pool."""

import contextlib
import os
import tempfile

from ..processes import Failure, run_json
from ..record import at_least, at_most, of_pairs, of_values
from ..statistic import median
from .row import Row

DATA_BYTES = 64 << 20
MEANS = ("ring", "pool")


@contextlib.contextmanager
def data_file(bench):
    """A file of random bytes, on the disk and in the page cache, beside the build: /tmp may be memory."""
    with tempfile.TemporaryDirectory(prefix="file-bench.", dir=bench.build) as folder:
        path = os.path.join(folder, "data")
        with open(path, "wb") as file:
            for _ in range(DATA_BYTES >> 20):
                file.write(os.urandom(1 << 20))
            file.flush()
            os.fsync(file.fileno())
        yield path


def warmed(path):
    with open(path, "rb") as file:
        while file.read(1 << 20):
            pass


def rounds(bench, workload, path, depth, operations, *how):
    """(ring, pool, subject) of each round, as records of the programs; the order is turned round each time."""
    programs = {means: ("file_floor", means) for means in MEANS}
    programs["subject"] = (bench.subject("file_io"),)
    measured = []
    for i in range(bench.repetitions):
        order = list(programs) if i % 2 == 0 else list(reversed(programs))
        done = {}
        for which in order:
            if workload == "read" and not how:
                warmed(path)
            target = path if workload == "read" else path + ".appended"
            done[which] = run_json(bench, *programs[which], workload, target, depth, operations, *how)
            if done[which]["operations"] != operations:
                raise Failure(f"{which} did {done[which]['operations']} of {operations} operations")
        measured.append(done)
    return measured


def file_rows(name, workload, depth, operations, *how):
    row = f"file/{name}/{depth}"
    over_pool = f"{row}/pool_by_levity"

    def measure(bench):
        with data_file(bench) as path:
            measured = rounds(bench, workload, path, depth, operations // (2 if bench.repetitions < 20 else 1), *how)

        def each(which, clock="wall_ns"):
            return [done[which][clock] / done[which]["operations"] for done in measured]

        better = min(MEANS, key=lambda means: median(each(means)))
        cpu = ", ".join(f"{which} {median(each(which, 'cpu_ns')) / 1000:.1f}" for which in (*MEANS, "subject"))
        other = next(means for means in MEANS if means != better)
        yield of_pairs(row, list(zip(each(better), each("subject"))), "ns per operation", at_most(1.2), judged="ratio",
                       note=f"wall; floor: {better}, {other} {median(each(other)) / 1000:.1f} us; CPU us: {cpu}")
        if depth == 256:
            bare = median([pool / ring for pool, ring in zip(each("pool"), each("ring"))])
            yield of_values(over_pool, [pool / own for pool, own in zip(each("pool"), each("subject"))], "x", at_least(1.5),
                            note="wall time of a pool of 64 threads by that of levity, round by round; "
                                 f"by that of the loop over io_uring in C, in the same rounds: {bare:.2f}")

    return Row([row, over_pool] if depth == 256 else [row], measure)


ROWS = [
    *[file_rows("read_4k_random", "read", depth, 100_000) for depth in (1, 32, 256)],
    *[file_rows("read_4k_random_direct", "read", depth, operations, "direct")
      for depth, operations in ((1, 2_000), (32, 8_000), (256, 8_000))],
    *[file_rows("append_fdatasync", "append", depth, operations) for depth, operations in ((1, 400), (32, 3_000), (256, 6_000))],
]
