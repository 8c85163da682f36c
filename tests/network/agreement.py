"""Whether two samples of latencies agree: those of a kernel, of which there are few, and those of a simulation, of which there are
many.

A quantile of a small sample is itself a matter of chance, and where a distribution has a step (one packet in twenty is lost, and
costs 240 ms) a quantile near the step lies on either side of it. So the kernel's is compared with the simulation's around the same
rank: as many ranks up and down as three standard deviations of so small a sample are. Beyond these the factor counts."""

import math

# Of what may lie between the two. Most are sums of latencies and round trips, and a busy machine adds some milliseconds to 40: a
# quarter. Of the slowest something was lost twice. The simulation counts whole round trips where a kernel goes on packet by
# packet, so of four or five there may be one or two more or less; and from one timeout to the next it is a factor of two, so less
# than that tells models of them apart. The greatest is shown and not judged: one packet in a thousand decides it.
FACTORS = {"p50": 1.25, "p90": 1.25, "p99": 1.5, "max": None}
RANKS = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "max": 1.0}
DEVIATIONS = 3


def quantile(ordered, rank):
    """Of a sample in order, the least value that `rank` of it do not exceed."""
    return ordered[max(math.ceil(rank * len(ordered)) - 1, 0)]


def lateness(samples, least):
    """What nine of ten samples take at most beyond what they must, as a part of that."""
    return quantile(sorted(samples), 0.9) / least - 1


def band(simulated, name, count, factor):
    """Between what values the quantile `name` of `count` samples lies, if they are distributed as `simulated`."""
    if factor is None:
        return None
    rank = RANKS[name]
    around = DEVIATIONS * math.sqrt(rank * (1 - rank) / count)
    return quantile(simulated, max(rank - around, 0)) / factor, quantile(simulated, min(rank + around, 1)) * factor


def compare(kernel, simulated, factors=None):
    """A row for each quantile: its name, the kernel's, the simulation's, the band, and whether the kernel's lies within; for one
    that is not judged there is no band."""
    if not kernel or not simulated:
        raise ValueError("nothing to compare")
    kernel, simulated = sorted(kernel), sorted(simulated)
    rows = []
    for name, factor in (factors or FACTORS).items():
        found = quantile(kernel, RANKS[name])
        between = band(simulated, name, len(kernel), factor)
        rows.append({"quantile": name, "kernel": found, "simulated": quantile(simulated, RANKS[name]), "factor": factor,
                     "between": between, "agrees": between is None or between[0] <= found <= between[1]})
    return rows
