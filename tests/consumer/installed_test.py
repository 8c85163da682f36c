#!/usr/bin/env python3
"""A project outside the house builds and runs against what `cmake --install` lays down, wherever that is moved to."""

import os
import re
import shutil
import subprocess
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
HOUSE = os.path.dirname(os.path.dirname(HERE))
BUILD = os.environ.get("LEVITY_BUILD_DIR", os.path.join(HOUSE, "build", "gcc-release"))
JOBS = os.environ.get("CMAKE_BUILD_PARALLEL_LEVEL", "2")


def cached(name):
    with open(os.path.join(BUILD, "CMakeCache.txt"), encoding="utf-8") as cache:
        found = re.search(rf"^{name}:[A-Z]+=(.*)$", cache.read(), re.MULTILINE)
    return found.group(1) if found else ""


def run(*command, **more):
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=500, check=False, **more)


COMPILER = cached("CMAKE_CXX_COMPILER")
SANITIZED = cached("LEVITY_SANITIZE") not in ("", "none")


@unittest.skipIf(SANITIZED, "a sanitized library is not what gets installed")
class Installed(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="levity-consumer-")
        self.addCleanup(folder.cleanup)
        self.top = folder.name
        self.prefix = os.path.join(self.top, "moved")

    def ok(self, *command, **more):
        done = run(*command, **more)
        self.assertEqual(done.returncode, 0, f"{' '.join(command)}\n{done.stdout}")
        return done.stdout

    def install(self, build):
        """Under DESTDIR and another prefix than the one it is then used from."""
        stage = os.path.join(self.top, "stage")
        self.ok("cmake", "--install", build, "--prefix", "/first", env={**os.environ, "DESTDIR": stage})
        shutil.move(os.path.join(stage, "first"), self.prefix)
        self.assertEqual(os.listdir(stage), [], "something was installed outside the prefix")

    def configure(self, *options):
        return run("cmake", "-S", HERE, "-B", os.path.join(self.top, "out"), f"-DCMAKE_CXX_COMPILER={COMPILER}",
                   f"-DCMAKE_C_COMPILER={cached('CMAKE_C_COMPILER')}", f"-DCMAKE_PREFIX_PATH={self.prefix}", *options)

    def build_and_run(self, *options):
        done = self.configure(*options)
        self.assertEqual(done.returncode, 0, done.stdout)
        self.ok("cmake", "--build", os.path.join(self.top, "out"), "-j", JOBS)
        self.assertIn("heard hello", self.ok(os.path.join(self.top, "out", "hello")))

    def pkg_config(self, name):
        found = []
        for folder, _, files in os.walk(self.prefix):
            found += [folder for file in files if file == name]
        self.assertEqual(len(found), 1, f"{name} is in {found}")
        return found[0]

    def make(self, *options):
        folder = self.pkg_config("levity.pc")
        libraries = os.path.dirname(folder)
        out = os.path.join(self.top, "make")
        os.mkdir(out)
        self.ok("make", "-f", os.path.join(HERE, "consumer.mk"), f"SOURCE={HERE}", f"CXX={COMPILER}", *options, cwd=out,
                env={**os.environ, "PKG_CONFIG_PATH": folder})
        self.assertIn("heard hello", self.ok(os.path.join(out, "hello"),
                                             env={**os.environ, "LD_LIBRARY_PATH": libraries}))

    def test_static_by_cmake_with_a_component(self):
        self.install(BUILD)
        self.build_and_run("-DCOMPONENT=http")
        self.ok(os.path.join(self.top, "out", "routes"))

    def test_static_by_pkg_config(self):
        self.install(BUILD)
        self.make("STATIC=--static")

    def test_archives_alone_by_pkg_config_as_by_a_user_who_never_heard_of_static(self):
        self.install(BUILD)
        self.make()

    def test_the_command_runs_from_where_it_was_moved_to(self):
        self.install(BUILD)
        command = os.path.join(self.prefix, "bin", "levity")
        with open(os.path.join(self.pkg_config("levity.pc"), "levity.pc"), encoding="utf-8") as file:
            version = re.search(r"^Version: (.*)$", file.read(), re.MULTILINE).group(1)
        self.assertEqual(self.ok(command, "--version"), f"levity {version}\n")
        self.assertIn("drive an HTTP server", self.ok(command, "help"))

    def test_nothing_installed_names_the_house_or_the_first_prefix(self):
        self.install(BUILD)
        for folder, _, files in os.walk(self.prefix):
            for name in files:
                if name.endswith((".cmake", ".pc")):
                    with open(os.path.join(folder, name), encoding="utf-8") as file:
                        text = file.read()
                    self.assertNotIn(HOUSE, text, name)
                    self.assertNotIn("/first/", text, name)

    def refusal(self, *options):
        done = self.configure(*options)
        self.assertNotEqual(done.returncode, 0)
        return " ".join(done.stdout.split())

    def test_what_find_package_cannot_give_is_one_clear_sentence(self):
        self.install(BUILD)
        folder = self.pkg_config("levity-config.cmake")
        self.assertRegex(self.refusal("-DCOMPONENT=teleport"),
                         "levity has no component 'teleport'; this one has: core, (?=[a-z, ]*http)(?=[a-z, ]*resolve)[a-z, ]+\\.")
        os.remove(os.path.join(folder, "http_static_targets.cmake"))  # as if it had not been built
        self.assertIn("this levity was built without its component 'http': leave it out, or install a levity that has it.",
                      self.refusal("-DCOMPONENT=http"))
        self.assertIn("this levity was installed without its shared libraries: ask for 'static', or install those too.",
                      self.refusal("-DKIND=shared"))

    def test_a_header_that_is_not_installed_is_missed(self):
        self.install(BUILD)
        os.remove(os.path.join(self.prefix, "include", "levity", "base", "invoke.hpp"))
        self.assertEqual(self.configure().returncode, 0)
        done = run("cmake", "--build", os.path.join(self.top, "out"))
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("invoke.hpp", done.stdout)

    def test_another_version_is_refused(self):
        self.install(BUILD)
        path = os.path.join(self.pkg_config("levity-config.cmake"), "levity-config-version.cmake")
        with open(path, encoding="utf-8") as file:
            text = file.read()
        with open(path, "w", encoding="utf-8") as file:
            file.write(text.replace("0.1.0", "0.2.0"))
        self.assertNotEqual(self.configure().returncode, 0)

    def test_the_core_alone_looks_for_no_package_of_a_component(self):
        build = os.path.join(self.top, "core")
        self.ok("cmake", "-G", "Ninja", "-S", HOUSE, "-B", build, f"-DCMAKE_CXX_COMPILER={COMPILER}",
                f"-DCMAKE_C_COMPILER={cached('CMAKE_C_COMPILER')}", "-DLEVITY_TESTS=OFF", "-DLEVITY_BENCH=OFF",
                "-DLEVITY_PROGRAMS=OFF", "-DLEVITY_COMPONENTS=")
        with open(os.path.join(build, "CMakeCache.txt"), encoding="utf-8") as cache:
            text = cache.read()
        for name in ("CARES_LIBRARY", "LLHTTP_INCLUDE", "YAML_CPP_LIBRARY", "RE2_LIBRARY", "TOMLPLUSPLUS_INCLUDE", "CLI11_INCLUDE"):
            self.assertNotIn(name, text)

    def test_a_component_brings_those_that_it_uses(self):
        build = os.path.join(self.top, "one")
        self.ok("cmake", "-G", "Ninja", "-S", HOUSE, "-B", build, f"-DCMAKE_CXX_COMPILER={COMPILER}",
                f"-DCMAKE_C_COMPILER={cached('CMAKE_C_COMPILER')}", "-DLEVITY_TESTS=OFF", "-DLEVITY_BENCH=OFF",
                "-DLEVITY_PROGRAMS=OFF", "-DLEVITY_COMPONENTS=redis")
        targets = self.ok("ninja", "-C", build, "-t", "targets", "all")
        for room in ("redis", "resolve", "resilience"):
            self.assertIn(f"liblevity_{room}.a", targets)
        for room in ("http", "cache", "service"):
            self.assertNotIn(f"liblevity_{room}.a", targets)

    def test_a_component_that_does_not_exist_is_refused_with_those_that_do(self):
        done = run("cmake", "-G", "Ninja", "-S", HOUSE, "-B", os.path.join(self.top, "typo"), f"-DCMAKE_CXX_COMPILER={COMPILER}",
                   f"-DCMAKE_C_COMPILER={cached('CMAKE_C_COMPILER')}", "-DLEVITY_TESTS=OFF", "-DLEVITY_BENCH=OFF",
                   "-DLEVITY_PROGRAMS=OFF", "-DLEVITY_COMPONENTS=resolve;htpp")
        self.assertNotEqual(done.returncode, 0, done.stdout)
        self.assertRegex(" ".join(done.stdout.split()),
                         "LEVITY_COMPONENTS names 'htpp', which levity does not have; write all, or a list of these, with "
                         "semicolons: (?=[a-z, ]*http)(?=[a-z, ]*resolve)[a-z, ]+;")


if __name__ == "__main__":
    unittest.main(verbosity=2)  # says what is skipped, and why
