"""Who takes part, and how each is built: as its own documentation says, from sources that are named by the caller."""

import os
import re
import shutil
import subprocess

from harness import machine
from harness.processes import Failure

HERE = os.path.dirname(os.path.abspath(__file__))


def made(command, cwd=None, environment=None):
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, env=environment)
    if done.returncode != 0:
        wrong = [line for line in done.stderr.splitlines() if "error" in line] or done.stderr.strip().splitlines() or ["no message"]
        raise Failure(f"{os.path.basename(command[0])} failed: {wrong[0][:300]}")
    return done.stdout


def newest(paths):
    return max((os.path.getmtime(path) for path in paths if os.path.exists(path)), default=0)


class Runtime:
    """One that takes part: a folder of programs here, and how they become executables."""

    def __init__(self, name, title, version, flags, folder):
        self.name, self.title, self.version, self.flags = name, title, version, flags
        self.folder = folder
        self.failures = {}

    def program(self, job):
        """The executable for a job; None where this runtime does not do it."""
        path = os.path.join(self.folder, job)
        if why := self.failures.get(job):
            raise Failure(f"{self.title}: {job}: {why}")
        return path if os.path.exists(path) else None


def cpp_jobs(name):
    folder = os.path.join(HERE, name)
    return {file[:-4]: os.path.join(folder, file) for file in sorted(os.listdir(folder)) if file.endswith(".cpp")}


def build_cpp(runtime, compiler, flags, libraries, depends=()):
    os.makedirs(runtime.folder, exist_ok=True)
    jobs = cpp_jobs(runtime.name)
    for job in set(os.listdir(runtime.folder)) - set(jobs):
        os.remove(os.path.join(runtime.folder, job))  # of a job that is gone
    shared = [os.path.join(HERE, "stopwatch.hpp"), os.path.join(HERE, runtime.name, "pool.hpp"), *depends]
    for job, source in jobs.items():
        target = os.path.join(runtime.folder, job)
        if os.path.exists(target) and os.path.getmtime(target) > newest([source, *shared]):
            continue
        print(f"building {runtime.name}/{job}", flush=True)
        try:
            made([compiler, *flags, source, "-o", target, *libraries])
        except Failure as failure:
            runtime.failures[job] = str(failure)


def levity(setup, into):
    compiler = machine.built_with(setup.build, "compiler")
    source = os.path.dirname(os.path.dirname(HERE))
    library = os.path.join(setup.build, "liblevity.a")
    if not os.path.exists(library):
        raise Failure(f"{library} is not there; build the target bench_programs")
    flags = [*machine.built_with(setup.build, "flags").split(), "-fno-omit-frame-pointer"]
    runtime = Runtime("levity", "levity", machine.commit_of(source),
                      " ".join([*version_of(compiler), *flags]), os.path.join(into, "levity"))
    build_cpp(runtime, compiler, ["-std=c++23", "-w", *flags, "-I" + os.path.join(source, "include")],
              [library, "-lfmt", "-luring", "-pthread"], [library])
    runtime.echo = os.path.join(setup.build, "bench", "echo_server")  # the one of the bench, unchanged
    return runtime


def version_of(compiler):
    line = (machine.output_of(compiler, "--version").splitlines() or [compiler])[0]
    found = re.search(r"(\d+\.\d+\.\d+)", line)
    return [("clang++ " if "clang" in line else "g++ ") + (found.group(1) if found else "")]


def asio(setup, into):
    compiler = machine.built_with(setup.build, "compiler")
    text = made([compiler, "-x", "c++", "-E", "-dM", "-include", "asio/version.hpp", os.devnull])
    number = int(re.search(r"#define ASIO_VERSION (\d+)", text).group(1))
    version = f"{number // 100000}.{number // 100 % 1000}.{number % 100}"
    flags = ["-std=c++20", "-O3", "-DNDEBUG"]
    runtime = Runtime("asio", "Asio", version, " ".join([*version_of(compiler), *flags]), os.path.join(into, "asio"))
    build_cpp(runtime, compiler, ["-w", *flags], ["-pthread"])
    return runtime


def clang():
    for name in ("clang++-19", "clang++"):
        if shutil.which(name):
            return name
    raise Failure("its authors recommend Clang, which is not installed")


