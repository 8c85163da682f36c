"""The cache: what a hit costs, what a storm of writes does to it, and what it keeps."""

import array
import bisect
import collections
import itertools
import os
import random
import tempfile

from ..processes import Failure, run_json
from ..record import at_least, at_most, no_target, of_values
from ..statistic import median
from .row import Row, alternate

ROUNDS_LEAST = 10
TRIES = 20


def each_ns(bench, mode, threads, operations, *more):
    """CPU time of a get, of rounds in which all threads ran at once."""
    cpu_ns, done, rounds = 0, 0, 0
    for _ in range(TRIES):
        run = run_json(bench, bench.subject("cache_reads"), mode, threads, operations, *more)
        cpu_ns += run["cpu_ns"]
        done += run["operations"]
        rounds += run["rounds_at_once"]
        if rounds >= ROUNDS_LEAST:
            return cpu_ns / done
    tried = TRIES * run["rounds"]
    raise Failure(f"{threads} threads of cache_reads ran at once in {rounds} rounds of {tried}; is the machine busy?")


def hit(bench):
    operations = bench.micro_calls // 2
    values = [each_ns(bench, "hit", 1, operations, 1000) for _ in range(bench.repetitions)]
    few = max(3, bench.repetitions // 4)
    timed = median([each_ns(bench, "timed", 1, operations, 1000) for _ in range(few)])
    larger = median([each_ns(bench, "hit", 1, operations, 10_000) for _ in range(few)])
    large = median([each_ns(bench, "hit", 1, operations, 1_000_000) for _ in range(few)])
    loaded = [run_json(bench, bench.subject("cache_reads"), "loaded", 1, operations // 4, 1000) for _ in range(few)]
    note = (f"10^3 entries, keys by Zipf 1.0; where entries end by time, with the look at the clock, {timed:.0f} ns; of 10^4 "
            f"entries {larger:.0f} ns, of 10^6 {large:.0f}; by get_or_load "
            f"{median([run['cpu_ns'] / run['operations'] for run in loaded]):.0f} ns")
    yield of_values("toolkit/cache/hit", values, "ns CPU", at_most(25), note=note)


def hit_two_threads(bench):
    operations = bench.micro_calls // 4
    samples = []
    for _ in range(bench.repetitions):
        one = each_ns(bench, "hit", 1, operations)
        samples.append(2 * one / each_ns(bench, "hit", 2, operations))
    hot = [2 * each_ns(bench, "hot", 1, operations) / each_ns(bench, "hot", 2, operations) for _ in range(3)]
    note = (f"gets a second of CPU time, two threads by one, keys by Zipf 1.0 of 10^4; both of one and the same key: "
            f"{median(hot):.2f}")
    yield of_values("toolkit/cache/hit_two_threads", samples, "x", at_least(1.7), note=note)


def writer_storm(bench):
    operations = bench.micro_calls // 10

    def run(over):
        return run_json(bench, bench.subject("cache_reads"), "storm", over, operations)

    runs = {"array": [], "cache": []}

    def p99(over):
        runs[over].append(run(over))
        return runs[over][-1]["p99_ns"]

    pairs = alternate(bench.repetitions, lambda: p99("array"), lambda: p99("cache"))
    locked = [run("locked") for _ in range(3)]
    p50, p999 = (median([each[which] for each in runs["cache"]]) for which in ("p50_ns", "p999_ns"))
    floor_p999 = median([each["p999_ns"] for each in runs["array"]])
    locked_p99, locked_p999 = (median([each[which] for each in locked]) for which in ("p99_ns", "p999_ns"))
    note = (f"p99 of a get with the clock's two looks, while another thread sets; the floor reads an array; p50 {p50:.0f} ns, "
            f"p99.9 {p999:.0f}, by the floor {floor_p999:.0f}; a std::unordered_map under a std::shared_mutex: p99 "
            f"{locked_p99:.0f}, p99.9 {locked_p999:.0f}")
    yield of_values("toolkit/cache/writer_storm", [subject for _, subject in pairs], "ns", at_most(2000),
                    floor=median([floor for floor, _ in pairs]), note=note)


def memory(bench):
    runs = [run_json(bench, bench.subject("cache_reads"), "memory", 1_000_000) for _ in range(3)]
    values = [(run["rss_after"] - run["rss_before"]) / run["entries"] for run in runs]
    note = f"10^6 of 8 + 8 bytes; the cache says {runs[0]['told'] / runs[0]['entries']:.0f}"
    yield of_values("toolkit/cache/entry_bytes", values, "B RSS per entry", no_target(), note=note)


# --- What is kept: the same policies once more, in one piece ---

EXAMINED_MAX = 256  # of one eviction, as s3_fifo.hpp has it: a loop reaches it, all of whose entries are hot


def s3_fifo_hits(keys, capacity):
    small_most = max(capacity // 10, 1)
    main_most = capacity - small_most
    small, main, ghost = collections.deque(), collections.deque(), collections.OrderedDict()
    count, hits, examined = {}, 0, 0

    def evict_main():
        nonlocal examined
        while True:
            oldest = main.popleft()
            if count[oldest] == 0 or examined >= EXAMINED_MAX:
                del count[oldest]
                return
            count[oldest] -= 1
            main.append(oldest)
            examined += 1

    def evict_small():
        nonlocal examined
        while small:
            oldest = small.popleft()
            if count[oldest] <= 1 or examined >= EXAMINED_MAX:
                del count[oldest]
                while len(ghost) >= main_most:
                    ghost.popitem(last=False)
                ghost[oldest] = True
                return
            count[oldest] = 0
            main.append(oldest)
            if len(main) > main_most:
                evict_main()
            examined += 1

    for key in keys:
        if key in count:
            hits += 1
            count[key] = min(count[key] + 1, 3)
            continue
        while len(small) + len(main) >= capacity:
            examined = 0
            if len(small) >= small_most or not main:
                evict_small()
            else:
                evict_main()
        (main if ghost.pop(key, False) else small).append(key)
        count[key] = 0
    return hits


def lru_hits(keys, capacity):
    order, hits = collections.OrderedDict(), 0
    for key in keys:
        if key in order:
            hits += 1
            order.move_to_end(key)
            continue
        if len(order) == capacity:
            order.popitem(last=False)
        order[key] = True
    return hits


def zipf(chance, count, alpha):
    upto = list(itertools.accumulate((i + 1) ** -alpha for i in range(count)))
    return lambda: bisect.bisect_right(upto, chance.random() * upto[-1])


def requests_of(kind, capacity, length):
    chance = random.Random(20261130)
    universe = 10 * capacity
    if kind == "loop":
        return [i % (capacity * 3 // 2) for i in range(length)]
    draw = zipf(chance, universe, 0.9 if kind == "scan" else float(kind.removeprefix("zipf_")))
    if kind != "scan":
        return [draw() for _ in range(length)]
    fresh = itertools.count(universe)
    return [next(fresh) if i // capacity % 4 == 3 else draw() for i in range(length)]


KINDS = ("zipf_0.7", "zipf_0.8", "zipf_0.9", "zipf_1.0", "zipf_1.1", "scan", "loop")


def hit_ratio(kind):
    name = f"toolkit/cache/hit_ratio/{kind}"

    def measure(bench):
        capacity = 16_384
        keys = requests_of(kind, capacity, 300_000 if bench.repetitions < 20 else 1_000_000)
        with tempfile.NamedTemporaryFile(prefix="keys_", delete=False) as file:
            array.array("I", keys).tofile(file)
        try:
            def run(policy, shards):
                done = run_json(bench, bench.subject("cache_reads"), "ratio", policy, capacity, shards, file.name)
                return done["hits"] / done["requests"] * 100, done["shards"]

            ours, shards = run("s3_fifo", 0)
            one_piece, _ = run("s3_fifo", 1)
            sieve, _ = run("sieve", 0)
        finally:
            os.unlink(file.name)
        reference = s3_fifo_hits(keys, capacity) / len(keys) * 100
        if one_piece != reference:
            raise Failure(f"in one shard S3-FIFO hits {one_piece} % and the reference {reference} %")
        note = (f"{ours:.2f} % of {len(keys)} requests hit in {shards} shards of 16,384 entries, {reference:.2f} % by the "
                f"reference in one piece; by sieve {sieve:.2f} %, by an LRU {lru_hits(keys, capacity) / len(keys) * 100:.2f} %")
        yield of_values(name, [abs(ours - reference)], "points", at_most(0.5), note=note)

    return Row([name], measure)


ROWS = [
    Row(["toolkit/cache/hit"], hit),
    Row(["toolkit/cache/hit_two_threads"], hit_two_threads),
    Row(["toolkit/cache/writer_storm"], writer_storm),
    Row(["toolkit/cache/entry_bytes"], memory),
    *[hit_ratio(kind) for kind in KINDS],
]
