#!/usr/bin/env python3
"""Every rule of tidy.py turns red for a planted violation, and a clean house is green."""

import os
import subprocess
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import tidy  # noqa: E402

CLEAN = {
    "README.md": "# A house\n",
    "dev": "#!/usr/bin/env bash\n",
    "src/rooms.txt": (
        "# comment\n\n"
        "base: uses  # words\n"
        "task: uses base  # work\n"
        "sched [threads]: uses base task  # where it runs\n"
        "http [optional planned]: uses base  # bytes\n"
        "reference [outside]: uses  # a user\n"
        "tools [outside]: uses task  # commands\n"),
    "include/levity/levity.hpp": '#pragma once\n#include "levity/task/task.hpp"\n',
    "include/levity/base/atomic.hpp": (
        "#pragma once\n#include <atomic>\nnamespace levity::inline v0 {\ntemplate <class T>\nusing atomic = std::atomic<T>;\n"
        "inline void full_fence() { std::atomic_thread_fence(std::memory_order_seq_cst); }\n}\n"),
    "include/levity/task/task.hpp": '#pragma once\n#include "levity/base/atomic.hpp"\n',
    "include/levity/task/detail/record.hpp": "#pragma once\n",
    "src/base/flag.hpp": "#pragma once\n",
    "src/base/flag_test.cpp": '#include "base/flag.hpp"\n#include <thread>\nstd::thread helper;\n',
    "src/task/baton.hpp": (
        "#pragma once\n// Edges\n//   E1  post() to take()\n"
        '#include "levity/base/atomic.hpp"\n'
        "struct baton {\n"
        "  void post() {\n    // E1 release.\n    word_.store(1, std::memory_order_release);\n  }\n"
        "  int take() { return word_.load(std::memory_order_acquire); }  // E1 acquire.\n"
        "  int look() { return word_.load(std::memory_order_relaxed); }\n"
        "  levity::atomic<int> word_{0};\n};\n"),
    "src/task/baton.cpp": '#include "task/baton.hpp"\n#include "levity/task/task.hpp"\n#include "base/flag.hpp"\n',
    "src/task/baton_test.cpp": (
        '#include "levity/levity.hpp"\n#include "task/baton.hpp"\n#include "tests/support/tasks.hpp"\n'),
    "src/sched/worker.cpp": '#include "task/baton.hpp"\nsystem_thread mine;\n',
    "reference/order.hpp": "#pragma once\n",
    "reference/order.cpp": '#include "reference/order.hpp"\n#include "levity/levity.hpp"\n',
    "tools/load/command.cpp": '#include "load/engine.hpp"\n#include "task/baton.hpp"\n#include <thread>\n',
    "tools/load/engine.hpp": "#pragma once\n",
    "tests/support/tasks.hpp": "#pragma once\n",
    "docs/design/0001-the-first-one.md": "why\n",
}


BATON = CLEAN["src/task/baton.hpp"]