def described(folder):
    return machine.output_of("git", "describe", "--tags", "--always", cwd=folder) or "unknown"


def tmc(folder, into):
    include = os.path.join(folder or "", "include")
    if not folder or not os.path.exists(os.path.join(include, "tmc", "all_headers.hpp")):
        raise Failure("no sources; name them by --tmc")
    flags = ["-std=c++20", "-O3", "-DNDEBUG", "-DTMC_PRIORITY_COUNT=1", "-DTMC_TRIVIAL_TASK", "-DTMC_USE_HWLOC"]
    runtime = Runtime("tmc", "TooManyCooks", described(folder), " ".join([*version_of(clang()), *flags]),
                      os.path.join(into, "tmc"))
    build_cpp(runtime, clang(), ["-w", *flags, "-I" + include], ["-lhwloc", "-pthread"])
    return runtime


def libfork(folder, into):
    include = os.path.join(folder or "", "include")
    if not folder or not os.path.exists(os.path.join(include, "libfork.hpp")):
        raise Failure("no sources; name them by --libfork")
    flags = ["-std=c++23", "-O3", "-DNDEBUG", "-DLF_USE_HWLOC"]
    runtime = Runtime("libfork", "libfork", described(folder), " ".join([*version_of(clang()), *flags]),
                      os.path.join(into, "libfork"))
    build_cpp(runtime, clang(), ["-w", *flags, "-I" + include], ["-lhwloc", "-pthread"])
    return runtime


def tokio(into):
    cargo = shutil.which("cargo")
    if cargo is None:
        raise Failure("cargo is not installed")
    folder = os.path.join(into, "tokio")
    os.makedirs(folder, exist_ok=True)
    sources = os.path.join(HERE, "tokio")
    manifest = ["[package]", 'name = "levity_race"', 'version = "0.0.0"', 'edition = "2024"', "",
                "[lib]", f'path = "{os.path.join(sources, "lib.rs")}"', "",
                "[dependencies]", 'tokio = { version = "1", features = ["full"] }', 'async-channel = "2"', 'libc = "0.2"']
    for file in sorted(os.listdir(sources)):
        if file.endswith(".rs") and file != "lib.rs":
            manifest += ["", "[[bin]]", f'name = "{file[:-3]}"', f'path = "{os.path.join(sources, file)}"']
    text = "\n".join(manifest) + "\n"
    path = os.path.join(folder, "Cargo.toml")
    if not os.path.exists(path) or open(path, encoding="utf-8").read() != text:
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
    print("building tokio", flush=True)
    environment = dict(os.environ, CARGO_TARGET_DIR=os.path.join(folder, "target"))
    made([cargo, "build", "--release", "--quiet"], cwd=folder, environment=environment)
    with open(os.path.join(folder, "Cargo.lock"), encoding="utf-8") as file:
        versions = dict(re.findall(r'name = "(tokio|async-channel)"\nversion = "([^"]+)"', file.read()))
    compiler = machine.output_of("rustc", "--version").split("(")[0].strip()
    return Runtime("tokio", "tokio", f"{versions['tokio']}, async-channel {versions['async-channel']}",
                   f"{compiler} --release", os.path.join(folder, "target", "release"))


def go(into):
    tool = shutil.which("go") or shutil.which("/usr/local/go/bin/go")
    if tool is None:
        raise Failure("Go is not installed")
    folder = os.path.join(into, "go")
    os.makedirs(folder, exist_ok=True)
    print("building go", flush=True)
    made([tool, "build", "-o", folder + os.sep, "./..."], cwd=os.path.join(HERE, "go"))
    version = machine.output_of(tool, "env", "GOVERSION").removeprefix("go")
    return Runtime("go", "Go", version, "go build", folder)


def prepare(setup, into, sources):
    """Builds everybody. Who cannot take part is named with the reason; without levity there is no race."""
    runners, absent = [levity(setup, into)], {}
    for title, build in (("Asio", lambda: asio(setup, into)), ("TooManyCooks", lambda: tmc(sources["tmc"], into)),
                         ("libfork", lambda: libfork(sources["libfork"], into)), ("tokio", lambda: tokio(into)),
                         ("Go", lambda: go(into))):
        try:
            runners.append(build())
        except Failure as failure:
            absent[title] = str(failure)
    return runners, absent
