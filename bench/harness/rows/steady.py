"""Whether tasks that keep their threads, calls that block, and a machine that stands still for a while are felt by others."""

import os
import random
import selectors
import signal
import socket
import subprocess
import time

from race import peers

from .. import machine
from ..cgroup import Group
from ..open_loop import CONNECTIONS, LATE_ALONE_NS, LATE_NS, Trial, after_stops, at_ms, stop_and_continue
from ..processes import Failure, Server, Spoiled, cpu_ns, prepared, program, run_json
from ..record import at_least, at_most, no_target, of_distances, of_pairs, of_values
from ..report import range_of
from ..statistic import median
from .row import Row, alternate, unspoiled

EXTRA_THREADS = 8  # beside the tasks that keep one: main, two workers, the watchdog, spares on their way
WAITING_EACH = 1  # beside each of those: a worker waits for a processor among them, loses its slot for it, and waits on
SPARE_SECONDS = 10  # a spare's thread without work ends after that


def floor_of(bench, spinners=0, spin_seconds=0):
    """As many threads as the subject has slots: with fewer it would have a smaller share of the processors than that."""
    return Trial(bench, "echo_floor", len(bench.two_cpus), spinners=spinners, spin_seconds=spin_seconds)


def subject(bench, *disturbance, group=None):
    return Trial(bench, bench.subject("steady_server"), *disturbance, disturbs_itself=bool(disturbance), group=group)


def echoes(bench, trial, late_max_ns=LATE_NS):
    with trial:
        trial.disturb()
        return trial.load.run(bench.steady_seconds, late_max_ns)


def one_spinner(bench):
    name = "steady/one_spinner"
    pairs = alternate(bench.steady_runs, lambda: echoes(bench, floor_of(bench, 1)),
                      lambda: echoes(bench, subject(bench, "spin", 1, 3600)))
    floor, own = [[at_ms(side.latency_ns, 0.999) for side in sides] for sides in zip(*pairs)]
    note = (f"the second worst of {len(pairs)} runs; p99.9 {range_of(own)}, of the floor {range_of(floor)}; "
            f"{CONNECTIONS} connections, 5,000/s")
    yield of_distances(name, list(zip(floor, own)), "ms p99.9 above the floor", at_most(5),
                       value=sorted(b - a for a, b in zip(floor, own))[-2], note=note)
    slow, without = [[sum(count(side) for side in sides) for sides in zip(*pairs)]
                     for count in (lambda side: side.slow(), lambda side: side.unexplained())]
    late = [max(side.sent_late_ns_max for side in sides) / 1e6 for sides in zip(*pairs)]
    yield of_values(f"{name}/unexplained", [side.unexplained() for _, side in pairs], "echoes", at_most(0), value=without[1],
                    note=f"{slow[1]} of {sum(len(side.due_ns) for _, side in pairs)} echoes took more than 20 ms; of the floor's "
                         f"{slow[0]}, {without[0]} unexplained; the generator was late by at most {late[0]:.1f} ms beside the "
                         f"floor, {late[1]:.1f} beside levity")


def spinners(name, count, long=False):
    """`long`: few runs, but such that threads which are added bit by bit would become many."""
    def measure(bench):
        seconds, runs = (bench.long_seconds, bench.long_pairs) if long else (bench.steady_seconds, bench.steady_pairs)

        def both(trial):
            with trial:
                trial.disturb()
                paced = trial.load.run(seconds)
                fast = trial.load.saturate(bench.saturate_seconds)
                return at_ms(paced.latency_ns, 0.99), fast["per_second"], max(paced.threads_max, fast["threads_max"])

        pairs = alternate(runs, lambda: both(floor_of(bench, count)),
                          lambda: both(subject(bench, "spin", count, 3600)))
        floor, own = [[side[0] for side in sides] for sides in zip(*pairs)]
        yield of_distances(name, list(zip(floor, own)), "ms p99 above the floor", at_most(5),
                           note=f"p99 {range_of(own)}, of the floor {range_of(floor)}; {len(pairs)} runs of {seconds} s")
        yield of_pairs(f"{name}/throughput", [(floor[1], own[1]) for floor, own in pairs], "echoes/s", at_least(0.8),
                       judged="ratio", note="each connection has one request in flight")
        threads = [own[2] for _, own in pairs]
        most = count * (1 + WAITING_EACH) + EXTRA_THREADS
        yield of_values(f"{name}/threads", threads, "threads", at_most(most), value=max(threads), note="the most")

    return Row([name, f"{name}/throughput", f"{name}/threads"], measure)


