"""Where the memory of tasks lies on a machine of two nodes, and whether tasks stay there. The machine is emulated."""

import json
import os
import sys
import tempfile

from ..processes import Failure, program
from ..record import at_most, of_values
from ..statistic import median
from .channel import go_program
from .row import Row

sys.path.append(os.path.join(os.path.dirname(__file__), "..", "..", "..", "tests", "numa"))
import two_nodes  # noqa: E402

TASKS = 4681  # of the crowd between the two looks
NAMES = ["numa/elsewhere/fresh", "numa/elsewhere/later", "numa/taken_early"]


def share(look):
    return 100 * look["elsewhere"] / look["bytes"]


def range_of(looks):
    shares = [share(each) for each in looks]
    return f"{min(shares):.0f} to {max(shares):.0f} %"


def node_pages(bench):
    """In one boot after the other: the subject, its floor, which is the same with workers that are kept nowhere, and Go."""
    if why := two_nodes.why_not():
        raise Failure(why)
    with tempfile.TemporaryDirectory() as folder:
        programs = [program(bench.build, bench.subject("node_pages"))]
        subject = os.path.basename(programs[0])
        commands = [subject, f"{subject} none"]
        if (peer := go_program("node_pages_go.go", folder, static=True)) is not None:
            programs.append(peer)
            commands.append(os.path.basename(peer))
        boots = []
        for _ in range(bench.boots):
            printed, status = two_nodes.boot(programs, " && ".join(commands))
            found = [json.loads(line) for line in printed.splitlines() if line.startswith("{")]
            if status != 0 or len(found) != len(commands):
                raise Failure(f"the machine ends with {status} and says: {printed.strip()[-200:]}")
            if found[0]["nodes"] != 2:
                raise Failure("the subject saw one node")
            boots.append(found)
    own, unkept = [found[0] for found in boots], [found[1] for found in boots]
    for name, look, target in ((NAMES[0], "fresh", 0), (NAMES[1], "later", 5)):
        shares = [share(each[look]) for each in own]
        go = "Go is not here" if peer is None else f"a static Go program: {range_of([found[2][look] for found in boots])}"
        yield of_values(name, shares, "% of the bytes on another node", at_most(target), value=max(shares),
                        floor=median([share(each[look]) for each in unkept]),
                        note=f"the most of {len(own)} boots; workers that are kept nowhere: "
                             f"{range_of([each[look] for each in unkept])}; {go}")
    early = [100 * each["taken_early"] / TASKS for each in own]
    yield of_values(NAMES[2], early, "% of 4,681 tasks", at_most(5), value=max(early),
                    note="taken from the other node while the own one had work; in all "
                         f"{median([each['taken'] for each in own]):.0f} tasks changed the node")


ROWS = [Row(NAMES, node_pages)]
