#!/usr/bin/env python3
"""The tool that plants bugs for simulated scenarios tells at which seed each was found, by which plan, or is red."""

import contextlib
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import planted  # noqa: E402  the path is set above

COMPILER = shutil.which("g++") or shutil.which("clang++-19")

# As reference_test: a scenario that fails at the seed at which the lamp is dark, or ends the process where that is negative.
SOURCES = {
    "reference/lamp.cpp": "int dark_at() { return 0; }\n",
    "reference/lamp.hpp": "int dark_at();\n",
    "reference/lamp_test.cpp": """#include "reference/lamp.hpp"
extern "C" int printf(const char*, ...);
extern "C" int atoi(const char*);
extern "C" int strcmp(const char*, const char*);
extern "C" int fflush(void*);
extern "C" char* getenv(const char*);
extern "C" void abort();
int main(int argc, char** argv) {
  if (argc != 2 || strcmp(argv[1], "--gtest_filter=order_check.it_is_lit") != 0) return printf("[  PASSED  ] 0 tests.\\n") < 0;
  if (getenv("LEVITY_SIM_PLAN") != nullptr || getenv("LEVITY_SIM_KNOWN") == nullptr) return 1;
  const int seed = dark_at();
  if (seed < 0) {
    printf("a belief is broken: it is lit\\nlevity: this happened in a check, at seed %d, 1.2 s after the world's beginning, "
           "on host lamp\\nlevity: to meet it again: LEVITY_SIM_SEED=%d LEVITY_SIM_PLAN='3s power lamp 1s' ./x\\n", -seed, -seed);
    fflush(nullptr);
    abort();
  }
  if (seed == 0 || seed > atoi(getenv("LEVITY_SIM_SEEDS"))) return printf("[  PASSED  ] 1 test.\\n") < 0;
  printf("sim::check failed on seed %d, after %d seeds: always \\"it is lit\\" is false, at lamp_test.cpp:1\\n", seed, seed);
  printf("  when    2.5 s after the world's beginning\\n  plan    2s kill lamp 1s, the least of 9 faults in 3 runs\\n");
  return 1;
}
""",
}
HEAD = "Planted: the lamp is broken.\nScenario: order_check.it_is_lit\nFound: it glows | it is lit\nSeeds: 4\n\n"
DARK = HEAD + """--- a/reference/lamp.cpp
+++ b/reference/lamp.cpp
@@ -1 +1 @@
-int dark_at() { return 0; }
+int dark_at() { return 3; }
"""
FATAL = DARK.replace("return 3", "return -2")
LATE = DARK.replace("return 3", "return 5")
HEADER = HEAD + """--- a/reference/lamp.hpp
+++ b/reference/lamp.hpp
@@ -1 +1 @@
-int dark_at();
+int dark_at() noexcept;
"""


