#!/usr/bin/env python3
"""levity-tasks tells of a live process and of its core file what SIGQUIT makes the process tell itself."""

import ctypes
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
HOUSE = os.path.dirname(os.path.dirname(HERE))
BUILD = os.environ.get("LEVITY_BUILD_DIR", os.path.join(HOUSE, "build", "gcc-release"))
SCRIPT = os.path.join(HERE, "levity_gdb.py")
TASK = re.compile(r'^  task (\d+)(?: "(.*?)")?(?: spawned at (\S+))? waits: ([^(,]+)')
PATIENCE_S = 60


def cached(name):
    with open(os.path.join(BUILD, "CMakeCache.txt"), encoding="utf-8") as cache:
        found = re.search(rf"^{name}:[A-Z]+=(.*)$", cache.read(), re.MULTILINE)
    return found.group(1) if found else ""


def may_be_traced():
    """In the child: lets gdb, which is no parent of it, attach where Yama asks for consent."""
    ctypes.CDLL(None).prctl(0x59616D61, ctypes.c_ulong(-1 & 0xFFFFFFFFFFFFFFFF), 0, 0, 0)


def waits_of(text):
    """{id: (name, spawn site, reason, await chain)} of the tasks that wait, and whether all do."""
    found, chain = {}, []
    for line in text.splitlines():
        met = TASK.match(line)
        if met:
            chain = []
            found[int(met.group(1))] = (met.group(2), met.group(3), met.group(4).strip(), chain)
        elif line.startswith("      ") and not line.startswith("      with "):
            chain.append(line.strip())
    total = re.findall(r"^levity: (\d+) tasks$", text, re.MULTILINE)
    return found, bool(total) and int(total[-1]) == len(found)


