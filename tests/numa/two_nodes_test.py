#!/usr/bin/env python3
"""The tests that need a machine of two nodes, or one that is theirs alone, run on one that is emulated: numa_test, and those of
platform_test that change quotas and CPUs of the kernel. About 30 s. Needs qemu-system-x86, a kernel in /boot and busybox-static;
without them it says what is missing and runs nothing. Emulation alone: its times say nothing."""

import glob
import gzip
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
BUILD = os.environ.get("LEVITY_BUILD_DIR", "")
CPUS_OF_A_NODE, MIB_OF_A_NODE = 2, 512
INIT = """#!/bin/busybox sh
/bin/busybox mount -t proc none /proc
/bin/busybox mount -t sysfs none /sys
/bin/busybox mount -t devtmpfs none /dev
/bin/busybox mkdir -p /dev/shm
/bin/busybox mount -t tmpfs none /dev/shm
/bin/busybox mount -t cgroup2 none /sys/fs/cgroup
echo '+cpu +cpuset' > /sys/fs/cgroup/cgroup.subtree_control
/bin/busybox ifconfig lo 127.0.0.1 up
%s
echo "the machine ends with $?"
/bin/busybox poweroff -f
"""


def kernel():
    found = [path for path in glob.glob("/boot/vmlinuz-*") if os.access(path, os.R_OK)]
    return max(found, key=os.path.getmtime, default="")


def why_not():
    missing = [name for name, there in (("qemu-system-x86", shutil.which("qemu-system-x86_64")), ("linux-image-amd64", kernel()),
                                        ("busybox-static", shutil.which("busybox"))) if not there]
    if os.uname().machine != "x86_64":
        return "the machine that is emulated is an x86_64, as the programs of this build are not"
    if missing:
        return "there is no machine to emulate: apt-get install " + " ".join(missing)
    if not os.path.exists(os.path.join(BUILD, "CMakeCache.txt")):
        return "LEVITY_BUILD_DIR does not name a build"
    with open(os.path.join(BUILD, "CMakeCache.txt"), encoding="utf-8") as cache:
        if not re.search(r"^LEVITY_SANITIZE:\w+=(none)?$", cache.read(), re.MULTILINE):
            return "under a sanitizer an emulated machine takes minutes"
    return ""


def archive(root):
    """The files below `root` as the kernel unpacks them: cpio, format newc."""
    out = bytearray()

    def add(name, mode, content):
        fields = (len(out) + 1, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name) + 1, 0)
        out.extend(b"070701" + b"".join(b"%08X" % field for field in fields) + name.encode() + b"\0")
        out.extend(b"\0" * (-len(out) % 4) + content)
        out.extend(b"\0" * (-len(out) % 4))

    for folder, folders, files in os.walk(root):
        for name in sorted(folders) + sorted(files):
            path = os.path.join(folder, name)
            mode = os.stat(path).st_mode
            content = b""
            if stat.S_ISREG(mode):
                with open(path, "rb") as file:
                    content = file.read()
            add(os.path.relpath(path, root), mode, content)
    add("TRAILER!!!", 0, b"")
    return bytes(out)


def boot(programs, commands):
    """What the machine prints while it runs `commands`, with `programs` in /bin; and the status of the last one."""
    with tempfile.TemporaryDirectory(prefix="levity-numa-") as work:
        root = os.path.join(work, "root")
        for folder in ("bin", "proc", "sys", "dev", "tmp"):
            os.makedirs(os.path.join(root, folder))
        shutil.copy(shutil.which("busybox"), os.path.join(root, "bin", "busybox"))
        for program in programs:
            into = os.path.join(root, "bin", os.path.basename(program))
            subprocess.run(["strip", "-o", into, program], check=True)
            needed = subprocess.run(["ldd", program], check=True, stdout=subprocess.PIPE, text=True).stdout
            for library in re.findall(r"(/\S+) \(0x", needed):
                os.makedirs(root + os.path.dirname(library), exist_ok=True)
                shutil.copy(os.path.realpath(library), root + library)
        with open(os.path.join(root, "init"), "w", encoding="utf-8") as init:
            init.write(INIT % commands)
        os.chmod(os.path.join(root, "init"), 0o755)
        with gzip.open(os.path.join(work, "initrd"), "wb", 1) as initrd:
            initrd.write(archive(root))
        machine = ["qemu-system-x86_64", "-accel", "tcg,thread=multi", "-cpu", "max", "-m", str(2 * MIB_OF_A_NODE),
                   "-smp", f"{2 * CPUS_OF_A_NODE},sockets=2,cores={CPUS_OF_A_NODE}"]
        for node in range(2):
            first = node * CPUS_OF_A_NODE
            machine += ["-object", f"memory-backend-ram,id=m{node},size={MIB_OF_A_NODE}M",
                        "-numa", f"node,nodeid={node},cpus={first}-{first + CPUS_OF_A_NODE - 1},memdev=m{node}"]
        machine += ["-numa", "dist,src=0,dst=1,val=21", "-kernel", kernel(), "-initrd", os.path.join(work, "initrd"),
                    "-append", "console=ttyS0 quiet panic=-1", "-display", "none", "-serial", "stdio", "-monitor", "none",
                    "-nic", "none", "-no-reboot"]
        done = subprocess.run(machine, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=500,
                              check=False)
    printed = done.stdout.decode(errors="replace").replace("\r", "")
    status = re.search(r"^the machine ends with (\d+)$", printed, re.MULTILINE)
    return printed, int(status.group(1)) if status else None


@unittest.skipIf(why_not(), why_not())
class TwoNodes(unittest.TestCase):
    def test_of_two_nodes_and_of_a_kernel_of_ones_own(self):
        programs = [os.path.join(BUILD, name) for name in ("numa_test", "platform_test")]
        printed, status = boot(programs, "numa_test --gtest_color=no && platform_test --gtest_color=no "
                                         "--gtest_filter='real_cgroup.*:topology.this*:usable_cpus.*'")
        print(printed)
        self.assertEqual(status, 0, printed)
        # What was skipped has shown nothing.
        self.assertRegex(printed, r"worker \d+ on node 0")
        self.assertRegex(printed, r"worker \d+ on node 1")
        for affinity, cpus in ((0, 2), (1, 4), (2, 2)):  # automatic, none, node
            self.assertIn(f"affinity {affinity}: {cpus} of 4 CPUs", printed)
        self.assertRegex(printed, r"OK \] real_cgroup.a_quota_of_v2_is_followed")


if __name__ == "__main__":
    unittest.main()
