"""A machine with two nodes, emulated: needs qemu-system-x86, a kernel in /boot and busybox-static. A boot takes about 7 s.
Emulation alone: its times say nothing."""

import glob
import gzip
import lzma
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile

CPUS_OF_A_NODE, MIB_OF_A_NODE = 2, 512
SECONDS_MAX = 300  # of a boot and what it runs, which take 25
IS_UP, STOPPED = "the machine is up", f"the machine was stopped after {SECONDS_MAX} s"
INIT = """#!/bin/busybox sh
/bin/busybox mount -t proc none /proc
/bin/busybox mount -t sysfs none /sys
/bin/busybox mount -t devtmpfs none /dev
/bin/busybox mkdir -p /dev/shm
/bin/busybox mount -t tmpfs none /dev/shm
/bin/busybox mount -t cgroup2 none /sys/fs/cgroup
echo '+cpu +cpuset' > /sys/fs/cgroup/cgroup.subtree_control
/bin/busybox mount -t debugfs none /sys/kernel/debug
# The kernel balances nodes after 10 ms of work instead of a second, so that a short program meets it.
echo 10 > /sys/kernel/debug/sched/numa_balancing/scan_delay_ms
echo 10 > /sys/kernel/debug/sched/numa_balancing/scan_period_min_ms
/bin/busybox ifconfig lo 127.0.0.1 up
echo "%s"
%s
echo "the machine ends with $?"
/bin/busybox poweroff -f
"""


def kernel():
    found = [path for path in glob.glob("/boot/vmlinuz-*") if os.access(path, os.R_OK)]
    return max(found, key=os.path.getmtime, default="")


def why_not():
    """Why there is no such machine; empty if there is."""
    missing = [name for name, there in (("qemu-system-x86", shutil.which("qemu-system-x86_64")), ("linux-image-amd64", kernel()),
                                        ("busybox-static", shutil.which("busybox"))) if not there]
    if os.uname().machine != "x86_64":
        return "the machine that is emulated is an x86_64, as the programs of this build are not"
    if missing:
        return "there is no machine to emulate: apt-get install " + " ".join(missing)
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


def module(name):
    """The bytes of a module of that kernel."""
    version = os.path.basename(kernel()).removeprefix("vmlinuz-")
    found = glob.glob(f"/lib/modules/{version}/**/{name}.ko*", recursive=True)
    if not found:
        raise FileNotFoundError(f"the kernel {version} has no module {name}")
    with lzma.open(found[0]) if found[0].endswith(".xz") else open(found[0], "rb") as file:
        return file.read()


def boot(programs, commands, modules=()):
    """What the machine prints while it runs `commands`, with `programs` in /bin and `modules` in the kernel; and the status of the
    last one, None of a machine that had to be stopped."""
    with tempfile.TemporaryDirectory(prefix="levity-numa-") as work:
        root = os.path.join(work, "root")
        for folder in ("bin", "proc", "sys", "dev", "tmp"):
            os.makedirs(os.path.join(root, folder))
        shutil.copy(shutil.which("busybox"), os.path.join(root, "bin", "busybox"))
        for program in programs:
            into = os.path.join(root, "bin", os.path.basename(program))
            subprocess.run(["strip", "-o", into, program], check=True)
            needed = subprocess.run(["ldd", program], check=False, capture_output=True, text=True).stdout  # none: it is static
            for library in re.findall(r"(/\S+) \(0x", needed):
                os.makedirs(root + os.path.dirname(library), exist_ok=True)
                shutil.copy(os.path.realpath(library), root + library)
        for name in modules:
            with open(os.path.join(root, f"{name}.ko"), "wb") as file:
                file.write(module(name))
        inserts = "".join(f"/bin/busybox insmod /{name}.ko\n" for name in modules)
        with open(os.path.join(root, "init"), "w", encoding="utf-8") as init:
            init.write(INIT % (IS_UP, inserts + commands))
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
                    "-append", "console=ttyS0 quiet panic=-1 no_timer_check",  # no check: on a busy machine it finds no timer
                    "-display", "none", "-serial", "stdio", "-monitor", "none", "-nic", "none", "-no-reboot"]
        with subprocess.Popen(machine, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as running:
            try:
                said = running.communicate(timeout=SECONDS_MAX)[0]
            except subprocess.TimeoutExpired:
                running.kill()
                said = running.communicate()[0] + f"\n{STOPPED}\n".encode()
    printed = said.decode(errors="replace").replace("\r", "")
    status = re.search(r"^the machine ends with (\d+)$", printed, re.MULTILINE)
    return printed, int(status.group(1)) if status else None


if __name__ == "__main__":
    sys.exit(why_not() or 0)