@unittest.skipUnless(COMPILER and shutil.which("ninja") and shutil.which("patch"), "it needs a C++ compiler, ninja and patch")
class Planted(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="levity-planted-")
        self.addCleanup(folder.cleanup)
        self.root = folder.name
        self.build = os.path.join(self.root, "build")
        commands, lines, objects = [], ["rule make", "  command = $command"], []
        for path, text in SOURCES.items():
            self.write(path, text)
            if path.endswith(".hpp"):
                continue
            made = f"CMakeFiles/{path}.o"
            command = f"{COMPILER} -I{self.root} -O0 -o {made} -c {self.root}/{path}"
            commands.append({"directory": self.build, "command": command, "file": f"{self.root}/{path}", "output": made})
            lines += [f"build {made}: make", f"  command = {command}"]
            objects.append(made)
        library = next(each for each in objects if not each.endswith("_test.cpp.o"))
        test = next(each for each in objects if each.endswith("_test.cpp.o"))
        lines += [f"build lib.a: make {library}", f"  command = ar rcs lib.a {library}"]
        lines += [f"build reference_test: make {test} lib.a",
                  f"  command = : && {COMPILER} {test} -o reference_test lib.a && :"]
        self.write("build/build.ninja", "\n".join(lines) + "\n")
        self.write("build/compile_commands.json", json.dumps(commands))
        subprocess.run(["ninja", "-C", self.build], check=True, stdout=subprocess.PIPE)

    def write(self, path, text):
        path = os.path.join(self.root, path)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)

    def run_tool(self, *words, **patches):
        for name, text in patches.items():
            self.write(f"tests/sim/planted/{name}.patch", text)
        told, complaints = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(told), contextlib.redirect_stderr(complaints):
            code = planted.main([self.build, "--root", self.root, "--json", os.path.join(self.root, "rows.json"), *words])
        return code, told.getvalue() + complaints.getvalue()

    def rows(self):
        with open(os.path.join(self.root, "rows.json"), encoding="utf-8") as file:
            return json.load(file)

    def test_a_bug_is_found_at_a_seed_by_a_plan_and_the_tree_stays(self):
        code, told = self.run_tool(dark=DARK)
        self.assertEqual(code, 0, told)
        self.assertIn("seed 3 of at most 4", told)
        self.assertIn("s  2s kill lamp 1s\n", told)
        self.assertIn("1 planted, 1 tried, 1 found", told)
        row = self.rows()[0]
        self.assertEqual((row["bug"], row["found"], row["seed"], row["seeds_max"], row["plan"]),
                         ("dark", True, 3, 4, "2s kill lamp 1s"))
        for path, text in SOURCES.items():
            with open(os.path.join(self.root, path), encoding="utf-8") as file:
                self.assertEqual(file.read(), text)

    def test_a_bug_that_ends_the_process_is_found_by_what_is_said_then(self):
        code, told = self.run_tool(fatal=FATAL)
        self.assertEqual(code, 0, told)
        self.assertIn("seed 2 of at most 4", told)
        self.assertIn("3s power lamp 1s (the process ends: as drawn)", told)

    def test_a_plan_of_the_environment_is_not_followed(self):
        os.environ["LEVITY_SIM_PLAN"] = ""
        self.addCleanup(os.environ.pop, "LEVITY_SIM_PLAN")
        self.assertEqual(self.run_tool(dark=DARK)[0], 0)

    def test_a_bug_that_is_not_found_within_its_seeds_is_red(self):
        code, told = self.run_tool(late=LATE)
        self.assertEqual(code, 1)
        self.assertIn("late is not found by order_check.it_is_lit within 4 seeds: the lamp is broken.", told)

    def test_a_failure_of_another_kind_is_red(self):
        code, told = self.run_tool(dark=DARK.replace("it glows | it is lit", "it hums"))
        self.assertEqual(code, 1)
        self.assertIn('dark makes order_check.it_is_lit fail, but not with "it hums": always "it is lit" is false', told)

    def test_a_patch_that_does_not_fit_is_red_and_the_others_are_tried(self):
        code, told = self.run_tool(old=DARK.replace("return 0", "return 9"), dark=DARK)
        self.assertEqual(code, 1)
        self.assertIn("old.patch does not fit the sources any more; make it anew", told)
        self.assertIn("2 planted, 1 tried, 1 found", told)

    def test_a_patch_that_does_not_compile_is_red(self):
        code, told = self.run_tool(wrong=DARK.replace("return 3", "return three"))
        self.assertEqual(code, 1)
        self.assertIn("wrong.patch does not compile", told)

    def test_a_scenario_that_is_not_there_is_red(self):
        code, told = self.run_tool(dark=DARK.replace("order_check.it_is_lit", "order_check.it_rings"))
        self.assertEqual(code, 1)
        self.assertIn("dark.patch names the scenario order_check.it_rings, which plays nothing", told)

    def test_one_bug_is_tried_however_short_the_time_and_the_rest_is_named(self):
        code, told = self.run_tool("--seconds", "0", dark=DARK, fatal=FATAL, late=DARK)
        self.assertEqual(code, 0, told)
        self.assertIn("3 planted, 1 tried, 1 found", told)
        self.assertIn("not begun within 0 s: ", told)

    def test_what_cannot_be_read_or_is_not_there_is_refused(self):
        code, told = self.run_tool("bright", dark=DARK)
        self.assertEqual(code, 2)
        self.assertIn("there is no planted bug bright; those there are: dark", told)
        for patch, why in ((DARK.replace("Seeds: 4", "Seeds: some"), 'its line "Seeds: " has a number'),
                           (DARK.replace("Found", "Says"), "dark.patch cannot be read"),
                           (HEADER, "patches reference/lamp.hpp: break a source")):
            code, told = self.run_tool(dark=patch)
            self.assertEqual(code, 2)
            self.assertIn(why, told)


class Outcomes(unittest.TestCase):
    def test_a_check_that_fails_without_a_seed_has_played(self):
        never = planted.read_outcome(1, "sim::check failed: in 4 seeds this was never true\n  sometimes \"it glows\"\n", 1.0)
        self.assertEqual((never.end, never.seed, never.what), ("fails", 0, "in 4 seeds this was never true"))
        self.assertIsNone(planted.read_outcome(1, "[  FAILED  ] 1 test\n", 1.0))


if __name__ == "__main__":
    unittest.main()
