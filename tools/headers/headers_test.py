#!/usr/bin/env python3
"""Every public header compiles alone, and none of the core brings a dear header of the standard library."""

import concurrent.futures
import os
import re
import sys
import unittest

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import headers  # noqa: E402

BUILD = os.environ.get("LEVITY_BUILD_DIR", os.path.join(headers.HOUSE, "build", "gcc-release"))
# What each of these costs a user, and what stands in for it: docs/HACKING.md, "Headers are cheap".
DEAR = ("algorithm", "chrono", "format", "fstream", "functional", "future", "iomanip", "iostream", "istream", "iterator", "locale",
        "map", "mutex", "ostream", "random", "ranges", "regex", "semaphore", "set", "sstream", "stop_token", "thread",
        "unordered_map", "unordered_set")
# Where the standard library has no cheaper door.
FALLBACKS = (("levity/base/clock.hpp", "chrono"), ("levity/task/stop.hpp", "stop_token"))
OPTIONAL = tuple(f"levity/{room}/" for room in ("cache", "http", "model", "redis", "resilience", "resolve", "service", "sim"))
# What stands behind the doors to the system's locks where a build explores: for sources, and for levity/model.
EXPLORED = tuple(f"levity/base/{name}.hpp" for name in ("explored_mutex", "explored_condition"))


def cached(name):
    path = os.path.join(BUILD, "CMakeCache.txt")
    if not os.path.exists(path):
        return ""
    with open(path, encoding="utf-8") as cache:
        found = re.search(rf"^{name}:[A-Z]+=(.*)$", cache.read(), re.MULTILINE)
    return found.group(1) if found else ""


class Headers(unittest.TestCase):
    @unittest.skipIf(cached("LEVITY_SANITIZE") not in ("", "none"), "sanitizers see no header alone; the release lanes do")
    def test_each_public_header_compiles_alone(self):
        compiler = cached("CMAKE_CXX_COMPILER") or "g++"
        found = headers.public_headers()
        self.assertGreater(len(found), 50)

        def alone(header):
            text = f"#include <{header}>\n#include <{header}>\n"
            done = headers.compile_text(compiler, text, "-fsyntax-only", "-Wall", "-Wextra", "-Werror")
            return "" if done.returncode == 0 else f"{header}\n{done.stdout}"

        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as several:
            refused = [each for each in several.map(alone, found) if each]
        self.assertEqual(refused, [], "\n".join(refused))

    def test_no_header_of_the_core_includes_a_dear_one(self):
        met = []
        for folder, _, files in os.walk(os.path.join(headers.INCLUDE, "levity")):
            for name in files:
                path = os.path.relpath(os.path.join(folder, name), headers.INCLUDE)
                if path.startswith(OPTIONAL) or path in EXPLORED:
                    continue
                with open(os.path.join(folder, name), encoding="utf-8") as file:
                    text = file.read()
                for dear in re.findall(r"^#include <([a-z_]+)>", text, re.MULTILINE):
                    if dear in DEAR and (path, dear) not in FALLBACKS:
                        met.append(f"{path} includes <{dear}>")
                met += [f"{path} includes {behind}, which is for sources" for behind in EXPLORED if f'"{behind}"' in text]
        self.assertEqual(met, [])

    def test_the_program_of_the_readme_is_found_and_is_a_program(self):
        program = headers.hello_service()
        self.assertIn("int main()", program)
        # The headers that stand for it are those that it needs.
        lean = program.replace("#include <levity/levity.hpp>", "#include <cstdio>\n" +
                               "".join(f"#include <{header}>\n" for header in headers.HELLO))
        self.assertNotEqual(lean, program)
        done = headers.compile_text(cached("CMAKE_CXX_COMPILER") or "g++", lean, "-fsyntax-only", "-Wall", "-Wextra", "-Werror")
        self.assertEqual(done.returncode, 0, done.stdout)

    def test_what_is_dearer_is_seen_to_be_dearer(self):
        self.assertLess(headers.seconds("g++", "", 3, "-fsyntax-only") + 0.05,
                        headers.seconds("g++", "#include <levity/levity.hpp>\n", 1, "-fsyntax-only"))


if __name__ == "__main__":
    unittest.main()