class Chat:
    """The example, with people in two rooms."""

    def __init__(self, test):
        self.test = test
        self.said = tempfile.TemporaryFile()
        test.addCleanup(self.said.close)
        self.program = os.path.join(BUILD, "examples", "chat")
        self.process = subprocess.Popen([self.program, "127.0.0.1:0"], stdout=subprocess.PIPE, stderr=self.said, text=True,
                                        preexec_fn=may_be_traced)
        test.addCleanup(self.end)
        port = int(self.process.stdout.readline().rsplit(":", 1)[1])
        self.people = []
        for place, name in (("kitchen", "ann"), ("kitchen", "bob"), ("garden", "cid")):
            peer = socket.create_connection(("127.0.0.1", port))
            test.addCleanup(peer.close)
            peer.sendall(f"{place} {name}\n".encode())
            peer.recv(100)  # "*** ann is here"
            self.people.append(peer)

    def end(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def dump(self):
        """What SIGQUIT makes it say, once all of its tasks wait."""
        until = time.monotonic() + PATIENCE_S
        while time.monotonic() < until:
            start = self.said.seek(0, os.SEEK_END)
            self.process.send_signal(signal.SIGQUIT)
            text = ""
            while not re.search(r"^levity: \d+ tasks$", text, re.MULTILINE) and time.monotonic() < until:
                time.sleep(0.01)
                self.said.seek(start)
                text = self.said.read().decode()
            found, all_wait = waits_of(text)
            if all_wait:
                return found
        self.test.fail(f"its tasks did not come to rest:\n{text}")


@unittest.skipUnless(shutil.which("gdb"), "there is no gdb: apt-get install gdb")
class Gdb(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="levity-gdb-")
        self.addCleanup(folder.cleanup)
        self.top = folder.name

    def gdb(self, *arguments):
        done = subprocess.run(["gdb", "-batch", "-nx", "-iex", "set debuginfod enabled off", "-iex", "set auto-load off",
                               "-iex", "set width 0", *arguments],
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300,
                              check=False)
        if "ptrace: Operation not permitted" in done.stdout:
            self.skipTest("this system lets no debugger attach")
        self.assertNotIn("Python Exception", done.stdout)
        return done.stdout


@unittest.skipIf(cached("LEVITY_SANITIZE") not in ("", "none"), "a core file of a sanitized program holds its shadow memory, too")
class Tasks(Gdb):
    def core_of(self, chat):
        """A core file, and what levity-tasks says of the live process."""
        core = os.path.join(self.top, "core")
        text = self.gdb("-p", str(chat.process.pid), "-ex", f"source {SCRIPT}", "-ex", "levity-tasks",
                        "-ex", f"generate-core-file {core}", "-ex", "detach")
        self.assertTrue(os.path.exists(core), text)
        return core, text

    def test_live_process_and_core_file_and_dump_agree(self):
        chat = Chat(self)
        dump = chat.dump()
        self.assertGreaterEqual(len(dump), 8)  # main, the signal task, three connections of three tasks
        self.assertGreaterEqual(len({reason for _, _, reason, _ in dump.values()}), 3, dump)
        self.assertTrue(any(len(chain) >= 2 for _, _, _, chain in dump.values()), dump)
        core, live = self.core_of(chat)
        self.assertEqual(waits_of(live), (dump, True), live)
        self.assertEqual(chat.dump(), dump)  # it goes on

        of_core = self.gdb(chat.program, core, "-ex", f"source {SCRIPT}", "-ex", "levity-tasks")
        self.assertEqual(waits_of(of_core), (dump, True), of_core)

        stripped = os.path.join(self.top, "chat")
        subprocess.run(["strip", "-g", "-o", stripped, chat.program], check=True)
        of_stripped = self.gdb(stripped, core, "-ex", f"source {SCRIPT}", "-ex", "levity-tasks")
        self.assertEqual(waits_of(of_stripped), (dump, True), of_stripped)

        # How long they have waited by the core file's own time: not since long, and not for a negative time that has wrapped.
        for waited in re.findall(r"for ([0-9.]+) s$", of_core, re.MULTILINE):
            self.assertLess(float(waited), 10 * PATIENCE_S, of_core)

        placed = [each for each in dump.items() if each[1][1]]  # the main task is spawned nowhere
        number, (name, site, reason, chain) = max(placed, key=lambda each: len(each[1][3]))
        one = self.gdb(chat.program, core, "-ex", f"source {SCRIPT}", "-ex", f"levity-task {number}")
        self.assertIn(f"task {number} \"{name}\"" if name else f"task {number} ", one)
        self.assertIn(f"waits: {reason}", one)
        for place, line in enumerate(chain):
            self.assertIn(f"#{place} {line}, frame 0x", one)
        some = self.gdb(chat.program, core, "-ex", f"source {SCRIPT}", "-ex", f"levity-tasks {site}")
        self.assertIn(f"task {number}", some)
        self.assertRegex(some, r"levity: \d+ of \d+ tasks")

    def test_names_of_functions_are_those_of_the_dump(self):
        with open(os.path.join(HOUSE, "src", "inspect", "function_name_test.cpp"), encoding="utf-8") as file:
            cases = re.findall(r'\{"([^"\n]*)",\s+"([^"\n]*)"\}', file.read())
        self.assertGreater(len(cases), 20)
        text = self.gdb(shutil.which("true"), "-ex", f"source {SCRIPT}",
                        *[word for signature, _ in cases for word in ("-ex", f"python print('=' + function_name({signature!r}))")])
        self.assertEqual(re.findall("^=(.*)$", text, re.MULTILINE), [name for _, name in cases])

    def test_what_stands_in_the_way_is_one_sentence(self):
        nothing = self.gdb("-ex", f"source {SCRIPT}", "-ex", "levity-tasks")
        self.assertIn("levity: there is no process and no core file", nothing)
        chat = Chat(self)
        core, _ = self.core_of(chat)
        bare = os.path.join(self.top, "bare")
        subprocess.run(["strip", "-s", "-R", ".dynsym", "-o", bare, shutil.which("true")], check=True)
        self.assertIn("levity: this program has no symbol levity_layout",
                      self.gdb(bare, "-ex", f"source {SCRIPT}", "-ex", "starti", "-ex", "levity-tasks"))
        self.assertIn("levity: no task 999999999", self.gdb(chat.program, core, "-ex", f"source {SCRIPT}",
                                                           "-ex", "levity-task 999999999"))


VALUES = r"""
#include <levity/levity.hpp>
namespace lv = levity;
using namespace std::chrono_literals;
[[gnu::noinline]] void stop_here() { asm volatile(""); }
lv::task<int> twice(int what) { co_await lv::sleep(1h); co_return 2 * what; }
lv::task<> sleeper(int kept) {
  const int early = kept + 1;
  const int doubled = co_await twice(early);
  const int late = doubled + kept;
  co_await lv::sleep(late * 1h);
}
lv::task<> one_of_many() { co_await lv::sleep(2h); }
lv::task<int> values() {
  const lv::address where = lv::address::loopback(7000);
  const lv::io_error gone{lv::io_failure::reset, 104, "read"};
  const lv::io_result<int> good = 5;
  const lv::io_result<int> bad = std::unexpected(gone);
  lv::mutex free_one;
  lv::event flag;
  flag.set();
  lv::semaphore permits{3};
  lv::channel<int> jobs{4};
  (void)jobs.try_send(1);
  lv::scope children{lv::on_failure::cancel_siblings, "the children"};
  children.spawn(sleeper, 4711);
  for (int i = 0; i < 100; i++) children.spawn("crowd", one_of_many);
  co_await lv::sleep(20ms);
  stop_here();
  children.cancel();
  co_await children.join();
  co_return 0;
}
int main() {
  lv::runtime_options one_worker;  // so that a task has the same number in each run
  one_worker.workers = 1;
  return lv::run_with(one_worker, values);
}
"""


@unittest.skipIf(cached("LEVITY_SANITIZE") not in ("", "none"), "values look the same without sanitizers")
class Values(Gdb):
    def test_values_and_frames_are_printed_as_what_they_mean(self):
        source, program = os.path.join(self.top, "values.cpp"), os.path.join(self.top, "values")
        with open(source, "w", encoding="utf-8") as file:
            file.write(VALUES)
        compiler = cached("CMAKE_CXX_COMPILER")
        whole = ["-fstandalone-debug"] if "clang" in compiler else []
        subprocess.run([compiler, "-std=c++23", "-g", "-O0", *whole, "-I", os.path.join(HOUSE, "include"), source,
                        os.path.join(BUILD, "liblevity.a"), "-lfmt", "-luring", "-pthread", "-o", program], check=True)
        text = self.gdb(program, "-ex", f"source {SCRIPT}", "-ex", "break stop_here", "-ex", "run", "-ex", "up",
                        *[word for name in ("where", "gone", "good", "bad", "free_one", "flag", "permits", "jobs", "children")
                          for word in ("-ex", f"print {name}")], "-ex", "levity-tasks sleeper",
                        "-ex", "levity-tasks", "-ex", "levity-tasks crowd", "-ex", "kill")
        for expected in ("127.0.0.1:7000", "reset (errno 104: Connection reset by peer) in read", "a value: 5", "an error: reset",
                         " = free", " = set", "3 permits left", "1 of 4 values", 'a scope "the children" of 101 tasks, 101 of '):
            self.assertIn(expected, text)
        # Those that wait at the same place are one entry, unless they are asked for.
        self.assertRegex(text, r'  100 tasks "crowd" spawned at values.cpp:\d+ wait: sleep\n      one_of_many values.cpp:\d+\n'
                               r"      task \d+ waits: ")
        self.assertEqual(text.count("one_of_many values.cpp:"), 101)
        number = re.search(r"task (\d+) spawned at .* waits: sleep", text).group(1)
        one = self.gdb(program, "-ex", f"source {SCRIPT}", "-ex", "break stop_here", "-ex", "run", "-ex", f"levity-task {number}",
                       "-ex", "kill")
        self.assertRegex(one, r"#0 twice values.cpp:(.|\n)*what = 4712(.|\n)*#1 sleeper values.cpp:(.|\n)*kept = 4711")
        # What stands where a variable will be says nothing until the frame has come to it.
        self.assertIn("       early = 4712\n       of this line: doubled\n       not reached yet: late\n", one)


if __name__ == "__main__":
    unittest.main()
