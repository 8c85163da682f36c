#!/usr/bin/env python3
"""One scenario on the network of a kernel and on a simulated one, with the same latency and loss, compared.

    against_kernel.py BUILD [--here] [--json FILE] [--only CASE]...

The kernel is that of an emulated machine (tests/numa/two_nodes.py): a pair of virtual Ethernet devices, one of them in a network
namespace of its own, `tc qdisc add ... netem` on either, and between them tests/network/scenario.cpp. With --here it is the one
that runs, and relay.py stands for netem: no machine to boot, but two namespaces, so root or namespaces of users. About 60 s. Ends
with 1 where the two do not agree (agreement.py), and with 2 where nothing can be said, because the machine has something else to
do: an emulated one is late by as much as its host makes it wait, and the case in which nothing is lost tells by how much."""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "numa")]

import agreement  # noqa: E402  the path is set above
import two_nodes  # noqa: E402  the path is set above
from relay import Relay  # noqa: E402  the path is set above

PROGRAM, PORT, SEEDS = "network_scenario", 7000, 20
SECONDS_MAX = 60  # of a case
FLOOR = "50 ms"  # the case without loss, jitter or limit: what it takes beyond the ways is the machine's own
LATE_MAX = 0.1  # of a round trip, nine times of ten
PARTED_AFTER_MS = 1500  # as in scenario.cpp
TOOLS = {"tc": "/sbin/tc", "ip": "/sbin/ip"}


@dataclass
class Case:
    """What is between the two, and what is asked over it."""
    name: str
    latency_us: int = 50000
    jitter_us: int = 0         # on top of it; netem's is to both sides of the middle
    lost_ppm: int = 0
    bytes_per_second: int = 0
    parted_ms: int = 0
    connections: int = 60
    apart_ms: int = 20
    small: int = 2
    large: int = 1
    rest_ms: int = 0
    judged: tuple = ("connect", "small", "large")

    def link(self):
        return [self.latency_us, self.jitter_us, self.lost_ppm, self.bytes_per_second, self.parted_ms]

    def plan(self):
        return [self.connections, self.apart_ms, self.small, self.large, self.rest_ms]

    def netem(self, lost_ppm=None):
        lost_ppm = self.lost_ppm if lost_ppm is None else lost_ppm
        words = f"limit 100000 delay {self.latency_us + self.jitter_us // 2}us"
        if self.jitter_us:
            words += f" {self.jitter_us // 2}us"
        if lost_ppm:
            words += f" loss {lost_ppm / 10000}%"
        if self.bytes_per_second:
            words += f" rate {self.bytes_per_second * 8}bit"
        return words


CASES = [
    Case("50 ms"),
    Case("50 ms, jitter 5 ms", latency_us=45000, jitter_us=10000),
    Case("loss 1 %", lost_ppm=10000, connections=250, apart_ms=25),
    Case("loss 5 %", lost_ppm=50000, connections=250, apart_ms=25),
    Case("loss 8 %, connects", lost_ppm=80000, connections=150, apart_ms=25, small=0, large=0, judged=("connect",)),
    Case("1 MB/s", bytes_per_second=1000000, connections=20, apart_ms=200),
    # What was lost at the beginning is sent again after 300 ms, 600 and 1200, and finds a way; so is what was lost 160 ms later,
    # for each connection asks every 160 ms and meets the cut at another time than the next one. Timeouts that double from the
    # first on (300, 900 and 2100) would be told from these by nearly a factor of two.
    Case("parted for 1.05 s", parted_ms=1050, connections=100, apart_ms=1, small=1, large=0, rest_ms=60, judged=("slowest",)),
]

