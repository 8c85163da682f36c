#!/usr/bin/env python3
"""Hostile requests and answers, against levity, nginx and haproxy: levity lets nothing through that both of them refuse. Skipped
where one of them is not installed; what the judgement itself is worth is tested in any case."""

import os
import queue
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
# Behind that line, which keeps their bytecode out of the sources, hence E402.
from case import Case, sees  # noqa: E402
from cases import answers, combinations  # noqa: E402
from conversation import Outcome, converse, outcome_of  # noqa: E402
from http_hostile_test import BUILDS, HostileServer, Witness, ask_witness, in_lanes, requests  # noqa: E402
from judgement import JUDGES, Judgement, accepted, stance  # noqa: E402
from proxies import Proxy, program, version  # noqa: E402

LANES = 8
MISSING = [name for name in JUDGES if not program(name)]
KNOWN_VERSIONS = {"nginx": "1.22.1", "haproxy": "2.6.12"}


@unittest.skipIf(MISSING, f"{' and '.join(MISSING)}: not installed; apt-get install nginx-light haproxy")
class Differential(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="levity-hostile-")
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def proxies(self, **options):
        made = []
        for name in JUDGES:
            made.append(Proxy(name, os.path.join(self.folder, name), LANES, **options))
            self.addCleanup(made[-1].close)
        return made

    def in_own_lanes(self, does, cases):
        """`does(lane, case)` for each, no two at once in one lane."""
        free = queue.SimpleQueue()
        for lane in range(LANES):
            free.put(lane)

        def alone(each):
            lane = free.get()
            try:
                return does(lane, each)
            finally:
                free.put(lane)
        return in_lanes(alone, cases)

    def three(self, cases):
        """The outcomes of all cases for levity, nginx and haproxy."""
        witness = Witness()
        self.addCleanup(witness.end)
        ours = in_lanes(lambda each: outcome_of(*converse(witness.port, each.all_bytes)), cases)
        return ours, *(self.in_own_lanes(lambda lane, each, at=proxy: at.judge(lane, each.all_bytes), cases)
                       for proxy in self.proxies())

    def report(self, judged):
        print("\n" + judged.table())
        for title, lines in (("levity accepts, and one does not agree", judged.disagreements),
                             ("not judged, since versions are others", judged.notes)):
            if lines:
                print(f"\n{title}:\n  " + "\n  ".join(lines))
        self.assertFalse(judged.failures, "\n" + "\n".join(judged.failures))

    def test_no_request_gets_in_that_both_refuse(self):
        cases = requests()
        ours, nginx, haproxy = self.three(cases)
        judged = Judgement({name: version(name) for name in JUDGES})
        for each, *outcomes in zip(cases, ours, nginx, haproxy):
            judged.take(each, outcomes[0], nginx=outcomes[1], haproxy=outcomes[2])
        self.report(judged)

    def test_no_answer_gets_in_that_both_refuse(self):
        cases = answers.CASES
        server = HostileServer(cases)
        self.addCleanup(server.close)
        ours = [said for said, _ in ask_witness(server.port, cases)]
        nginx, haproxy = (self.in_own_lanes(lambda lane, each, at=proxy: at.ask(lane, each.method, each.name), cases)
                          for proxy in self.proxies(port=server.port))
        judged = Judgement({name: version(name) for name in JUDGES})
        for each, *outcomes in zip(cases, ours, nginx, haproxy):
            judged.take(each, outcomes[0], nginx=outcomes[1], haproxy=outcomes[2])
        self.report(judged)


    def test_no_combination_of_what_is_accepted_gets_in_that_both_refuse(self):
        cases = combinations.cases()
        ours, nginx, haproxy = self.three(cases)
        wrong = []
        for each, *outcomes in zip(cases, ours, nginx, haproxy):
            judged = Judgement({name: "any" for name in JUDGES})
            judged.take(each, outcomes[0], nginx=outcomes[1], haproxy=outcomes[2])
            wrong += judged.failures
        print(f"\n{len(cases)} combinations, of which levity accepts {sum(map(accepted, ours))}, nginx "
              f"{sum(map(accepted, nginx))}, haproxy {sum(map(accepted, haproxy))}")
        self.assertGreater(sum(map(accepted, ours)), len(cases) // 8, "hardly any is accepted, so hardly anything was tried")
        self.assertFalse(wrong, "\n" + "\n".join(wrong))


class TheJudgement(unittest.TestCase):
    """It can be red."""

    GOOD = Outcome(("GET /a", "GET /marker"))
    REFUSED = Outcome((), 400)

    def judged(self, outcomes, reasons, versions=None):
        judged = Judgement(versions or KNOWN_VERSIONS)
        judged.take(Case("x", b"", "", sees("GET /a"), category="y", **reasons), outcomes[0], nginx=outcomes[1],
                    haproxy=outcomes[2])
        return judged

    def failures(self, *outcomes, versions=None, **reasons):
        return len(self.judged(outcomes, reasons, versions).failures)

    def test_what_levity_lets_through_and_both_refuse_fails(self):
        self.assertEqual(self.failures(self.GOOD, self.REFUSED, self.REFUSED), 1)
        self.assertEqual(self.failures(self.GOOD, self.REFUSED, self.REFUSED, nginx="a reason", haproxy="does not help"), 1)
        self.assertEqual(self.failures(self.GOOD, self.REFUSED, self.REFUSED, versions={"nginx": "9.9", "haproxy": "9.9"}), 1)

    def test_what_levity_reads_as_neither_does_fails(self):
        smuggled = Outcome(("GET /a", "GET /evil", "GET /marker"))
        self.assertEqual(self.failures(smuggled, self.GOOD, self.GOOD), 1)
        self.assertEqual(self.failures(Outcome(("GET /a",)), Outcome(("GET /a 5:hello",)), self.REFUSED), 1)
        self.assertEqual(self.failures(self.GOOD, Outcome(("GET /a @evil", "GET /marker")), self.REFUSED), 1)

    def test_one_against_needs_a_reason_and_a_reason_needs_one_against(self):
        self.assertEqual(self.failures(self.GOOD, self.REFUSED, self.GOOD), 1)
        self.assertEqual(self.failures(self.GOOD, self.REFUSED, self.GOOD, nginx="a reason"), 0)
        self.assertEqual(self.failures(self.GOOD, self.GOOD, self.GOOD, nginx="a reason"), 1)
        of_others = self.judged((self.GOOD, self.REFUSED, self.GOOD), {}, {"nginx": "1.99.0", "haproxy": "2.6.1"})
        self.assertEqual((len(of_others.failures), len(of_others.notes)), (0, 1))

    def test_levity_may_be_stricter(self):
        self.assertEqual(self.failures(self.REFUSED, self.GOOD, self.GOOD), 0)
        self.assertEqual(self.failures(Outcome(("GET /a",), 400), self.GOOD, self.GOOD), 0)

    def test_answers_are_judged_alike(self):
        self.assertEqual(self.failures("answer 200 5:hello", "failed 502", "failed 502"), 1)
        self.assertEqual(self.failures("answer 200 5:hello", "answer 200 4:evil", "failed 502"), 1)
        self.assertEqual(self.failures("answer 200 5:hello", "answer 200 5:hello", "failed 502", haproxy="a reason"), 0)
        self.assertEqual(self.failures("failed bad_answer bare_lf", "answer 200 5:hello", "answer 200 5:hello"), 0)

    def test_hosts_are_compared_without_case_and_port(self):
        self.assertEqual(stance(["GET /a @h:81"], ["GET /a"]), "same")
        self.assertEqual(stance(["GET /a @Other:81 5:hello"], ["GET /a @other 5:hello"]), "same")
        self.assertEqual(stance(["GET /a @[::1]:80"], ["GET /a @[::1]"]), "same")
        self.assertEqual(stance(["GET /a @other"], ["GET /a"]), "otherwise")
        self.assertEqual(stance(["GET /a @-"], ["GET /a @anything"]), "same")
        self.assertEqual(stance(["404", "GET /marker"], ["OPTIONS *", "GET /marker"]), "same")


if __name__ == "__main__":
    if not BUILDS:
        sys.exit("LEVITY_BUILD_DIR must name the build directory; ctest sets it")
    unittest.main()