class Tidy(unittest.TestCase):
    def found(self, planted=None, without=()):
        """What tidy finds in the clean house with some files planted or taken away."""
        with tempfile.TemporaryDirectory() as root:
            for path, text in {**CLEAN, **(planted or {})}.items():
                if path in without:
                    continue
                full = os.path.join(root, path)
                os.makedirs(os.path.dirname(full), exist_ok=True)
                with open(full, "wb") as file:
                    file.write(text.encode())
            return tidy.findings(root)[1]

    def assert_red(self, planted, path, message, without=()):
        found = self.found(planted, without)
        self.assertTrue([one for one in found if one.path == path and message in one.message],
                        f"no finding in {path} that says '{message}', but {found}")
        self.assertEqual([], [one for one in found if one.path != path], "and nothing elsewhere")

    def assert_green(self, planted):
        self.assertEqual([], self.found(planted))

    def plant(self, text, message, path="src/task/planted.cpp"):
        self.assert_red({path: text}, path, message)

    def test_a_clean_house_is_green(self):
        self.assert_green({})

    def test_a_namespace_without_its_version(self):
        self.plant("namespace levity {\n}\n", "without its version")
        self.plant("namespace levity::detail {\n}\n", "without its version")
        self.assert_green({"src/task/planted.cpp": "namespace levity::inline v0::detail {\n}\n"})
        self.assert_green({"src/base/flag_test.cpp": "namespace levity::test {\n}\n"})

    # Rooms.

    def test_an_include_that_is_not_granted(self):
        self.plant('#include "sched/worker.hpp"\n', "task is not granted sched")
        self.plant('#include "levity/http/message.hpp"\n', "task is not granted http")
        self.plant("#include <levity/http/message.hpp>\n", "task is not granted http")
        self.plant('#include "levity/task/task.hpp"\n', "base is not granted task", "src/base/planted.cpp")
        self.plant('#pragma once\n#include "levity/task/task.hpp"\n', "base is not granted task",
                   "include/levity/base/planted.hpp")

    def test_a_commented_include_is_none(self):
        self.assert_green({"src/task/planted.cpp": '// #include "sched/worker.hpp"\n'})

    def test_a_room_does_not_use_the_umbrella(self):
        self.plant('#include "levity/levity.hpp"\n', "is for users")

    def test_a_public_header_keeps_private_ones_out(self):
        self.plant('#pragma once\n#include "task/baton.hpp"\n', "private", "include/levity/task/planted.hpp")

    def test_only_companions_use_test_support(self):
        self.plant('#include "tests/support/tasks.hpp"\n', "only companions")
        self.assert_red({"src/task/baton_test.cpp": '#include "tests/e2e/world.hpp"\n'}, "src/task/baton_test.cpp",
                        "only tests/support")

    def test_a_companion_reaches_no_private_room_beyond_its_own(self):
        self.assert_red({"src/task/baton_test.cpp": '#include "sched/worker.hpp"\n'}, "src/task/baton_test.cpp",
                        "not granted sched")

    def test_a_room_does_not_know_its_users(self):
        self.plant('#include "reference/order.hpp"\n', "must not know reference")

    def test_an_include_says_the_room(self):
        self.plant('#include "baton.hpp"\n', "write the path from src/")

    def test_users_see_no_private_header_and_no_detail(self):
        self.plant('#include "task/baton.hpp"\n', "not granted the private task", "reference/planted.cpp")
        self.plant('#include "base/flag.hpp"\n', "not granted the private base", "tools/load/planted.cpp")
        self.plant('#include "levity/task/detail/record.hpp"\n', "not promised", "reference/planted.cpp")

    def test_the_kernel_is_called_through_the_seam(self):
        for call in ("::read(fd, at, 1)", "if (::epoll_ctl(a, b, c, d) != 0)", "!::fsync(fd)", "::syscall(SYS_futex)",
                     "io_uring_submit(&ring)", "::flock(fd, 2)", "io_uring_register_buf_ring(&ring, &at, 0)",
                     "x = ::mmap(nullptr, 1, 2, 3, 4, 5)"):
            self.plant(f"int f() {{ {call}; }}\n", "past src/platform/syscall.hpp")
        for fine in ("kernel::read(fd, at, 1)", "file::open(path)", "void pipe::close() {}", "::kill(pid, 9)", "std::rename(a, b)",
                     "// ::read(fd) is not called here", "io_uring_prep_read(&entry)"):
            self.assert_green({"src/task/planted.cpp": f"int f() {{ {fine};\n}}\n"})
        self.assert_green({"src/task/baton_test.cpp": "int f() { return ::close(3); }\n",
                           "src/base/planted.cpp": "int f() { return ::write(2, 0, 0); }\n"})

    def test_rooms_stand_in_order(self):
        rooms = CLEAN["src/rooms.txt"]
        for text, message in (
                ("early: uses late  # x\nlate: uses  # x\n", "does not stand above"),
                ("early: uses early  # x\n", "does not stand above"),
                ("base: uses  # again\n", "twice"),
                ("cellar uses base\n", "cannot be read"),
                ("cellar: uses base  #\n", "no reason"),
                ("cellar [dark]: uses base  # x\n", "means nothing"),
                ("cellar: uses base  # x\n", "has no folder src/cellar/")):
            self.assert_red({"src/rooms.txt": rooms + text}, "src/rooms.txt", message)
        self.assertTrue(self.found(without=("src/rooms.txt",)))

    def test_a_room_that_is_planned_has_no_folder(self):
        self.assert_red({"src/http/parser.cpp": "int parser;\n"}, "src/rooms.txt", "http is marked [planned]")

    def test_every_room_is_listed(self):
        self.assert_red({"src/attic/box.cpp": "int box;\n"}, "src/attic/box.cpp", "not listed")
        self.plant("#pragma once\n", "not listed", "include/levity/attic/box.hpp")
        self.plant("int box;\n", "lies in no room", "src/box.cpp")

    def test_a_companion_stands_beside_its_source(self):
        self.plant("int x;\n", "companion of nothing", "src/task/lost_test.cpp")
        self.plant("int x;\n", "companion of nothing", "reference/lost_fuzz.cpp")
        self.plant("int x;\n", "companion of nothing", "tools/load/lost_bench.cpp")
        self.assert_green({"src/task/task_test.cpp": "int x;\n", "src/task/baton_close_model.cpp": "int x;\n",
                           "tools/load/load_test.cpp": "int x;\n", "tests/e2e/drain_test.cpp": "int x;\n"})

    # Threads and memory orders.

    def test_atomics_have_one_door(self):
        self.plant("std::atomic<int> x;\n", "std::atomic")
        self.plant("#include <atomic>\n", "#include <atomic>")
        self.plant("void f() { std::atomic_thread_fence(order); }\n", "atomic_thread_fence")
        self.plant("std::atomic<int> x;\n", "std::atomic", "tools/load/planted.cpp")
        self.assert_green({"src/task/planted.cpp": '// std::atomic<int>\nauto text = "std::atomic<int>";\n'})

    def test_threads_have_one_door(self):
        for text, door in (("std::thread x;", "system_thread"), ("#include <thread>", "system_thread"),
                           ("std::mutex x;", "system_mutex"), ("std::recursive_mutex x;", "system_mutex"),
                           ("std::condition_variable x;", "system_condition"), ("std::unique_lock x{y};", "system_mutex"),
                           ("void f() { const std::scoped_lock x{y, z}; }", "system_mutex")):
            self.plant(text + "\n", f"src/base/{door}.hpp", "src/sched/planted.cpp")
        for text in ("std::thread::id x;", "std::lock_guard<levity::spin_lock> x(y);", "std::this_thread::yield();", "my_mutex x;"):
            self.assert_green({"src/sched/planted.cpp": text + "\n"})
        self.assert_green({"src/sched/worker_test.cpp": "std::mutex x;\n"})

    def test_threads_have_their_rooms(self):
        for text in ("std::thread x;", "std::jthread x;", "std::mutex x;", "std::condition_variable x;",
                     "std::shared_mutex x;", "#include <thread>", "system_mutex x;", "auto x = std::async(f);", "std::once_flag x;",
                     "void f() { pthread_create(&a, nullptr, g, nullptr); }",
                     "void f() { std::this_thread::sleep_for(x); }"):
            self.plant(text + "\n", "has no threads")
        self.assert_green({"src/task/planted.cpp": "std::lock_guard<levity::spin_lock> x(y);\n"})

    def test_a_silent_order(self):
        path = "src/task/baton.hpp"
        for text in ("word_.load();", "word_.store(1);", "word_.exchange(1);", "word_.fetch_add(1);",
                     "word_.compare_exchange_strong(\n        seen, wanted);", "this->word_.load();",
                     "word_.store(f(1, 2));", "flags_.test_and_set();"):
            self.assert_red({path: BATON + f"void f() {{ {text} }}\n"}, path, "by silence")
        for text in ("word_++;", "--word_;", "word_ += 1;", "word_ = 1;"):
            self.assert_red({path: BATON + f"void f() {{ {text} }}\n"}, path, "by silence")
        # The declaration may stand in a header that is included.
        self.plant('#include "task/baton.hpp"\nvoid f(baton& b) { b.word_.load(); }\n', "by silence")
        for text in ("config.load();", "word_.load(order);", "if (word_ == other) g();", "std::exchange(x, 1);",
                     "word_.compare_exchange_weak(seen, wanted,\n   std::memory_order_relaxed);"):
            self.assert_green({path: BATON + f"void f() {{ {text} }}\n"})

    # Text.

    def test_text_is_clean(self):
        self.plant("int x;\t\n", "a tab")
        self.plant("int x; \n", "space at the end")
        self.plant("int x;\r\n", "carriage return")
        self.plant("int x;", "does not end")
        self.plant("//" + "x" * 131 + "\n", "133 characters")
        self.assert_green({"src/task/planted.cpp": "//" + "ü" * 118 + "\n"})
        for word in ("TO" + "DO", "FIX" + "ME", "X" * 3):
            self.plant(f"// {word}: later\n", word)
            self.plant(f"{word} later\n", word, "docs/PLAN.md")
        self.assert_red({"dev": "#!/usr/bin/env bash\n# later \n"}, "dev", "space at the end")

    def test_paths_of_one_machine(self):
        for path in ("/wo" + "rk/main", "/ro" + "ot/x", "/ho" + "me/anna/x"):
            self.plant(f"// see {path}\n", "path of one machine")
            self.plant(f"see `{path}`\n", "path of one machine", "docs/PLAN.md")
        self.assert_green({"docs/PLAN.md": "https://example.org/ro" + "ot/x and a/wo" + "rk/b\n"})

    def test_file_names(self):
        self.plant("int x;\n", "snake_case", "src/task/Planted.cpp")
        self.plant("int x;\n", "snake_case", "tools/load/my-command.cpp")
        self.plant("int x;\n", "nothing builds", "src/task/planted.cc")

    def test_headers_guard_themselves(self):
        self.plant("int x;\n", "pragma once", "src/task/planted.hpp")

    def test_conditions_await_beside_a_variable(self):
        broken = "task<> f() {\n  if (co_await g()) h();\n  h();\n}\n"
        self.plant(broken, "awaits in a condition")
        self.plant("auto f = [](int x) -> task<> {\n  while (!co_await g(x)) h();\n};\n", "awaits in a condition")
        self.plant("task<> f() {\n  int x = 1;\n  k([] {\n    if (co_await g()) h(); });\n}\n", "awaits in a condition")
        for fine in ("task<> f() {\n  const bool is = co_await g();\n  if (is) h();\n}\n",
                     "task<> f() {\n  lv::scope all;\n  if (co_await g()) h();\n}\n",
                     "task<> f() {\n  while (auto x = co_await g()) h();\n}\n",
                     "task<> f() {\n  for (int i = 0; i < 2; i++) {\n    if (co_await g()) h();\n  }\n}\n"):
            self.assert_green({"src/task/planted.cpp": fine})

    def test_awaited_arguments_choose_between_names(self):
        for choice in ('full ? std::string("full") : seat', 'full ? full_text : "seat " + seat', "of(full ? 1 : to_string(2))",
                       '{1, 2}, full ? a\n      : b + "\\n"'):
            self.plant(f"task<> f() {{\n  int x = co_await peer.write_all({choice});\n}}\n", "makes a string by `?:`")
        for fine in ('const auto line = full ? std::string("full") : seat + "x";\n  co_await peer.write_all(line);',
                     'co_await peer.write_all(full ? "full" : "free");', 'co_await peer.write_all(full ? a : b);',
                     'const bool is = co_await f(x) ? std::string("a") == y : false;',
                     'co_await f([&] { return x ? std::string("a") : y; });', 'co_await f("a" + x, y ? 1 : 2);'):
            self.assert_green({"src/task/planted.cpp": f"task<> f() {{\n  {fine}\n}}\n"})

    # The reader of C++ and the command.

    def test_comments_and_literals_are_told_apart(self):
        code, comments = tidy.split_comments(
            'int a = 1\'000; // one "two"\nauto b = "// no /* no"; /* yes\nyes */ char c = \'"\'; // d\n'
            'auto r = R"x(// no)y" )x"; // last\n')
        for word in ("one", "two", "yes", "d", "last"):
            self.assertIn(word, comments)
            self.assertNotIn(word + " ", code.replace("void ", ""))
        self.assertNotIn("no", comments)
        self.assertIn("char c", code)
        self.assertIn("1'000", code)
        self.assertEqual(4, code.count("\n"))
        self.assertEqual(4, comments.count("\n"))

    def test_the_command_ends_with_a_verdict(self):
        with tempfile.TemporaryDirectory() as root:
            os.makedirs(os.path.join(root, "src/base"))
            for path, text in (("src/rooms.txt", "base: uses  # words\n"), ("src/base/a.cpp", "int a; \n")):
                with open(os.path.join(root, path), "w") as file:
                    file.write(text)
            command = [sys.executable, os.path.join(HERE, "tidy.py"), "--root", root]
            red = subprocess.run(command, capture_output=True, text=True)
            self.assertEqual(1, red.returncode)
            self.assertIn("src/base/a.cpp:1: space at the end of the line\n", red.stdout)
            self.assertIn("largest: src/base/a.cpp 1\n", red.stdout)
            self.assertTrue(red.stdout.endswith("tidy: 1 finding in 2 files\n"), red.stdout)
            green = subprocess.run(command + ["src/rooms.txt"], capture_output=True, text=True)
            self.assertEqual(0, green.returncode)
            self.assertTrue(green.stdout.endswith("tidy: no findings in 2 files\n"), green.stdout)


if __name__ == "__main__":
    unittest.main()