def unexpected_spinner(bench):
    """So seldom that the watchdog is no longer on the alert: how it finds the first one, not its quick looks after that."""
    every_s, spins_s, first_ns, windows = 5, 1, 50_000_000, bench.spinners_unexpected
    unseen = []  # times in which the generator was late, of all runs

    def first_echoes(trial):
        told = []
        with trial:
            trial.load.begin(every_s * windows)
            for _ in range(windows):
                time.sleep(every_s - spins_s - 0.5)
                told.append(trial.tell())
                time.sleep(spins_s + 0.5)
            seen = trial.load.finish(None).of_windows(told, first_ns)
        if 2 * len(seen) <= windows:
            raise Spoiled(f"the generator was late beside {windows - len(seen)} of {windows} tasks: it needs a quieter machine")
        unseen.append(windows - len(seen))
        return sum(seen, [])

    pairs = alternate(bench.steady_pairs, lambda: first_echoes(floor_of(bench, 1, spins_s)),
                      lambda: first_echoes(subject(bench, "spin", 1, spins_s)))
    floor, own = [[at_ms(side, 0.999) for side in sides] for sides in zip(*pairs)]
    all_floor, all_own = [at_ms(sum(sides, []), 0.999) for sides in zip(*pairs)]
    yield of_distances("steady/unexpected_spinner", list(zip(floor, own)), "ms p99.9 above the floor", at_most(5),
                       value=all_own - all_floor,
                       note=f"p99.9 of all runs {all_own:.2f} ms, of the floor {all_floor:.2f}; the first "
                            f"{first_ns // 1_000_000} ms of {len(pairs) * windows} tasks that compute for "
                            f"{spins_s} s, one every {every_s} s, and of as many beside the floor, but for {sum(unseen)} at which "
                            f"the generator was late; runs {range_of(own)}, of the floor {range_of(floor)}")


def asleep(name, kind, what):
    def measure(bench):
        pairs = alternate(bench.steady_pairs, lambda: echoes(bench, floor_of(bench), LATE_ALONE_NS),
                          lambda: echoes(bench, subject(bench, kind, 5, 3600), LATE_ALONE_NS))
        floor, own = [[at_ms(side.latency_ns, 0.999) for side in sides] for sides in zip(*pairs)]
        yield of_values(name, own, "ms p99.9", at_most(8), floor=median(floor),
                        note=f"{what}; {range_of(own)}, of the floor undisturbed {range_of(floor)}")

    return Row([name], measure)


def stopped(bench):
    """Beside tasks that compute for 2 ms of 4, two for each slot: each stop finds one at work on every slot."""
    name, settled_ns, tasks = "steady/stopped", 50_000_000, 2 * len(bench.two_cpus)

    def stops(trial):
        times, stopped_s, between_s = bench.stops, 0.2, 0.8
        with trial:
            trial.disturb()
            trial.load.begin((stopped_s + between_s) * times + 1)
            spans = stop_and_continue(trial.server.pid, [(between_s, stopped_s)] * times)
            backlog, later = after_stops(trial.load.finish(LATE_ALONE_NS), spans, settled_ns)
        return backlog, at_ms(later, 0.999)

    def slots_taken(meanwhile):
        with Server(bench, bench.subject("steady_server"), "half", str(tasks), "3600", cpus=bench.two_cpus, priority=0) as server:
            server.process.send_signal(signal.SIGUSR1)
            time.sleep(1.5)  # until all of them are at work
            meanwhile(server.pid)
            return server.report()["replaced"]

    pairs = alternate(2, lambda: stops(floor_of(bench)), lambda: stops(subject(bench, "half", tasks, 3600)))
    floor, own = [[each for side in sides for each in side[0]] for sides in zip(*pairs)]
    later = [[side[1] for side in sides] for sides in zip(*pairs)]
    yield of_values(name, own, "ms until what was due is answered", at_most(50), value=max(own), floor=median(floor),
                    note=f"the worst of {len(own)} stops of 200 ms; {range_of(own)}, of the floor without such tasks "
                         f"{range_of(floor)}; p99.9 of what was due 50 ms later {range_of(later[1])}, of the floor "
                         f"{range_of(later[0])}")
    # A stop is dangerous for a task that a look, one in 10 ms, has met before it, and that has much to do after it: few are.
    source = random.Random(1)
    pauses = [(source.uniform(0.02, 0.05), source.uniform(0.02, 0.05)) for _ in range(bench.short_stops)]
    taken = slots_taken(lambda pid: stop_and_continue(pid, pauses))
    without = slots_taken(lambda _: time.sleep(sum(map(sum, pauses))))
    yield of_values(f"{name}/slots_taken", [taken], "slots", at_most(0),
                    note=f"in {len(pauses)} stops of 20 to 50 ms, from {tasks} tasks that compute for 2 ms of 4; {without} without "
                         "stops")


