"""A row of the bench, and the ways to measure one."""

import itertools
import os
import time

from .. import machine
from ..processes import Driver, Failure, Spoiled, cpu_ns
from ..record import missing
from ..statistic import LOOKS, is_decided


SPOILED_MAX = 3  # in a row, of one side;
SPOILED_MAX_PATIENT = 10  # where there is patience


class Row:
    """Something that is measured in one go and gives one or several records."""

    spoiled = 0  # sides of pairs of the row that is being measured
    patience = None  # of this run

    def __init__(self, names, measure):
        self.names = names
        self.measure = measure

    def records(self, bench):
        Row.spoiled, Row.patience = 0, bench.patience
        try:
            made = {record["name"]: record for record in self.measure(bench)}
        except Failure as failure:
            return [missing(name, str(failure)) for name in self.names]
        for record in made.values():
            if Row.spoiled:
                record["note"] += f"; {Row.spoiled} more were spoiled by others, and measured again"
        return [made.get(name) or missing(name, "the row gave no such record") for name in self.names]


def unspoiled(measure):
    for attempt in itertools.count(1):
        try:
            return measure()
        except Spoiled:
            Row.spoiled += 1
            Row.patience.wait()
            if attempt >= (SPOILED_MAX_PATIENT if Row.patience.left_s > 0 else SPOILED_MAX):
                raise


def alternate(pairs, measure_floor, measure_subject):
    """ABBA: floor and subject in turn, the order turned round each time, so that drift and warmth hit both alike."""
    measured = []
    for i in range(pairs):
        if i % 2 == 0:
            floor = unspoiled(measure_floor)
            subject = unspoiled(measure_subject)
        else:
            subject = unspoiled(measure_subject)
            floor = unspoiled(measure_floor)
        measured.append((floor, subject))
    return measured


class Onlooker:
    """How busy others kept the server's core meanwhile."""

    def __init__(self, bench, servers):
        self.bench, self.servers = bench, servers

    def __enter__(self):
        self.ticks, self.stolen = machine.busy_ticks(self.bench.server_cpu)
        self.own = sum(cpu_ns(server.pid) for server in self.servers)
        self.since = time.monotonic()
        return self

    def __exit__(self, *_):
        pass

    def note(self):
        seconds = time.monotonic() - self.since
        ticks, stolen = machine.busy_ticks(self.bench.server_cpu)
        per_second = os.sysconf("SC_CLK_TCK")
        own = (sum(cpu_ns(server.pid) for server in self.servers) - self.own) / 1e9
        foreign = max(0.0, ((ticks - self.ticks) / per_second - own) / seconds)
        steal = (stolen - self.stolen) / per_second / seconds
        self.bench.foreign_share = max(self.bench.foreign_share, foreign)
        words = []
        if foreign > 0.05:
            words.append(f"others kept the server's core busy {foreign:.0%} of the time")
        if steal > 0.01:
            words.append(f"{steal:.0%} of it stolen by the hypervisor")
        return words


def server_pairs(bench, floor, subject, connections, mode, driver_arguments, target=None):
    """CPU time per request of two servers under the same load, as (floor, subject) pairs in nanoseconds, and notes.

    With a target there are as many pairs again, up to LOOKS times, while the bounds of the ratio leave it open.
    """
    with Driver(bench, [floor, subject], connections, *driver_arguments) as driver, \
         Onlooker(bench, [floor, subject]) as onlooker:
        rates, busy = [], {0: [], 1: []}

        def half(which):
            done = driver.run(which, mode, bench.half_seconds)
            rates.append(done["requests"] / max(done["seconds"], bench.half_seconds))
            busy[which].append(done["server_cpu_ns"] / 1e9 / done["seconds"])
            if done["server_cpu_ns"] <= 0:
                raise Failure("a server answered without using any CPU time")
            return done["server_cpu_ns"] / done["requests"]

        for which in (0, 1):  # warm caches, pools and branch predictors
            half(which)
        rates.clear()
        pairs = []
        for _ in range(LOOKS if target is not None else 1):
            pairs += alternate(bench.pairs, lambda: half(0), lambda: half(1))
            if target is None or is_decided([b / a for a, b in pairs], target):
                break
        notes = onlooker.note()
    if mode.startswith("rate:"):
        wanted = float(mode.removeprefix("rate:"))
        achieved = sorted(rates)[len(rates) // 2] / wanted
        if achieved < 0.95:
            raise Failure(f"only {achieved:.0%} of {wanted:.0f} requests a second were reached; is the machine busy?")
    notes.insert(0, "server busy {:.0%} / {:.0%}".format(*[sorted(busy[t])[len(busy[t]) // 2] for t in (0, 1)]))
    return pairs, "; ".join(notes)
