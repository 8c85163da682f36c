"""Whether a watchdog that looks at a thread from outside says why it stands still."""

from ..processes import run_json
from ..record import at_least, at_most, of_values
from .row import Row


def attribution(bench):
    run = run_json(bench, bench.subject("stall_cause_bench"), bench.stalls, timeout=900)
    kinds = [kind for kind in run["kinds"] if "skipped" not in kind]
    judged = [kind["every_ms"]["right"] + kind["every_ms"]["wrong"] for kind in kinds]
    right = [100 * kind["every_ms"]["right"] / of for kind, of in zip(kinds, judged)]
    twice = 100 * sum(kind["two_looks"]["right"] for kind in kinds) / sum(judged)
    words = [f"{sum(judged)} stalls of 5 to 40 ms of {len(kinds)} kinds; by their first and last look alone {twice:.2f} %"]
    words += [f"{kind['name']}: {kind['every_ms']['wrong']} wrong" for kind in kinds if kind["every_ms"]["wrong"]]
    words += [f"{kind['name']} left out: {kind['skipped']}" for kind in run["kinds"] if "skipped" in kind]
    value = 100 * sum(kind["every_ms"]["right"] for kind in kinds) / sum(judged)
    yield of_values("steady/attribution", right, "% of stalls", at_least(99), value=value, note="; ".join(words))
    blamed = [kind["every_ms"]["ready_called_blocked"] + kind["two_looks"]["ready_called_blocked"] for kind in kinds]
    by = {"every_ms": "a look each ms", "two_looks": "first and last look"}
    where = [f"{kind['name']}: {kind[looks]['ready_called_blocked']} by {words}"
             for kind in kinds for looks, words in by.items() if kind[looks]["ready_called_blocked"]]
    yield of_values("steady/attribution/ready_called_blocked", blamed, "stalls", at_most(0), value=sum(blamed),
                    note="; ".join(where))
    look = run["look_us"]
    yield of_values("steady/attribution/look", list(look.values()), "us per look", at_most(20), value=max(look.values()))


ROWS = [
    Row(["steady/attribution", "steady/attribution/ready_called_blocked", "steady/attribution/look"], attribution),
]
