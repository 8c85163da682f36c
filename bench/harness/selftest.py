"""Shows that the bench turns red: planted defects must be found, and a program compared with itself must pass."""

import random
import tempfile

from . import rows
from .processes import Server
from .rows.row import server_pairs
from .record import at_least, at_most, of_pairs
from .statistic import CONFIDENCE_OF_A_LOOK, LOOKS, is_decided, median, upper_bound


def row(name):
    return next(row for row in rows.ROWS if name in row.names)


def only(bench, name, replaced):
    bench.replaced = replaced
    return next(record for record in row(name).records(bench) if record["name"] == name)


def bound_covers_the_median():
    """Of many small samples of a skewed distribution at least 95 % must have their bound above the true median."""
    source = random.Random(1)
    covered = sum(upper_bound([source.expovariate(1.0) for _ in range(11)]) >= 0.6931471805599453 for _ in range(4000))
    return covered / 4000, 0.95 <= covered / 4000 < 0.99


def looks_do_not_flatter():
    """Of rows whose true median lies just above the target at most 5 % may pass, although each may be looked at several times."""
    source = random.Random(2)

    def passes(true_median, target):
        ratios = []
        for _ in range(LOOKS):
            ratios += [source.lognormvariate(0, 0.2) * true_median for _ in range(25)]
            if is_decided(ratios, target):
                break
        return upper_bound(ratios, CONFIDENCE_OF_A_LOOK) <= target

    worse = sum(passes(1.1201, 1.12) for _ in range(2000)) / 2000
    better = sum(passes(1.0, 1.12) for _ in range(300)) / 300
    return worse, better, worse <= 0.05 and better >= 0.9


def steadiness(bench, expect):
    """Each kind of row that looks for what somebody feels of others finds a server that is not as it must be."""
    bench.steady_runs, bench.steady_pairs, bench.steady_seconds, bench.saturate_seconds, bench.stops = 3, 1, 2, 1, 2
    bench.spinners_unexpected, bench.long_pairs, bench.long_seconds = 1, 1, 2
    bench.stalls = 20

    def looked_at(names, missing):
        for _ in range(3):  # a scene that did not come about on a busy machine shows nothing, neither red nor green
            found = [record for record in row(names[0]).records(bench) if record["name"] in names]
            if missing is not False or all(record["judged"] != "missing" for record in found):
                break
        return found

    def are_red(what, names, subject, planted, *, missing=False):
        bench.replaced = {subject: planted}
        for record in looked_at(names, missing):
            value = "-" if record["value"] is None else f"{record['value']:.2f} {record['unit']}"
            expect(what, not record["pass"] and (missing is None or missing == (record["judged"] == "missing")),
                   f"{record['name']}: {value}; {record['note']}")

    server = "steady_server"
    unreplaced = f"{server}_unreplaced"
    one, two, sixteen = "steady/one_spinner", "steady/two_spinners", "steady/sixteen_spinners"
    retired, stops_nobody = "steady/idle_connections_of_retired_threads", "steady/no_stop_the_world"
    are_red("who waits behind a task that computes is found", [one, f"{one}/unexplained"], server, unreplaced)
    are_red("who waits for nothing is found, although threads of the server wait for a processor meanwhile", [f"{one}/unexplained"],
            server, f"{server}_stranding")
    first = only(bench, "steady/unexpected_spinner", {server: unreplaced})
    expect("so is who waits behind the first one in a while", (first["value"] or 0) > 500, f"{first['value']}; {first['note']}")
    are_red("so is who waits behind two", [two, f"{two}/throughput"], server, unreplaced)
    urgent, bench.priority = bench.priority, 19
    are_red("a generator that is not on time is a missing row", ["steady/sixteen_spinners"], server, server, missing=True)
    bench.priority = urgent
    for each in (two, sixteen):
        are_red("threads without end are found", [f"{each}/threads"], server, f"{server}_threads")
    # Behind these nobody may be answered at all, which is a missing record.
    are_red("who waits behind sixteen is found", [sixteen, f"{sixteen}/throughput"], server, unreplaced, missing=None)
    are_red("who waits behind a child of vfork is found", ["steady/five_in_vfork"], server, unreplaced, missing=None)
    are_red("so is who waits behind a task that sleeps", ["steady/five_asleep"], server, unreplaced, missing=None)
    are_red("so is who waits behind calls", ["steady/calls_undeclared"], server, unreplaced, missing=None)
    are_red("so is who waits behind calls that compute", ["steady/calls_declared"], server, f"{server}_computing", missing=None)
    for each in ("declared", "undeclared"):
        are_red("threads that outlive the calls are a missing row", [f"steady/calls_{each}/threads_end"], server,
                f"{server}_leaking", missing=True)
    are_red("a server that is slow after it was stopped is found", ["steady/stopped"], server, f"{server}_slow")
    are_red("so is a slot that was taken from a task", ["steady/stopped/slots_taken"], server, f"{server}_spinning")
    are_red("workers that stay as many as they were are found", ["steady/quota", "steady/quota/throttled"], server,
            f"{server}_fixed")
    are_red("a connection that is no longer answered is found", [retired], server, f"{server}_mute")
    are_red("threads that do not retire are a missing row", [retired], server, unreplaced, missing=True)
    are_red("a call that costs a microsecond is found", ["steady/blocking_empty"], "blocking_call", "blocking_call_delay_ns")
    are_red("a watchdog that ticks is found",
            [f"steady/watchdog/{what}" for what in ("cpu", "wakeups", "idle_cpu", "idle_wakeups")], server, f"{server}_threads")
    are_red("a server without one is a missing row", ["steady/watchdog/cpu"], server, "echo_floor", missing=True)
    are_red("a slot that stands still while memory is copied is found", [f"{stops_nobody}/memcpy"], "ticker", "ticker_unreplaced")
    for each in ("cancel", "free", "return"):
        are_red("a world that stops is found", [f"{stops_nobody}/{each}"], "ticker", "ticker_stopping")
    said = [f"steady/attribution{what}" for what in ("", "/ready_called_blocked", "/look")]
    are_red("a looker that blames who has no processor, and takes his time, is found", said, "stall_cause_bench",
            "stall_cause_bench_blaming")
    for each in ("flood", "always_ready"):
        are_red("who waits behind those that are always ready is found", [f"steady/longest_wait/{each}"], "fairness",
                "fairness_unreplaced")


