#!/usr/bin/env python3
"""The scanner of edges finds both ends of what a small tree cites, and each of its checks turns red for a planted defect."""

import json
import os
import subprocess
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import edges  # noqa: E402

LAMP = "src/base/lamp.hpp"
BELL = "src/base/bell.cpp"
CLEAN = {
    "src/rooms.txt": "base: uses  # words\n",
    LAMP: """#pragma once

// lamp: tells that one writer has finished.
//
// A preface may mention E2, which it does not define.
//
// Edges
//   E1  light() -> is_lit() that says yes   what the writer wrote. Not more
//       than that.
//
// Rejected: two.

class lamp {
public:
  void light() {
    lit_.store(true, std::memory_order_release);  // E1 release.
  }
  bool is_lit() {
    // E1 acquire: a comment above, of
    // two lines.
    return other.load(std::memory_order_relaxed) && lit_.load(std::memory_order_acquire);
  }
  atomic<bool> lit_{false};  // one word for both (E1)
};
""",
    BELL: """// bell: rings once.

#include "base/lamp.hpp"

/// What stands before a class is a preface, too, where it says so.
///
/// Edges
///   E2  one fence <-> the other
///   E3  take -> take: the holder's | writes
///   E4  push -> take
///   E5  a look without a fence <-> the barrier
///   E6  the guarded
class bell {
  void a() {
    full_fence();  // E2.
    compiler_fence();  // E5: for the barrier.
  }
  void b() {
    // E2.
    full_fence();
    process_barrier();  // E5.
    const std::lock_guard guard{lock_};  // E6.
  }
  int c() {
    const std::lock_guard<spin_lock> guard{lock_};  // E6.
    const system_guard other{lock_};  // E6.
    // E3 release, acquire.
    return of(this).word_[at(1) / 2]
        .exchange(1, std::memory_order_acq_rel);
  }
  void d() {
    do {
      one.next = first;
      // E4 release: the item; acquire, where it fails.
    } while (!first_->compare_exchange_weak(first, next(&one, order_of(std::memory_order_seq_cst)), std::memory_order_release,
                                            std::memory_order_acquire));
  }
};

void process_barrier() noexcept;
""",
}


def planted(path, old, new):
    """The clean tree's file with one change."""
    assert CLEAN[path].count(old) == 1, (old, CLEAN[path].count(old))
    return {path: CLEAN[path].replace(old, new)}


def line_of(text, part):
    return text.count("\n", 0, text.index(part)) + 1


