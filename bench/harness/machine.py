"""Where and with what a record was measured."""

import os
import platform
import re
import subprocess


def first_match(path, pattern, otherwise=""):
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            found = re.search(pattern, file.read(), re.MULTILINE)
            return found.group(1).strip() if found else otherwise
    except OSError:
        return otherwise


def output_of(*command, cwd=None):
    try:
        done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=20, check=False)
        return done.stdout.strip() if done.returncode == 0 else ""
    except (OSError, subprocess.TimeoutExpired):
        return ""


def built_with(build, name):
    return first_match(os.path.join(build, "bench", "build.txt"), rf"^{name}=(.*)$")


def commit_of(source):
    commit = output_of("git", "rev-parse", "--short=12", "HEAD", cwd=source) or "unknown"
    changed = output_of("git", "status", "--porcelain", "--", "include", "src", "bench", "CMakeLists.txt", cwd=source)
    return commit + ("+changes" if changed else "")


def describe(build, source):
    compiler = built_with(build, "compiler") or "c++"
    cores = len(os.sched_getaffinity(0))
    model = first_match("/proc/cpuinfo", r"^model name\s*:\s*(.*)$", platform.machine())
    version = (output_of(compiler, "--version").splitlines() or ["unknown"])[0]
    version = re.sub(r"^\S*/", "", version)
    commit = commit_of(source)
    return {
        "cpu": model,
        "cores": cores,
        "virtual": "hypervisor" in first_match("/proc/cpuinfo", r"^flags\s*:\s*(.*)$"),
        "kernel": platform.release(),
        "compiler": version,
        "build_type": built_with(build, "build_type"),
        "flags": " ".join(built_with(build, "flags").split()),
        "commit": commit,
        "name": f"{model}, {cores} cores, Linux {platform.release()}, {version}, commit {commit}",
    }


def not_the_default_build(build):
    """Why numbers of this build would not be those of a user, or None."""
    if not os.path.exists(os.path.join(build, "bench", "build.txt")):
        return f"{build} is no build directory of this project"
    build_type = built_with(build, "build_type")
    if build_type not in ("Release", "RelWithDebInfo"):
        return f"{build} is a '{build_type}' build; bench the default one (Release)"
    if built_with(build, "sanitize") not in ("", "none") or "-fsanitize" in built_with(build, "flags"):
        return f"{build} is built with sanitizers; bench the default build"
    return None


def two_cpus():
    """The CPU of the servers and that of the generator: never two threads of one core."""
    allowed = sorted(os.sched_getaffinity(0))
    siblings = first_match(f"/sys/devices/system/cpu/cpu{allowed[0]}/topology/thread_siblings_list", r"^(.*)$")
    same_core = set()
    for part in filter(None, siblings.split(",")):
        low, _, high = part.partition("-")
        same_core.update(range(int(low), int(high or low) + 1))
    others = [cpu for cpu in allowed if cpu != allowed[0] and cpu not in same_core]
    if not others:
        raise RuntimeError("the bench needs two CPU cores: one for the server, one for the generator")
    return allowed[0], others[0]


def busy_ticks(cpu):
    """Clock ticks that a CPU was not idle, and how many of them the hypervisor took."""
    fields = [int(x) for x in first_match("/proc/stat", rf"^cpu{cpu} (.*)$").split()]
    user, nice, system, _idle, _iowait, irq, softirq, steal = fields[:8]
    return user + nice + system + irq + softirq + steal, steal