def nodes(bench, expect):
    """On an emulated machine of two nodes, memory of the wrong one is found."""
    bench.boots = 1
    bench.replaced = {"node_pages": "node_pages_astray"}
    for record in row("numa/elsewhere/fresh").records(bench):
        if record["name"].startswith("numa/elsewhere"):
            expect("memory of another node is found", not record["pass"] and (record["value"] or 0) > 20,
                   f"{record['name']}: {record['value']}; {record['note']}")


def run(bench, groups):
    bench.pairs, bench.half_seconds, bench.idle_seconds, bench.settle_seconds = 25, 0.15, 2, 0.5
    found = []

    def expect(what, held, seen):
        found.append(held)
        print(f"{'ok    ' if held else 'FAILED'} {what}: {seen}", flush=True)

    if not groups:
        costs(bench, expect)
    if not groups or "steady" in groups:
        steadiness(bench, expect)
    if not groups or "numa" in groups:
        nodes(bench, expect)
    print(f"{sum(found)} of {len(found)} as they must be")
    return 0 if all(found) else 2


def costs(bench, expect):
    """Planted cost is found, and none where there is none."""
    echo = "echo/64B/16conn/saturated"
    share, held = bound_covers_the_median()
    expect("the upper bound covers the median 95 % of the time", held, f"{share:.1%}")
    worse, better, held = looks_do_not_flatter()
    expect("looking several times passes no more than 5 % of the rows just above their target", held,
           f"{worse:.1%}; {better:.0%} of those well below it")
    doubled = of_pairs("x", [(1.0, 1.2)] * 8 + [(1.0, 1.3)] * 3, "", at_most(1.25), judged="ratio_upper")
    expect("a median that holds with a bound that does not is a failure", not doubled["pass"],
           f"median {doubled['ratio']}, bound {doubled['ratio_upper']}")
    few = of_pairs("x", [(1.0, 0.88), (1.0, 0.91), (1.0, 0.97)], "", at_least(0.9), judged="ratio")
    expect("few pairs on both sides of their target say so", "the target among them" in few["note"], few["note"])

    same = only(bench, echo, {"echo_server": "echo_floor"})
    expect("the floor compared with itself passes", same["pass"],
           f"ratio {same['ratio'] or 0:.3f}, upper {same['ratio_upper'] or 0:.3f}, spread {same['spread'] or 0:.1%}; "
           f"{same['note']}")
    slow = only(bench, echo, {"echo_server": "echo_floor_slow"})
    expect("5 us more a request is found", not slow["pass"] and slow["judged"] == "ratio_upper",
           f"ratio {slow['ratio'] or 0:.3f}, upper {slow['ratio_upper'] or 0:.3f} {slow['note']}")
    wrong = only(bench, echo, {"echo_server": "echo_floor_corrupting"})
    expect("a wrong byte in one of a thousand answers is found",
           wrong["judged"] == "missing" and "differs" in wrong["note"], wrong["note"])
    absent = only(bench, echo, {"echo_server": "no_such_program"})
    expect("a program that is not built is a missing row, which fails",
           absent["judged"] == "missing" and not absent["pass"], absent["note"])

    quiet = only(bench, "idle/wakeups", {"echo_server": "echo_floor"})
    expect("a server that sleeps has no wake-ups", quiet["pass"], f"{quiet['value']} {quiet['note']}")
    ticking = only(bench, "idle/wakeups", {"echo_server": "echo_floor_ticking"})
    expect("a timer that ticks for nothing is found", not ticking["pass"] and ticking["value"] > 0,
           f"{ticking['value']} wake-ups")
    ticking = only(bench, "idle/cpu", {"echo_server": "echo_floor_ticking"})
    expect("so is the CPU time it takes", not ticking["pass"] and ticking["value"] > 0, f"{ticking['value']} ns")

    shared = only(bench, "false_sharing", {"two_hammers": "two_hammers_unpadded"})
    expect("counters of two workers in one cache line are found", not shared["pass"], f"{shared['value']:.2f}; {shared['note']}")

    counted = "http/small_json/allocations"
    bench.http_load = ["--size", "64"]
    clean = only(bench, counted, {"http_small_json": "echo_floor"})
    expect("a server that does not allocate counts none", clean["pass"], clean["note"])
    dirty = only(bench, counted, {"http_small_json": "echo_floor_allocating"})
    expect("one allocation a request is counted", not dirty["pass"] and 0.9 < (dirty["value"] or 0) < 1.1,
           dirty["note"])

    bench.http_load = ["--http", rows.HTTP_PATH]
    with tempfile.NamedTemporaryFile() as response:
        body = b'{"id":42,"customer":"c-7","status":"paid","total":1999}'
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
        response.write(head + body)
        response.flush()
        with Server(bench, "http_floor", response.name) as one, \
             Server(bench, "http_floor", response.name) as other:
            pairs, note = server_pairs(bench, one, other, 64, "saturated", bench.http_load)
    ratio = median([b / a for a, b in pairs])
    expect("the HTTP floor compared with itself is even", 0.9 < ratio < 1.1, f"ratio {ratio:.3f}; {note}")
