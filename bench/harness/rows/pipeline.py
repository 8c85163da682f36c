"""What policies cost a call that they let through."""

import tempfile

from ..processes import Failure, program, run_json
from ..record import at_most, of_values
from ..statistic import median
from .row import Row


def pipeline_five(bench):
    calls = bench.micro_calls // 10
    runs = []
    for _ in range(bench.repetitions):
        done = run_json(bench, bench.subject("pipeline_five"), calls, cpu=bench.server_cpu)
        if not done["right"]:
            raise Failure("a call through the pipeline came to something else than the call alone")
        runs.append(done)

    def each(which):
        return [run[f"{which}_ns"] / run["calls"] for run in runs]

    stand_ins = runs[0]["stand_ins"]
    note = ("an empty await of a task {:.0f} ns, one through a pipeline without parts {:.0f} ns, a look at the clock, of which a "
            "call takes two, {:.0f} ns").format(*(median(each(which)) for which in ("bare", "none", "clock")))
    if stand_ins:
        note += f"; {stand_ins} of the policies are stand-ins"
    yield of_values("toolkit/pipeline/five", each("five"), "ns CPU per call", at_most(150), note=note)


def pipeline_allocations(bench):
    with tempfile.NamedTemporaryFile(prefix="allocations") as file:
        counted = {"LD_PRELOAD": program(bench.build, "malloc_counter.so"), "ALLOCATION_COUNT_FILE": file.name}
        done = run_json(bench, bench.subject("pipeline_five"), 10_000, environment=counted)
        file.seek(0)
        if int.from_bytes(file.read(8), "little") == 0:
            raise Failure("the allocation counter was not loaded into the program")
    yield of_values("toolkit/pipeline/allocations", [done["allocations"] / 10_000], "allocations per call", at_most(0),
                    note=f"{done['allocations']} in 10,000 calls")


ROWS = [
    Row(["toolkit/pipeline/five"], pipeline_five),
    Row(["toolkit/pipeline/allocations"], pipeline_allocations),
]
