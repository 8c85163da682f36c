"""A group of the kernel whose processes get no more CPU time than a quota says."""

import os

from .processes import Failure

PERIOD_US = 100_000


def root_of(controller):
    """Where the groups of a controller are, of either version, and which: (folder, is_second)."""
    second = None
    with open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as mounts:
        for line in mounts:
            before, _, after = line.partition(" - ")
            folder, kind = before.split()[4], after.split()[0]
            if kind == "cgroup" and controller in after.split()[2].split(","):
                return folder, False
            if kind == "cgroup2":
                second = folder
    if second is None:
        raise Failure("no cgroups are mounted: a quota needs their controller of CPU time")
    return second, True


class Group:
    """Made for a run; empty again when it ends."""

    def __init__(self):
        root, self.is_second = root_of("cpu")
        self.folder = os.path.join(root, f"levity-bench-{os.getpid()}")
        try:
            os.mkdir(self.folder)
        except OSError as why:
            raise Failure(f"no cgroup can be made in {root} ({why.strerror}): a quota needs the right to make one") from why
        if not os.path.exists(os.path.join(self.folder, "cpu.max" if self.is_second else "cpu.cfs_quota_us")):
            os.rmdir(self.folder)
            raise Failure(f"groups in {root} have no controller of CPU time (cgroup.subtree_control)")

    def write(self, name, text):
        with open(os.path.join(self.folder, name), "w", encoding="ascii") as file:
            file.write(text)

    def join(self):
        """The calling process, and those that it begins."""
        self.write("cgroup.procs", "0" if self.is_second else str(os.getpid()))

    def limit(self, cpus):
        if self.is_second:
            return self.write("cpu.max", f"{int(cpus * PERIOD_US)} {PERIOD_US}")
        self.write("cpu.cfs_period_us", str(PERIOD_US))
        self.write("cpu.cfs_quota_us", str(int(cpus * PERIOD_US)))

    def throttled_seconds(self):
        """How long processes with something to do were stopped so far, added up over the CPUs."""
        with open(os.path.join(self.folder, "cpu.stat"), encoding="ascii") as lines:
            figures = dict(line.split() for line in lines)
        return int(figures["throttled_usec"]) / 1e6 if self.is_second else int(figures["throttled_time"]) / 1e9

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.rmdir(self.folder)