# In the machine. `in_peer` is the namespace of the server. A device that cuts packets itself would hand netem 64 KiB at a time,
# which is lost as one; what is between the two must not lose who has which address; and what one connection has met must not be
# what the next one begins with.
SETUP = f"""
ip=/bin/ip tc=/bin/tc
/bin/busybox unshare -n /bin/{PROGRAM} serve 0.0.0.0:{PORT} &
server=$!
/bin/busybox sleep 1
in_peer() {{ /bin/busybox nsenter -t $server -n "$@"; }}
$ip link add near address 02:00:00:00:00:01 type veth peer name far address 02:00:00:00:00:02
$ip link set far netns $server
$ip addr add 10.0.0.1/24 dev near
in_peer $ip addr add 10.0.0.2/24 dev far
$ip link set near up gso_max_segs 1
in_peer $ip link set far up gso_max_segs 1
$ip neigh add 10.0.0.2 lladdr 02:00:00:00:00:02 dev near nud permanent
in_peer $ip neigh add 10.0.0.1 lladdr 02:00:00:00:00:01 dev far nud permanent
echo 1 > /proc/sys/net/ipv4/tcp_no_metrics_save
in_peer /bin/busybox sh -c 'echo 1 > /proc/sys/net/ipv4/tcp_no_metrics_save'
/bin/busybox mkfifo /tmp/near /tmp/far
"""


def commands(cases):
    """What the machine runs: after a line `case NAME` what the scenario says."""
    lines = [SETUP]
    for each in cases:
        lines += [f"echo 'case {each.name}'",
                  f"$tc qdisc add dev near root netem {each.netem()}",
                  f"in_peer $tc qdisc add dev far root netem {each.netem()}"]
        asks = f"/bin/{PROGRAM} ask 10.0.0.2:{PORT} {' '.join(map(str, each.plan()))}"
        if each.parted_ms:
            # Who is to change the devices runs by then and reads lines: to start takes longer here than a round trip.
            def change(lost_ppm, how=each.netem):
                return "; ".join(f"echo 'qdisc change dev {device} root netem {how(lost_ppm)}' >&{out}"
                                 for device, out in (("near", 3), ("far", 4)))

            lines += ["$tc -batch /tmp/near & in_peer $tc -batch /tmp/far & exec 3>/tmp/near 4>/tmp/far",
                      f"{asks} &", "asking=$!",
                      f"/bin/busybox sleep {PARTED_AFTER_MS / 1000}", change(1000000),
                      f"/bin/busybox sleep {each.parted_ms / 1000}", change(0),
                      "exec 3>&- 4>&-", "wait $asking"]
        else:
            lines.append(asks)
        lines += ["$tc qdisc del dev near root", "in_peer $tc qdisc del dev far root"]
    return "\n".join(lines)


# Of a kernel that is newer, or set up for something else, what makes it another one than that of the machine.
SETTINGS = {"tcp_no_metrics_save": "1", "tcp_syn_linear_timeouts": "0", "tcp_rmem": "4096 131072 6291456"}
IS_INSIDE = "LEVITY_NETWORK_NAMESPACE"


def ask_here(program, case):
    """What the scenario says over a relay between this namespace and another one."""
    settings = "; ".join(f"[ ! -e {path} ] || echo {value} > {path}" for path, value in
                         ((f"/proc/sys/net/ipv4/{name}", value) for name, value in SETTINGS.items()))
    subprocess.run(["sh", "-c", settings], check=True)
    serve = ["unshare", "--net", "sh", "-c", f"{settings}; exec {program} serve 0.0.0.0:{PORT}"]
    with subprocess.Popen(serve, stdout=subprocess.DEVNULL) as server:
        try:
            time.sleep(0.5)
            relay = Relay(server.pid, case.latency_us, case.jitter_us, case.lost_ppm, case.bytes_per_second,
                          PARTED_AFTER_MS / 1000, case.parted_ms / 1000)
            try:
                words = [program, "ask", f"10.0.0.2:{PORT}", *map(str, case.plan())]
                return json.loads(subprocess.run(words, check=True, capture_output=True, text=True, timeout=SECONDS_MAX).stdout)
            finally:
                relay.stop()
        finally:
            server.kill()


def ask_in_machine(program, cases):
    """The same in the machine that is emulated, of each case."""
    printed, status = two_nodes.boot([program, *TOOLS.values()], commands(cases), modules=("veth", "sch_netem"))
    found = samples_of(printed)
    if status is None or set(found) != {each.name for each in cases}:
        raise SystemExit(f"against_kernel: the machine ends with {status} and says: {printed.strip()[-2000:]}")
    return found


