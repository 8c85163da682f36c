#!/usr/bin/env python3
"""The Debian packages hold what they say, need what they use, and a project outside the house builds against them alone."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
HOUSE = os.path.dirname(os.path.dirname(HERE))
BUILD = os.environ.get("LEVITY_BUILD_DIR", os.path.join(HOUSE, "build", "gcc-release"))
ROOMS = ("cache", "http", "redis", "resilience", "resolve", "service", "sim")


def cached(name):
    with open(os.path.join(BUILD, "CMakeCache.txt"), encoding="utf-8") as cache:
        found = re.search(rf"^{name}:[A-Z]+=(.*)$", cache.read(), re.MULTILINE)
    return found.group(1) if found else ""


def why_not():
    if cached("LEVITY_SANITIZE") not in ("", "none") or cached("CMAKE_BUILD_TYPE") != "Release":
        return "packages are made of a plain release build"
    if "clang" in cached("CMAKE_CXX_COMPILER"):
        return "packages are made by g++, the compiler of the distribution"
    if not shutil.which("dpkg-shlibdeps"):
        return "there is no dpkg-shlibdeps: apt-get install dpkg-dev"
    return ""


@unittest.skipIf(why_not(), why_not())
class Packages(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory(prefix="levity-packages-")
        cls.addClassCleanup(folder.cleanup)
        cls.top = folder.name
        cls.root = os.path.join(cls.top, "root")
        # Beside the other builds of this one, so that the next run compiles what has changed.
        done = cls.run_command(os.path.join(HOUSE, "dev"), "package",
                               env={**os.environ, "LEVITY_BUILDS": BUILD, "LEVITY_PACKAGES": "skip"})
        cls.packages = {}
        for path in re.findall(r"^\S+\.deb$", done, re.MULTILINE):
            path = os.path.join(HOUSE, path)
            fields = dict(re.findall(r"^([A-Za-z-]+): (.*)$", cls.run_command("dpkg-deb", "-f", path), re.MULTILINE))
            cls.packages[fields["Package"]] = (path, fields)
            cls.run_command("dpkg-deb", "-x", path, cls.root)
        machine = cls.run_command("gcc", "-print-multiarch").strip()
        cls.libraries = os.path.join(cls.root, "usr", "lib", machine)

    @staticmethod
    def run_command(*command, **more):
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=1500, check=False,
                              **more)
        if done.returncode != 0:
            raise AssertionError(f"{' '.join(command)}\n{done.stdout}")
        return done.stdout

    def files_of(self, package):
        return [line.split()[5] for line in self.run_command("dpkg-deb", "-c", self.packages[package][0]).splitlines()]

    def test_the_packages_are_these_and_say_what_they_are(self):
        self.assertEqual(set(self.packages), {"liblevity0", *(f"liblevity-{room}0" for room in ROOMS), "liblevity-dev", "levity"})
        for name, (_, fields) in self.packages.items():
            with self.subTest(name):
                self.assertRegex(fields["Version"], r"^[0-9.]+-1$")
                self.assertRegex(fields["Maintainer"], r"^.+ <.+@.+>$")
                self.assertIn(fields["Section"], ("libs", "libdevel", "utils"))
                self.assertEqual(fields["Priority"], "optional")
                self.assertLess(len(fields["Description"]), 80)
                doc = f"./usr/share/doc/{name}/"
                for file in ("copyright", "changelog.Debian.gz"):
                    self.assertIn(doc + file, self.files_of(name))

    def test_the_core_needs_what_it_uses_and_no_more(self):
        needs = self.packages["liblevity0"][1]["Depends"]
        for name in ("libc6", "libstdc++6", "libfmt", "liburing"):
            self.assertIn(name, needs)
        self.assertNotRegex(needs, "ssl|cares|c-ares|libdw|levity")
        version = self.packages["levity"][1]["Version"]
        for name in (*(f"liblevity-{room}0" for room in ROOMS), "liblevity-dev", "levity"):
            self.assertIn(f"liblevity0 (= {version})", self.packages[name][1]["Depends"])
        self.assertIn("libc-ares2", self.packages["liblevity-resolve0"][1]["Depends"])
        for library in ("libyaml-cpp", "libre2"):
            self.assertIn(library, self.packages["liblevity-service0"][1]["Depends"])
        for room in ("cache", "resilience"):
            self.assertNotRegex(self.packages[f"liblevity-{room}0"][1]["Depends"], "yaml|re2|cares|c-ares|liblevity-")

    def test_the_soname_is_the_number_of_the_inline_namespace(self):
        for name in ("liblevity", *(f"liblevity_{room}" for room in ROOMS)):
            said = self.run_command("readelf", "-d", os.path.join(self.libraries, f"{name}.so.0"))
            self.assertIn(f"Library soname: [{name}.so.0]", said)
            self.assertNotRegex(said, "RPATH|RUNPATH")
        # Who only runs programs gets no link that a linker would take.
        self.assertFalse([file for file in self.files_of("liblevity0") if file.endswith((".so", ".a", ".hpp"))])

    def test_gdb_finds_the_script_by_the_path_of_the_library(self):
        scripts = [file for file in self.files_of("liblevity-dev") if file.endswith("-gdb.py")]
        self.assertEqual(len(scripts), 1)
        library = scripts[0].removeprefix("./usr/share/gdb/auto-load").removesuffix("-gdb.py")
        self.assertIn("." + library, self.files_of("liblevity0"))

    def consume(self, *options):
        out = tempfile.mkdtemp(dir=self.top)
        self.run_command("cmake", "-S", HERE, "-B", out, f"-DCMAKE_PREFIX_PATH={self.root}/usr", "-DCOMPONENT=http", *options)
        self.run_command("cmake", "--build", out)
        self.assertIn("heard hello", self.run_command(os.path.join(out, "hello")))
        return self.run_command("readelf", "-d", os.path.join(out, "hello"))

    def test_a_project_finds_the_shared_libraries_by_cmake(self):
        self.assertIn("[liblevity.so.0]", self.consume())

    def test_a_project_finds_the_static_libraries_by_cmake(self):
        self.assertNotIn("liblevity", self.consume("-DKIND=static"))
        self.assertNotIn("liblevity", self.consume("-DBUILD_SHARED_LIBS=OFF"))

    def make(self, *options):
        out = tempfile.mkdtemp(dir=self.top)
        self.run_command("make", "-f", os.path.join(HERE, "consumer.mk"), f"SOURCE={HERE}", *options, cwd=out,
                         env={**os.environ, "PKG_CONFIG_PATH": os.path.join(self.libraries, "pkgconfig")})
        self.assertIn("heard hello", self.run_command(os.path.join(out, "hello"),
                                                      env={**os.environ, "LD_LIBRARY_PATH": self.libraries}))
        return self.run_command("readelf", "-d", os.path.join(out, "hello"))

    def test_a_project_finds_both_by_pkg_config(self):
        self.assertIn("[liblevity.so.0]", self.make())
        self.assertNotIn("liblevity", self.make("STATIC=--static", "ARCHIVE=yes"))

    def test_the_command_runs(self):
        command, where = os.path.join(self.root, "usr", "bin", "levity"), {**os.environ, "LD_LIBRARY_PATH": self.libraries}
        self.assertIn("load", self.run_command(command, "help", env=where))
        version = self.packages["levity"][1]["Version"].removesuffix("-1")
        self.assertEqual(f"levity {version}\n", self.run_command(command, "--version", env=where))
        self.assertNotRegex(self.run_command("readelf", "-d", command), "RPATH|RUNPATH")


if __name__ == "__main__":
    unittest.main(verbosity=2)