class Edges(unittest.TestCase):
    def tree(self, files=None, table=True):
        root = tempfile.TemporaryDirectory()
        self.addCleanup(root.cleanup)
        os.makedirs(os.path.join(root.name, "docs"))
        for path, text in {**CLEAN, **(files or {})}.items():
            full = os.path.join(root.name, path)
            os.makedirs(os.path.dirname(full), exist_ok=True)
            with open(full, "w", encoding="utf-8") as file:
                file.write(text)
        if table:
            edges.main(["--root", root.name, "--markdown"])
        return root.name

    def found(self, files):
        return edges.findings(self.tree(files))[1]

    def assert_red(self, files, part, message):
        """One finding, at the line of `part` in the file that was planted last."""
        path, text = list(files.items())[-1]
        found = self.found(files)
        self.assertEqual([(path, line_of(text, part))], [(one.path, one.line) for one in found], found)
        self.assertIn(message, found[0].message)

    def assert_green(self, files):
        self.assertEqual([], self.found(files))

    def ends(self, edge, files=None):
        return sorted((end.half, *end.operation) for end in edges.edges_of(self.tree(files)).ends[edge])

    # What it reads.

    def test_a_clean_tree_is_green(self):
        self.assert_green({})

    def test_a_citation_binds_to_the_operation_of_its_order(self):
        store, load = line_of(CLEAN[LAMP], "lit_.store"), line_of(CLEAN[LAMP], "lit_.load")
        self.assertEqual([("acquire", LAMP, load, load, (load, load), "lit_", "load", "acquire", ""),
                          ("release", LAMP, store, store, (store, store), "lit_", "store", "release", "")], self.ends(1))

    def test_an_operation_goes_from_its_beginning_to_its_parenthesis(self):
        line = line_of(CLEAN[BELL], "return of(this)")
        exchange = (BELL, line, line + 1, (line, line + 1), "of(this).word_[at(1)/2]", "exchange", "acq_rel", "")
        self.assertEqual([("acquire", *exchange), ("release", *exchange)], self.ends(3))
        line = line_of(CLEAN[BELL], "first_->compare")
        loop = (BELL, line, line + 1, (line, line + 1), "first_", "compare_exchange_weak", "release", "acquire")
        self.assertEqual([("failure", *loop), ("release", *loop)], self.ends(4))

    def test_an_exchange_that_may_fail_has_two_orders(self):
        text = CLEAN[BELL].replace("std::memory_order_release,\n", "std::memory_order_acq_rel,\n")
        self.assertEqual(["acquire", "failure", "release"], [half for half, *_ in self.ends(4, {BELL: text})])

    def test_a_line_within_a_call_cites_too(self):
        text = CLEAN[BELL].replace("      // E4 release: the item; acquire, where it fails.\n", "")
        text = text.replace("std::memory_order_release,\n", "std::memory_order_release,  // E4 release.\n")
        self.assert_green({BELL: text.replace("memory_order_acquire));", "memory_order_acquire));  // E4 acquire.")})

    def test_of_a_statement_of_several_lines_each_has_its_own(self):
        text = CLEAN[LAMP]
        begin, end = text.index("    // E1 acquire"), text.index("  }\n  atomic")
        self.assert_green({LAMP: text[:begin] + "    return lit_.load(std::memory_order_acquire) &&  // E1 acquire.\n"
                           "           other.first_.load(std::memory_order_acquire);  // E4 acquire.\n" + text[end:]})

    def test_fences_barriers_and_locks_have_no_halves(self):
        self.assertEqual([("fence", "full_fence")] * 2, [(end[0], end[6]) for end in self.ends(2)])
        self.assertEqual([("fence", "compiler_fence"), ("fence", "process_barrier")], [(end[0], end[6]) for end in self.ends(5)])
        self.assertEqual([("lock", "lock_", "lock_guard")] * 2 + [("lock", "lock_", "system_guard")],
                         [(end[0], end[5], end[6]) for end in self.ends(6)])

    def test_a_definition_is_read_to_its_end(self):
        found = edges.edges_of(self.tree()).defined
        self.assertEqual([1, 2, 3, 4, 5, 6], sorted(found))
        self.assertEqual((LAMP, line_of(CLEAN[LAMP], "  E1 "),
                          "light() -> is_lit() that says yes   what the writer wrote. Not more than that."), found[1][0][1:])

    def test_tests_and_models_are_left_out(self):
        stray = {"src/base/lamp_test.cpp": "void f() { x.store(1, std::memory_order_release); }  // E77\n"}
        for path in ("src/base/lamp_bench.cpp", "src/base/lamp_model.cpp", "src/base/lamp_model/protocol.hpp", "src/model/lamp.hpp",
                     "include/levity/base/atomic.hpp", "src/base/counted_atomic.cpp", "bench/lamp.hpp"):
            stray[path] = stray["src/base/lamp_test.cpp"]
        self.assert_green(stray)
        read = {path: stray["bench/lamp.hpp"] for path in ("src/base/more.cpp", "include/levity/base/x.hpp", "tools/load/x.cpp")}
        self.assertEqual(set(read), {one.path for one in self.found(read)})

    # What it finds wanting.

    def test_a_citation_without_an_operation(self):
        self.assert_red(planted(LAMP, "// one word for both (E1)", "// one word for both, E1 release"), "one word",
                        "no operation is in reach")
        far = planted(BELL, "    // E3 release, acquire.\n", "    // E3 release, acquire.\n\n\n\n")
        self.assertEqual({line_of(far[BELL], "// E3"), line_of(far[BELL], "return of")}, {one.line for one in self.found(far)})
        self.assert_green(planted(BELL, "    // E3 release, acquire.\n", "    // E3 release, acquire.\n\n\n"))

    def test_an_order_without_an_operation(self):
        for call in ("std::atomic_load_explicit(&x, std::memory_order_acquire)", "of(x, std::memory_order_seq_cst)"):
            self.assert_red(planted(LAMP, "public:\n", f"public:\n  int f() {{ return {call}; }}\n"), "int f", "of no operation")
        self.assert_green(planted(LAMP, "public:\n", "public:\n  int f() { return of(x, std::memory_order_relaxed); }\n"))

    def test_a_citation_that_does_not_say_which_end_it_is(self):
        self.assertIn("E1 does not say which end this is", self.found(planted(LAMP, "// E1 release.", "// E1."))[0].message)

    def test_a_citation_that_the_order_belies(self):
        belied = self.found(planted(LAMP, "true, std::memory_order_release", "true, std::memory_order_relaxed"))
        self.assertIn("E1 release stands at an order that is relaxed", belied[0].message)

    def test_an_order_without_an_edge(self):
        def with_body(body):
            return planted(LAMP, "public:\n", f"public:\n  int f() {{ {body}; }}\n")

        for order, says in (("release", "has a release"), ("acquire", "has an acquire"), ("seq_cst", "no edge asks for it")):
            self.assert_red(with_body(f"return x_.exchange(1, std::memory_order_{order})"), "x_.", says)
            self.assert_red(with_body(f"return x_.exchange(1, std::memory_order::{order})"), "x_.", says)
        self.assert_red(with_body("return x_->load(std::memory_order_consume)"), "x_->", "has an acquire")
        self.assert_red(with_body("x_.compare_exchange_strong(x, y, std::memory_order_relaxed, std::memory_order_acquire)"), "x_.",
                        "an acquire that cites")
        self.assert_red(with_body("full_fence()"), "full_fence", "full_fence() cites no edge")
        self.assert_red(with_body("process_barrier()"), "process_barrier", "process_barrier() cites no edge")
        self.assert_green(with_body("return x_.exchange(1, std::memory_order_relaxed)"))
        self.assert_green(with_body("const std::lock_guard guard{lock_}"))

    def test_half_an_order_without_an_edge(self):
        both = planted(LAMP, "lit_.store(true, std::memory_order_release)", "lit_.exchange(true, std::memory_order_acq_rel)")
        self.assert_red(both, "lit_.exchange", "lit_.exchange() has an acquire that cites no edge")

    def test_seq_cst_is_asked_for(self):
        strong = planted(LAMP, "lit_.store(true, std::memory_order_release)", "lit_.store(true, std::memory_order_seq_cst)")
        self.assert_red(strong, "lit_.store", "is seq_cst and no edge asks for it")
        self.assert_green({LAMP: strong[LAMP].replace("// E1 release.", "// E1 release. E2 seq_cst: why.")})

    def test_an_edge_of_one_end(self):
        self.assert_red(planted(LAMP, "lit_.store(true, std::memory_order_release);  // E1 release.", ""), "return other",
                        "this acquire of lit_ has no partner; the release")
        text = CLEAN[LAMP]
        self.assert_red({LAMP: text[:text.index("    // E1 acquire")] + text[text.index("  }\n  atomic"):]}, "lit_.store",
                        "this release of lit_ has no partner; the acquire")
        self.assert_red(planted(BELL, "full_fence();  // E2.", ""), "full_fence", "E2 is cited on one end only: this fence has no")
        of_locks = planted(BELL, "const std::lock_guard guard{lock_};  // E6.", "")
        of_locks = {path: text.replace("const system_guard other{lock_};  // E6.", "") for path, text in of_locks.items()}
        self.assert_red(of_locks, "const std::lock", "this lock has no")
        lone = planted(LAMP, "lit_.store(true, std::memory_order_release);  // E1 release.",
                       "lit_.store(true, std::memory_order_seq_cst);  // E1 release. E9 seq_cst: why.")
        lone[LAMP] = lone[LAMP].replace("// Rejected", "// Rejected: a mutex. (E9)\n//\n// Edges\n//   E9  one alone.\n//\n//")
        self.assert_red(lone, "lit_.store", "this seq_cst has no partner")

    def test_ends_at_two_words_are_no_pair(self):
        apart = planted(LAMP, "lit_.store(", "lamp->dark_.store(")
        ends = [line_of(apart[LAMP], "lamp->dark_"), line_of(apart[LAMP], "return other")]
        self.assertEqual(ends, [one.line for one in self.found(apart)])
        self.assert_green(planted(LAMP, "lit_.store(", "lamp->of(x)->lit_[y(2)].store("))

    def test_a_compiler_fence_without_a_barrier(self):
        self.assert_red(planted(BELL, "process_barrier();  // E5.", "compiler_fence();  // E5."), "compiler_fence",
                        "no process_barrier()")

    def test_numbers_are_defined_and_cited(self):
        def with_line(line):
            return planted(LAMP, "//       than that.\n", f"//       than that.\n//   {line}\n")

        self.assert_red(with_line("E9  nothing."), "E9", "E9 is defined, and cited nowhere")
        self.assert_red(with_line("E2  another."), "E2  another", f"E2 is defined in {BELL}, too")
        undefined = planted(BELL, "///   E2  one fence <-> the other\n", "")
        self.assert_red(undefined, "full_fence", "E2 is cited, and no preface defines it")

    def test_a_mention_leads_somewhere(self):
        self.assert_red(planted(LAMP, "both (E1)", "both (E8)"), "(E8)", "E8 is mentioned, and no preface defines it")

    def test_one_number_is_enough(self):
        self.assert_red(planted(LAMP, "// E1 release.", "// E1 release. E1 release."), "lit_.store", "E1 release is cited 2 times")
        text = CLEAN[BELL].replace("// E2.", "// E2, E7.").replace("///   E3", "///   E7  the same\n///   E3")
        self.assert_red({BELL: text}, "full_fence", "E2 and E7 have the same ends")

    def test_the_table_is_what_the_sources_say(self):
        root = self.tree(table=False)
        self.assertIn("is not what the sources say", edges.findings(root)[1][0].message)
        edges.main(["--root", root, "--markdown"])
        self.assertEqual([], edges.findings(root)[1])
        with open(os.path.join(root, edges.TABLE), encoding="utf-8") as file:
            text = file.read()
        self.assertIn(f"| [E1](../{LAMP}) | light() -&gt; is_lit() that says yes: what the writer wrote | [lamp.hpp](../{LAMP}) "
                      f"| [lamp.hpp](../{LAMP}) |  |\n", text)
        self.assertIn("| take -&gt; take: the holder's \\| writes |", text)
        self.assertIn(f"| one fence &lt;-&gt; the other |  |  | [bell.cpp](../{BELL}) |\n", text)

    # The command.

    def run_in(self, root, *arguments):
        return subprocess.run([sys.executable, os.path.join(HERE, "edges.py"), "--root", root, *arguments],
                              capture_output=True, text=True, check=False)

    def test_the_command_ends_with_a_verdict(self):
        files = planted(LAMP, "both (E1)", "both (E8)")
        root = self.tree(files)
        red = self.run_in(root, "--check")
        place = f"{LAMP}:{line_of(files[LAMP], '(E8)')}"
        finding = f"{place}: E8 is mentioned, and no preface defines it: it leads nowhere\n"
        self.assertEqual((1, finding + "edges: 1 finding at 6 edges\n"), (red.returncode, red.stdout))
        green = self.run_in(root, "--check", BELL, "src/other")
        self.assertEqual((0, "edges: no findings at 6 edges\n"), (green.returncode, green.stdout))

    def test_the_command_tells_the_ends_of_an_edge(self):
        root = self.tree()
        line = line_of(CLEAN[BELL], "first_->compare")
        place = f"{BELL}:{line}-{line + 1}"
        self.assertEqual("E4  push -> take\n"
                         f"  release  {place:48} {'first_.compare_exchange_weak()':42} release, acquire\n"
                         f"  failure  {place:48} {'first_.compare_exchange_weak()':42} release, acquire\n",
                         self.run_in(root, "E4").stdout)
        told = json.loads(self.run_in(root, "--json", "E3", "E6").stdout)
        self.assertEqual(["E3", "E6"], [each["edge"] for each in told])
        line = line_of(CLEAN[BELL], "return of(this)")
        self.assertEqual({"end": "release", "file": BELL, "line": line, "last_line": line + 1, "word": "of(this).word_[at(1)/2]",
                          "operation": "exchange", "order": "acq_rel", "failure": "", "edges": ["E3"]}, told[0]["ends"][0])
        lost = self.run_in(root, "E99")
        self.assertEqual((2, "levity: there is no edge E99; docs/edges.md lists all\n"), (lost.returncode, lost.stderr))


if __name__ == "__main__":
    unittest.main()