def samples_of(printed):
    """By case, what the scenario in the machine has said."""
    found, name = {}, None
    for line in printed.splitlines():
        if line.startswith("case "):
            name = line[len("case "):]
        elif line.startswith("{") and name is not None:
            found[name] = json.loads(line)
    return found


def simulate(program, case, seeds):
    """The same scenario in as many worlds."""
    found = {}
    for seed in range(1, seeds + 1):
        words = [program, "simulate", *map(str, [seed, *case.link(), *case.plan()])]
        said = json.loads(subprocess.run(words, check=True, capture_output=True, text=True).stdout)
        if said.pop("failed"):
            raise SystemExit(f"against_kernel: a request of '{case.name}' failed in the world of seed {seed}")
        for what, took in said.items():
            found.setdefault(what, []).extend(took)
    return found


def report(case, kernel, simulated):
    """Rows of the table, one for each quantile."""
    if kernel["failed"]:
        raise SystemExit(f"against_kernel: {kernel['failed']} requests of '{case.name}' failed on the kernel")
    rows = []
    for what in case.judged:
        for row in agreement.compare(kernel[what], simulated[what]):
            rows.append({"case": case.name, "what": what, "samples": len(kernel[what]), **row})
    return rows


def print_table(rows):
    """In milliseconds."""
    print(f"{'case':20} {'':8} {'n':>4}      {'kernel':>9} {'simulated':>10} {'may be':>19}  times")
    for row in rows:
        span = " to ".join(f"{each / 1000:.1f}" for each in row["between"]) if row["between"] else "not judged"
        print(f"{row['case']:20} {row['what']:8} {row['samples']:4} {row['quantile']:>4} {row['kernel'] / 1000:9.1f} "
              f"{row['simulated'] / 1000:10.1f} {span:>19} {row['kernel'] / row['simulated']:6.2f}"
              f"{'' if row['agrees'] else '  DISAGREES'}")


def why_not(here):
    """Why there is nothing to compare with; empty if there is."""
    if here:
        missing = [each for each in ("unshare", "nsenter", "ip") if shutil.which(each) is None]
        return f"{' and '.join(missing)} are missing: apt-get install util-linux iproute2" if missing else ""
    if reason := two_nodes.why_not():
        return reason
    if missing := [path for path in TOOLS.values() if not os.path.exists(path)]:
        return f"{' and '.join(missing)} are missing: apt-get install iproute2"
    return ""


def main():
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("build")
    words.add_argument("--here", action="store_true")
    words.add_argument("--json")
    words.add_argument("--only", action="append", choices=[each.name for each in CASES])
    asked = words.parse_args()
    if reason := why_not(asked.here):
        raise SystemExit(f"against_kernel: {reason}")
    if asked.here and IS_INSIDE not in os.environ:
        own = ["unshare", "--net", *([] if os.getuid() == 0 else ["--map-root-user"]), sys.executable, *sys.argv]
        os.execvpe(own[0], own, {**os.environ, IS_INSIDE: "1"})
    cases = [each for each in CASES if not asked.only or each.name in asked.only]
    program = os.path.abspath(os.path.join(asked.build, PROGRAM))
    kernel = {each.name: ask_here(program, each) for each in cases} if asked.here else ask_in_machine(program, cases)
    rows, samples = [], {}
    for case in cases:
        simulated = simulate(program, case, SEEDS)
        samples[case.name] = {"kernel": kernel[case.name], "simulated": simulated}
        rows += report(case, kernel[case.name], simulated)
    print_table(rows)
    if asked.json:
        with open(asked.json, "w", encoding="utf-8") as file:
            json.dump({"rows": rows, "samples": samples}, file)
    judged = [row for row in rows if row["between"]]
    wrong = sum(not row["agrees"] for row in judged)
    print(f"{len(judged) - wrong} of {len(judged)} quantiles agree")
    for case in cases:
        if wrong and case.name == FLOOR and (late := agreement.lateness(kernel[FLOOR]["connect"], 2 * case.latency_us)) > LATE_MAX:
            print(f"against_kernel: nothing can be said: where nothing is lost a connection takes up to {late:.0%} longer than its "
                  f"round trip, and up to {LATE_MAX:.0%} is borne; end what else runs on this machine and try again",
                  file=sys.stderr)
            return 2
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