def quota(bench):
    """Tasks that compute for 2 ms of 4 want both CPUs, and their service may use one from some moment on: with two workers its time
    is used up half a period before there is more."""
    tasks = 2 * len(bench.two_cpus)

    def limited():
        with Group() as group, subject(bench, "half", tasks, 3600, group=group) as trial:
            trial.disturb()
            group.limit(1)
            trial.load.warm(bench.disturbed_seconds)
            before, began = group.throttled_seconds(), time.monotonic()
            echoes = trial.load.run(bench.steady_seconds, LATE_ALONE_NS)
            return echoes.latency_ns, 100 * (group.throttled_seconds() - before) / (time.monotonic() - began)

    runs = [unspoiled(limited) for _ in range(bench.steady_pairs)]
    own, stopped_for = [at_ms(latencies, 0.99) for latencies, _ in runs], [part for _, part in runs]
    yield of_values("steady/quota", own, "ms p99", at_most(20),
                    note=f"{range_of(own)}; beside {tasks} tasks that compute for 2 ms of 4, in a cgroup that may use one CPU from "
                         "some moment on")
    yield of_values("steady/quota/throttled", stopped_for, "% of the time", at_most(5),
                    note="the same; that threads stood because the quota was used up, added up over the CPUs")


def calls(name, kind, least, what):
    def measure(bench):
        def throughput(trial):
            with trial:
                trial.disturb()
                return trial.load.saturate(bench.saturate_seconds)["per_second"]

        pairs = alternate(bench.steady_pairs, lambda: throughput(subject(bench)),
                          lambda: throughput(subject(bench, kind, 100, 3600)))
        yield of_pairs(name, pairs, "echoes/s", at_least(least), judged="ratio", note=f"100 tasks, each {what}; by the same server "
                                                                                      "without them")
        seconds, most = until_threads_end(bench, kind)
        yield of_values(f"{name}/threads_end", [seconds], "s after the last call", at_most(SPARE_SECONDS + 1),
                        note=f"until there are no more threads than before; the most were {most}")

    return Row([name, f"{name}/threads_end"], measure)


def until_threads_end(bench, kind):
    lasts = 2
    with subject(bench, kind, 100, lasts) as trial:
        began = time.monotonic()
        trial.disturb()
        most, ended, over = 0, began + lasts + 2, began + lasts + 2 + SPARE_SECONDS + 10
        while (now := time.monotonic()) < over:
            threads = trial.thread_count()
            most = max(most, threads)
            if now > ended and threads <= trial.threads:
                break
            time.sleep(0.05)
        else:
            raise Failure(f"{threads} threads {over - ended:.0f} s after the last call, {trial.threads} before the first one")
    if most < 100:
        raise Failure(f"100 calls at a time never had more than {most} threads: is every one of them made?")
    return max(0.0, now - ended), most


