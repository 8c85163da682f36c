"""What a command costs a client of redis-server, which runs on the other CPU."""

import os
import shutil
import subprocess
import tempfile
import time

from ..processes import Failure, prepared, run_json
from ..record import at_most, of_pairs, of_values
from ..statistic import median
from .row import Row, alternate

COMMANDS = {"pipelined": 200_000, "get": 20_000}  # of a run


class RedisServer:
    """A server of its own at a Unix socket, without files, ended with the row."""

    def __init__(self, bench):
        # redis-tools has the program, too, under another name, and starts no service on the machine.
        found = shutil.which("redis-server") or shutil.which("redis-check-rdb")
        if found is None:
            raise Failure("redis-server is not installed: apt-get install redis-tools")
        self.folder = tempfile.TemporaryDirectory()
        self.socket = os.path.join(self.folder.name, "redis.sock")
        self.process = subprocess.Popen(
            ["redis-server", "--port", "0", "--unixsocket", self.socket, "--save", "", "--appendonly", "no",
             "--dir", self.folder.name],
            executable=found, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            preexec_fn=prepared(bench.driver_cpu, bench.priority))

    def __enter__(self):
        until = time.monotonic() + 10
        while not os.path.exists(self.socket):
            if self.process.poll() is not None or time.monotonic() > until:
                self.__exit__()
                raise Failure("redis-server does not listen")
            time.sleep(0.01)
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.folder.cleanup()


def command(which):
    name = f"toolkit/redis/{which}"
    count = COMMANDS[which]

    def measure(bench):
        with RedisServer(bench) as server:
            writes = []

            def of(program):
                done = run_json(bench, program, server.socket, which, count, cpu=bench.server_cpu)
                if done["commands"] != count:
                    raise Failure("not every command was answered")
                if program != "redis_floor":
                    writes.append(count / done["writes"])
                return done["cpu_ns"] / count

            pairs = alternate(bench.repetitions, lambda: of("redis_floor"), lambda: of(bench.subject("redis_client")))
        at_once = f"{median(writes):.1f} commands a write"
        if which == "get":
            yield of_pairs(name, pairs, "ns CPU per command", at_most(2.5), judged="ratio",
                           note=f"{at_once}; the floor writes and reads on a blocking socket")
        else:
            yield of_values(name, [subject for _, subject in pairs], "ns CPU per command", at_most(1500),
                            floor=median([floor for floor, _ in pairs]),
                            note=f"{at_once}; the floor sends 100 ready ones in one write and parses nothing")

    return Row([name], measure)


ROWS = [command("pipelined"), command("get")]
