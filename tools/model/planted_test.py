#!/usr/bin/env python3
"""The tool that plants bugs builds copies with the bug in them, leaves the tree alone, and is red for a bug that nobody finds."""

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
import planted  # noqa: E402

COMPILER = shutil.which("g++") or shutil.which("clang++-19")

# As a program of scenarios: it fails when the lamp is not lit, of which half is inline, in a source that is not the scenario's.
SOURCES = {
    "src/base/lamp.hpp": "#pragma once\ninline int half() { return 1; }\nint other_half();\n",
    "src/base/lamp.cpp": '#include "base/lamp.hpp"\nint other_half() { return 2 * half() - 1; }\n',
    "src/base/bell.cpp": "int bell() { return 1; }\n",
    "src/base/lamp_model.cpp": """#include "base/lamp.hpp"
extern "C" int printf(const char*, ...);
#define LEVITY_SCENARIO(name) bool name()
int bell();
LEVITY_SCENARIO(it_is_lit) { return bell() == 1 && other_half() == 1; }
int main() {
  const bool passes = it_is_lit();
  printf("%s it_is_lit  7 executions, all within bounds (waits), 0 redundant, 0.00 s\\n\\n", passes ? "ok" : "FAILS");
  printf("a: it is dark\\n");
  return !passes;
}
""",
    "src/base/idle_model.cpp": "int idle() { return 0; }\n",
}
HEAD = "Planted: the lamp is broken.\nScenario: base_model it_is_lit\nFound: it is dark\n\n"
DARK = HEAD + """--- a/src/base/lamp.cpp
+++ b/src/base/lamp.cpp
@@ -1,2 +1,2 @@
 #include "base/lamp.hpp"
-int other_half() { return 2 * half() - 1; }
+int other_half() { return 0; }
"""
INLINE = HEAD + """--- a/src/base/lamp.hpp
+++ b/src/base/lamp.hpp
@@ -1,3 +1,3 @@
 #pragma once
-inline int half() { return 1; }
+inline int half() { return 3; }
 int other_half();
"""
HARMLESS = DARK.replace("+int other_half() { return 0; }", "+int other_half() { return 1; }")


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
            made = f"CMakeFiles/{path}.o"
            command = f"{COMPILER} -I{self.root}/src -O0 -o {made} -c {self.root}/{path}"
            commands.append({"directory": self.build, "command": command, "file": f"{self.root}/{path}", "output": made})
            lines += [f"build {made}: make", f"  command = {command}"]
            objects.append(made)
        own = [each for each in objects if each.endswith("_model.cpp.o")]
        library = " ".join(each for each in objects if each not in own)
        lines += [f"build lib.a: make {library}", f"  command = ar rcs lib.a {library}"]
        lines += [f"build base_model: make {' '.join(own)} lib.a",
                  f"  command = : && {COMPILER} {' '.join(own)} -o base_model lib.a && :"]
        self.write("build/build.ninja", "\n".join(lines) + "\n")
        self.write("build/compile_commands.json", json.dumps(commands))
        subprocess.run(["ninja", "-C", self.build], check=True, stdout=subprocess.PIPE)

    def write(self, path, text):
        path = os.path.join(self.root, path)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)

    def run_tool(self, *names, **patches):
        for name, text in patches.items():
            self.write(f"tests/model/planted/{name}.patch", text)
        told, complaints = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(told), contextlib.redirect_stderr(complaints):
            code = planted.main([self.build, "--root", self.root, "--json", os.path.join(self.root, "rows.json"), *names])
        return code, told.getvalue() + complaints.getvalue()

    def test_bugs_in_a_source_and_in_a_header_are_found_and_the_tree_stays(self):
        code, told = self.run_tool(dark=DARK, inline=INLINE)
        self.assertEqual(code, 0, told)
        self.assertIn("2 planted, 2 found", told)
        with open(os.path.join(self.root, "rows.json"), encoding="utf-8") as file:
            self.assertEqual([(row["bug"], row["executions"], row["failure"]) for row in json.load(file)],
                             [("dark", 7, "a: it is dark"), ("inline", 7, "a: it is dark")])
        for path, text in SOURCES.items():
            with open(os.path.join(self.root, path), encoding="utf-8") as file:
                self.assertEqual(file.read(), text)

    def test_a_bug_that_is_not_found_is_red(self):
        code, told = self.run_tool(harmless=HARMLESS)
        self.assertEqual(code, 1)
        self.assertIn("harmless is not found by it_is_lit in 7 executions: the lamp is broken.", told)

    def test_a_failure_of_another_kind_is_red(self):
        code, told = self.run_tool(dark=DARK.replace("Found: it is dark", "Found: it is loud"))
        self.assertEqual(code, 1)
        self.assertIn('dark makes it_is_lit fail, but not with "it is loud": a: it is dark', told)

    def test_a_patch_that_does_not_fit_is_red(self):
        code, told = self.run_tool(old=DARK.replace("2 * half()", "3 * half()"))
        self.assertEqual(code, 1)
        self.assertIn("old.patch does not fit the sources any more; make it anew", told)

    def test_a_scenario_that_is_not_there_is_red(self):
        code, told = self.run_tool(dark=DARK.replace("base_model it_is_lit", "base_model it_rings"))
        self.assertEqual(code, 1)
        self.assertIn("dark.patch names the scenario it_rings, and no source has it", told)

    def test_what_cannot_be_read_or_is_not_there_is_refused(self):
        code, told = self.run_tool("bright", dark=DARK)
        self.assertEqual(code, 2)
        self.assertIn("there is no planted bug bright; those there are: dark", told)
        code, told = self.run_tool(dark=DARK.replace("Scenario", "Program"))
        self.assertEqual(code, 2)
        self.assertIn("dark.patch cannot be read", told)


if __name__ == "__main__":
    unittest.main()