def answers(connections, seconds):
    """How many of so many connections give back what is sent to them, in time."""
    held = selectors.DefaultSelector()
    for number, connection in enumerate(connections):
        message = b"%063d\n" % number
        held.register(connection, selectors.EVENT_READ, [message, b""])
        try:
            connection.sendall(message)
        except OSError:
            pass
    right, until = 0, time.monotonic() + seconds
    while held.get_map() and (wait := until - time.monotonic()) > 0:
        for key, _ in held.select(wait):
            try:
                came = key.fileobj.recv(4096)
            except OSError:
                came = b""
            key.data[1] += came
            if len(key.data[1]) >= 64 or not came:
                right += key.data[1] == key.data[0]
                held.unregister(key.fileobj)
    return right


def idle_connections(bench):
    """Both workers are kept at once, so that both lose their slots; when their tasks have ended nobody needs them, and they end."""
    name = "steady/idle_connections_of_retired_threads"
    with Server(bench, bench.subject("steady_server"), "spin_at_once", "4", "1", cpus=bench.two_cpus, priority=0) as server:
        before = set(os.listdir(f"/proc/{server.pid}/task"))
        connections = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(CONNECTIONS)]
        try:
            if (first := answers(connections, 5)) != CONNECTIONS:
                raise Failure(f"only {first} of {CONNECTIONS} connections answered before anything had happened")
            server.process.send_signal(signal.SIGUSR1)
            until = time.monotonic() + SPARE_SECONDS + 5
            while (gone := len(before - set(os.listdir(f"/proc/{server.pid}/task")))) < 2 and time.monotonic() < until:
                time.sleep(0.05)
            if gone < 2:
                raise Failure(f"{gone} of the threads that had accepted the connections have ended, not both")
            wrong = 2 * CONNECTIONS - answers(connections, 5) - answers(connections, 5)
        finally:
            for connection in connections:
                connection.close()
        replaced = server.report()["replaced"]
    yield of_values(name, [wrong], "errors", at_most(0),
                    note=f"{CONNECTIONS} connections, two requests each; {gone} threads had ended, {replaced} slots were taken")


def blocking_empty(bench):
    calls_made = bench.micro_calls // 2
    runs = []
    for _ in range(bench.repetitions):
        done = run_json(bench, bench.subject("blocking_call"), calls_made, cpu=bench.server_cpu)
        runs.append(done["cpu_ns"] / done["calls"])
    yield of_values("steady/blocking_empty", runs, "ns CPU per call", at_most(20))


class Sleeper:
    """A program that wakes up as often as a watchdog that finds nothing, where looks are not dear, and sleeps on."""

    def __init__(self, bench):
        self.process = subprocess.Popen([program(bench.build, "sleeper")], preexec_fn=prepared(bench.two_cpus, 0))

    def cpu_ns(self):
        return cpu_ns(self.process.pid)

    def wakeups(self):
        return int(machine.first_match(f"/proc/{self.process.pid}/status", r"^voluntary_ctxt_switches:\s*(\d+)"))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()


def watchdog_figures(pid):
    """CPU time in ns and voluntary switches of the watchdog's thread so far."""
    cpu = switches = found = 0
    for thread in os.listdir(f"/proc/{pid}/task"):
        folder = f"/proc/{pid}/task/{thread}"
        with open(f"{folder}/comm", encoding="ascii", errors="replace") as comm:
            if comm.read().strip() != "levity watchdog":
                continue
        found += 1
        with open(f"{folder}/schedstat", encoding="ascii") as figures:
            cpu += int(figures.read().split()[0])
        switches += int(machine.first_match(f"{folder}/status", r"^voluntary_ctxt_switches:\s*(\d+)"))
    if not found:
        raise Failure("no thread of the server is called 'levity watchdog'")
    return cpu, switches


