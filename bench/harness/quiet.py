"""Waiting for a machine on which nobody else uses the CPUs.

What the hypervisor takes shows only while somebody wants the CPUs, so it is asked by computing on all of them for a moment.
"""

import os
import time

PROBE_S = 0.4
PAUSE_S = 5
HAD_MIN = 0.97  # of the probe's time, on each CPU


def computes(cpu):
    """What part of a moment a process of ours has of a CPU, in thousandths."""
    os.sched_setaffinity(0, {cpu})
    began, used = time.monotonic(), time.process_time()
    while time.monotonic() - began < PROBE_S:
        pass
    return int(1000 * (time.process_time() - used) / (time.monotonic() - began))


def part_had(cpus):
    """The smallest part of any of the CPUs that one who wants all of them at once gets."""
    readers = []
    for cpu in cpus:
        reader, writer = os.pipe()
        if os.fork() == 0:
            os.write(writer, str(computes(cpu)).encode())
            os._exit(0)
        os.close(writer)
        readers.append(reader)
    parts = []
    for reader in readers:
        parts.append(int(os.read(reader, 16)) / 1000)
        os.close(reader)
        os.wait()
    return min(parts)


class Patience:
    """For how long, in all, a run may wait for a quiet machine."""

    def __init__(self, cpus, seconds):
        self.cpus, self.left_s, self.waited_s = cpus, seconds, 0

    def wait(self):
        """Returns when the machine is quiet, or the patience used up."""
        while self.left_s > 0 and part_had(self.cpus) < HAD_MIN:
            began = time.monotonic()
            time.sleep(min(PAUSE_S, self.left_s))
            self.left_s -= time.monotonic() - began
            self.waited_s += time.monotonic() - began
