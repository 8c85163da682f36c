#!/usr/bin/env python3
"""Tests of the API reference: what counts as a public name, what as its docstring, and that the page's links lead somewhere."""

import os
import re
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent
DEBIAN = "/usr/bin/python3"  # the one that has the package python3-clang-19

try:
    import clang.cindex  # noqa: F401
except ImportError:
    able = subprocess.run([DEBIAN, "-c", "import clang.cindex"], capture_output=True).returncode == 0
    if __name__ == "__main__" and able and os.path.realpath(sys.executable) != os.path.realpath(DEBIAN):
        os.execv(DEBIAN, [DEBIAN, __file__, *sys.argv[1:]])
    print("skipped: needs the package python3-clang-19; `./dev tidy` installs it")
    sys.exit(0)

HEADER = """#pragma once

#define LEVITY_BARE 1
/// Documented.
#if defined(X)
#define LEVITY_FINE 1
#else
#define LEVITY_FINE 0
#endif

namespace levity::inline v0 {
namespace detail {
struct nobodys {};
}  // namespace detail

class bare_class;

class bare_class {
public:
  bare_class() = default;
  bare_class(const bare_class&) = delete;
  bare_class(bare_class&&) noexcept;
  bare_class& operator=(bare_class&&) noexcept;
  ~bare_class();
  explicit bare_class(int);
  // Not a docstring.
  void bare_member();
  /// Documented.
  void fine_member() { hidden_++; }
  void fine_member(int);
  int bare_field = 0;
  int fine_field = 0;  ///< documented
  friend bool operator==(const bare_class&, int);
  class hidden_awaiter;
  struct promise_type {};
  bool await();

private:
  void hidden();
  int hidden_ = 0;
};

/// Documented.
class half_hidden {
public:
  /// Hands it over. Not for users.
  void given_to_the_runtime();
};

/// Documented.
enum class fine_enum { fine, bare };  ///< documented
enum class values {  ///< documented
  one,  ///< documented
  two,
};
/// Documented.
template <class T>
concept fine_concept = true;
template <class T>
concept bare_concept = true;
template <class T>
void bare_function(T);
using bare_alias = int;
inline constexpr int bare_value = 1;
/// Documented.
template <class T>
using fine_alias = T;

}  // namespace levity
"""

BARE = {"LEVITY_BARE", "bare_class", "bare_class::bare_class", "bare_class::bare_member", "bare_class::bare_field",
        "bare_class::operator==", "bare_class::await", "values::two", "bare_concept", "bare_function", "bare_alias", "bare_value"}


def check(text, folder="thing"):
    with tempfile.TemporaryDirectory() as root:
        place = Path(root) / "include/levity" / folder
        place.mkdir(parents=True)
        (place / "thing.hpp").write_text(text)
        return subprocess.run([sys.executable, HERE / "docs.py", "--check", "--root", root], capture_output=True, text=True)


class Names(unittest.TestCase):
    def test_each_public_name_without_docstring_is_named_and_no_other(self):
        done = check(HEADER)
        self.assertEqual(done.returncode, 1, done.stderr)
        told = set(re.findall(r"^include/levity/thing/thing\.hpp:\d+: (\S+) has no docstring", done.stdout, re.M))
        self.assertEqual(told, BARE)

    def test_a_name_is_reported_with_its_line(self):
        self.assertIn("thing.hpp:3: LEVITY_BARE", check(HEADER).stdout)

    def test_a_public_name_in_a_detail_folder_counts(self):
        self.assertIn("loose has no docstring", check("namespace levity { void loose(); }\n", "thing/detail").stdout)

    def test_what_is_not_for_users_is_no_public_name(self):
        text = "namespace levity {\n/// Says what.\nvoid told();\n/// Does. Not for users.\nvoid hidden();\n}\n"
        self.assertEqual(check(text).stdout, "1 public names, each with a docstring\n")

    def test_headers_that_are_documented_pass(self):
        done = check("namespace levity {\n/// Says what.\nvoid told();\n}\n")
        self.assertEqual((done.returncode, done.stdout), (0, "1 public names, each with a docstring\n"), done.stderr)

    def test_headers_that_do_not_compile_are_an_error(self):
        done = check("namespace levity { void broken(no_such_type); }\n")
        self.assertEqual(done.returncode, 1)
        self.assertIn("do not compile", done.stderr)


class Page(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run([sys.executable, HERE / "docs.py", folder], check=True, capture_output=True)
            cls.page = (Path(folder) / "index.html").read_text()

    def test_every_link_leads_to_one_place_on_the_page(self):
        places = re.findall(r' id="([^"]+)"', self.page)
        self.assertEqual(len(places), len(set(places)))
        self.assertEqual(set(re.findall(r'href="#([^"]+)"', self.page)) - set(places), set())

    def test_it_asks_for_no_other_file(self):
        self.assertEqual(re.findall(r'(?:src|href)="(?!#)[^"]*"', self.page), [])
        styles = "".join(re.findall(r"<style>.*?</style>", self.page, re.S))  # outside of them url() is a function of ours
        self.assertNotEqual(styles, "")
        self.assertEqual(re.findall(r"url\(|@import", styles), [])

    def test_nothing_is_told_that_users_must_not_name(self):
        self.assertEqual(re.findall(r".{0,60}\bdetail::.{0,60}", self.page), [])
        self.assertNotIn("Not for users", self.page)
        for internal in ("native_endpoint", "adopt_frame", "release_frame", "channel::core"):
            self.assertNotIn(internal, self.page)

    def test_a_function_that_is_awaited_says_what_comes_of_it(self):
        entry = re.search(r'<article id="tcp_stream::read_some">.*?</article>', self.page, re.S).group()
        self.assertIn("co_await gives io_result&lt;byte_view&gt;", re.sub(r"<[^>]+>", "", entry))


if __name__ == "__main__":
    unittest.main()