def watchdog(bench):
    """Beside a program that does nothing but wake up so often: what a wake-up costs is the machine's."""
    name, seconds = "steady/watchdog", bench.steady_seconds
    with subject(bench) as trial, Sleeper(bench) as sleeper:
        def figures_of(do):
            cpu, switches = watchdog_figures(trial.server.pid)
            began, asleep_before, woken_before = time.monotonic(), sleeper.cpu_ns(), sleeper.wakeups()
            do()
            took, sleeper_cpu = time.monotonic() - began, sleeper.cpu_ns() - asleep_before
            woken = (sleeper.wakeups() - woken_before) / took
            later_cpu, later_switches = watchdog_figures(trial.server.pid)
            return ((later_cpu - cpu) / took / 1e7, (later_switches - switches) / took, later_cpu - cpu, later_switches - switches,
                    sleeper_cpu / took / 1e7, woken)

        busy = [figures_of(lambda: trial.load.saturate(seconds)) for _ in range(3)]
        time.sleep(bench.settle_seconds)
        idle = figures_of(lambda: time.sleep(bench.idle_seconds))
    shares, wakeups, floor, woken = [[each[i] for each in busy] for i in (0, 1, 4, 5)]
    per_wakeup = [1e4 * share / rate for share, rate in zip(shares, wakeups)]
    yield of_values(f"{name}/cpu", shares, "% of a CPU", at_most(0.2), floor=median(floor),
                    note=f"{CONNECTIONS} connections are saturated; {range_of(per_wakeup, 'us')} a wake-up; the floor, at the "
                         f"same time, is a C program that wakes up {median(woken):.0f} times a second and does nothing: "
                         f"{range_of(floor, '%')}")
    yield of_values(f"{name}/wakeups", wakeups, "wake-ups/s", at_most(100), note="the same")
    yield of_values(f"{name}/idle_cpu", [idle[2]], "ns CPU", at_most(0), note=f"{bench.idle_seconds} s without requests")
    yield of_values(f"{name}/idle_wakeups", [idle[3]], "wake-ups", at_most(0), note="the same")


def one_spinner_peers(bench):
    into = os.path.join(bench.build, "race")
    programs, absent = {}, {}
    for title, build in (("Go", peers.go), ("tokio", peers.tokio)):
        try:
            programs[title] = build(into).program("spinner_echo")
        except Failure as why:
            absent[title] = str(why)
    sides = {"floor": lambda: floor_of(bench, 1), "levity": lambda: subject(bench, "spin", 1, 3600)}
    for title, path in programs.items():
        sides[title] = lambda path=path: Trial(bench, path, 1, disturbs_itself=True)
    figures = {title: [] for title in sides}
    for turn in range(bench.steady_pairs):
        for title in (list(sides) if turn % 2 == 0 else reversed(sides)):
            latencies = unspoiled(lambda: echoes(bench, sides[title](), LATE_ALONE_NS)).latency_ns
            figures[title].append((at_ms(latencies, 0.5), at_ms(latencies, 0.99), at_ms(latencies, 0.999)))
    words = [f"{title}: p50 {median([each[0] for each in of]):.2f}, p99 {median([each[1] for each in of]):.2f}, p99.9 "
             f"{range_of([each[2] for each in of])}" for title, of in figures.items()]
    words += [f"{title} does not take part: {why}" for title, why in absent.items()]
    yield of_values("steady/one_spinner_peers", [each[2] for each in figures["levity"]], "ms p99.9", no_target(),
                    floor=median([each[2] for each in figures["floor"]]), note="; ".join(words))


ROWS = [
    Row(["steady/one_spinner", "steady/one_spinner/unexplained"], one_spinner),
    Row(["steady/unexpected_spinner"], unexpected_spinner),
    spinners("steady/two_spinners", 2, long=True),
    spinners("steady/sixteen_spinners", 16),
    asleep("steady/five_in_vfork", "vfork", "5 tasks that wait in state D for a child of vfork"),
    asleep("steady/five_asleep", "asleep", "5 tasks, in nanosleep, read of a pipe, flock, futex, poll"),
    Row(["steady/stopped", "steady/stopped/slots_taken"], stopped),
    Row(["steady/quota", "steady/quota/throttled"], quota),
    calls("steady/calls_declared", "blocking", 0.9, "in a call of 1 s by lv::blocking"),
    calls("steady/calls_undeclared", "nanosleep", 0.75, "in a sleep of 1 s of which nobody was told"),
    Row(["steady/idle_connections_of_retired_threads"], idle_connections),
    Row(["steady/blocking_empty"], blocking_empty),
    Row([f"steady/watchdog/{what}" for what in ("cpu", "wakeups", "idle_cpu", "idle_wakeups")], watchdog),
    Row(["steady/one_spinner_peers"], one_spinner_peers),
]
