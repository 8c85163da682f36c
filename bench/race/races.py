"""The races: what everybody does, with how many workers, and what is compared.

Every round runs each program once, one after the other, and the next round turns the order round: what disturbs a machine for
a while hits all of them. Compared are medians, and the ratios of levity and each peer within a round.
"""

import os
import resource

from harness.processes import Driver, Failure, Server, rss_bytes, run_json
from harness.rows.echo import Crowd
from harness.statistic import median, spread


def in_turn(rounds, runners, measure):
    """{runtime's name: [what `measure` says of it, a value a round]}, in an order that is turned round each time."""
    values = {runner.name: [] for runner in runners}
    for i in range(rounds):
        for runner in runners if i % 2 == 0 else reversed(runners):
            values[runner.name].append(measure(runner))
    return values


def record(name, unit, samples, note=""):
    """One line of the table. `samples` is as in_turn() gives it; levity is among them."""
    own = samples["levity"]
    entries = {}
    for runtime, values in samples.items():
        entries[runtime] = {"value": median(values), "spread": spread(values), "samples": values,
                            "levity_by_it": median([mine / theirs for mine, theirs in zip(own, values)])}
    return {"name": name, "unit": unit, "n": len(own), "note": note, "runtimes": entries}


class Race:
    """A program that prints one JSON line, run by everybody who has it.

    `measures` are (suffix of the name, unit, how a value comes out of the line). `arguments` follow the number of workers;
    `instead` has those of a runtime that needs others, None where it does not do this job.
    """

    def __init__(self, name, job, workers, arguments, measures, *, instead=None, scaled=0, sleeping=False, note=""):
        self.name, self.job, self.workers, self.arguments, self.measures = name, job, workers, arguments, measures
        self.instead, self.scaled, self.sleeping, self.note = instead or {}, scaled, sleeping, note
        self.names = [name + suffix for suffix, _, _ in measures]

    def run(self, setup, runners):
        taking_part = [each for each in runners if each.program(self.job) and self.instead.get(each.name, ()) is not None]
        cpu = setup.server_cpu if self.workers == 1 else None

        def once(runner):
            arguments = [str(x) for x in self.instead.get(runner.name, self.arguments)]
            if self.scaled:
                arguments[0] = str(int(int(arguments[0]) * setup.scale) // self.scaled * self.scaled)
            return run_json(setup, runner.program(self.job), self.workers, *arguments, cpu=cpu, timeout=300)

        results = {runner.title: once(runner)["result"] for runner in taking_part}  # warms as well
        if len(set(results.values())) != 1:
            raise Failure(f"not the same work: {results}")
        expected = next(iter(results.values()))

        def checked(runner):
            done = once(runner)
            if done["result"] != expected:
                raise Failure(f"{runner.title} came to {done['result']}, before that to {expected}")
            return done

        lines = in_turn(setup.sleeping_rounds if self.sleeping else setup.rounds, taking_part, checked)
        return [record(self.name + suffix, unit, {name: [value(line) for line in each] for name, each in lines.items()}, self.note)
                for suffix, unit, value in self.measures]


class Echo:
    """The echo servers under one generator: CPU time of the server for each request. Every byte is checked by the driver."""

    def __init__(self, connections):
        self.connections = connections
        self.names = [f"echo/64B/{connections}conn"]

    def run(self, setup, runners):
        servers = []
        try:
            taking_part = [each for each in runners if echo_of(each)]
            for each in taking_part:
                servers.append(Server(setup, echo_of(each)))
            index = {each.name: i for i, each in enumerate(taking_part)}
            with Driver(setup, servers, self.connections, "--size", 64) as driver:
                def half(runner):
                    done = driver.run(index[runner.name], "saturated", setup.half_seconds)
                    if done["server_cpu_ns"] <= 0:
                        raise Failure(f"{runner.title} answered without using any CPU time")
                    return done["server_cpu_ns"] / done["requests"]

                in_turn(1, taking_part, half)
                samples = in_turn(setup.rounds, taking_part, half)
        finally:
            for server in servers:
                server.stop()
        return [record(self.names[0], "ns CPU per request", samples, "saturated: a request in flight on each connection; one CPU")]


class IdleConnections:
    """Memory of servers whose connections say nothing."""

    connections = 10_000

    def __init__(self):
        self.names = ["parked/read/bytes"]

    def run(self, setup, runners):
        def once(runner):
            with Server(setup, echo_of(runner)) as server:
                before = rss_bytes(server.pid)
                with Crowd(server, self.connections):
                    return (rss_bytes(server.pid) - before) / self.connections

        samples = in_turn(setup.sleeping_rounds, [each for each in runners if echo_of(each)], once)
        return [record(self.names[0], "B RSS per connection", samples, "10,000 connections of the echo server that wait to read")]


def echo_of(runner):
    path = getattr(runner, "echo", None) or runner.program("echo")
    return path if path and os.path.exists(path) else None


def per_operation(clock):
    return lambda line: line[f"{clock}_ns"] / line["operations"]


def milliseconds(clock):
    return lambda line: line[f"{clock}_ns"] / 1e6


def both(unit, value, what):
    return [(f"/{clock}", f"{unit} {word} {what}".strip(), value(clock)) for clock, word in (("cpu", "CPU"), ("wall", "wall"))]


hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # the servers inherit it

RACES = [
    Race("await/call", "await_call", 1, [10_000_000], [("", "ns CPU per await", per_operation("cpu"))], scaled=1,
         note="a child that does not wait"),
    Race("spawn_join/1", "spawn_join", 1, [2000], [("", "ns CPU per task", per_operation("cpu"))], scaled=10,
         note="a thousand empty tasks for each join"),
    Race("spawn_join/2", "spawn_join", 2, [2000], both("ns", per_operation, "per task"), scaled=10,
         note="a thousand empty tasks for each join, two workers"),
    Race("fib30/1", "fib", 1, [30], [("", "ms CPU", milliseconds("cpu"))], note="one half spawned, the other awaited"),
    Race("fib30/2", "fib", 2, [30], both("ms", milliseconds, ""), note="one half spawned, the other awaited, two workers"),
    Race("skynet/1", "skynet", 1, [1_000_000], [("", "ns CPU per leaf", per_operation("cpu"))],
         note="ten children a node, 10^6 leaves"),
    Race("skynet/2", "skynet", 2, [1_000_000], both("ns", per_operation, "per leaf"),
         note="ten children a node, 10^6 leaves, two workers"),
    Race("channel/unbuffered", "channel", 1, [2_000_000, 0, 1], [("", "ns CPU per value", per_operation("cpu"))], scaled=10,
         instead={"tmc": None, "tokio": None}, note="one worker; TooManyCooks and tokio have no channel without room"),
    Race("channel/buffered", "channel", 1, [2_000_000, 64, 1], [("", "ns CPU per value", per_operation("cpu"))], scaled=10,
         note="one worker, room for 64"),
    Race("channel/mpmc/2+2", "channel", 2, [2_000_000, 64, 2], both("ns", per_operation, "per value"), scaled=20,
         instead={"tmc": [2_000_000, 0, 2]}, note="two workers, room for 64; that of TooManyCooks has no bound"),
    Race("timer/arm_cancel", "timers", 1, [1_000_000, 100_000], [("", "ns CPU per timer", per_operation("cpu"))], scaled=10,
         note="made, armed, taken away; 10^5 others armed; the timers of TooManyCooks are those of Asio"),
    Race("parked/sleep", "sleepers", 1, [100_000],
         [("/cpu", "ns CPU per task", per_operation("cpu")),
          ("/bytes", "B RSS per task", lambda line: line["resident"] / line["operations"])],
         sleeping=True, note="10^5 tasks asleep at once, spawned, woken over half a second, joined"),
    Echo(16),
    Echo(256),
    IdleConnections(),
]
