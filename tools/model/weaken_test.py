#!/usr/bin/env python3
"""The tool that weakens edges tells ends apart, takes each away, and is red for what nobody notices or what is listed wrongly."""

import contextlib
import io
import json
import os
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import edges  # noqa: E402
import weaken  # noqa: E402

LAMP = """#pragma once

// Edges
//   E1  light() -> is_lit()
//   E2  one fence <-> the other
//   E3  take -> take

class lamp {
public:
  void light() {
    lit_.store(true, std::memory_order_release);  // E1 release.
  }
  bool is_lit() const { return lit_.load(std::memory_order_acquire); }  // E1 acquire.
  int take() {
    if (wanted_) {
      // E3 release, acquire.
      return count_
          .exchange(1, std::memory_order_acq_rel);
    }
    const auto look = [this](int) {
      full_fence();  // E2.
    };
    full_fence();  // E2.
    const std::lock_guard guard{lock_};  // E3.
    const system_guard held{lock_};  // E3.
    return 0;
  }
};
"""
RELEASE, ACQUIRE = "E1 release base/lamp.hpp:light", "E1 acquire base/lamp.hpp:is_lit"
TAKE_RELEASE, TAKE_ACQUIRE = "E3 release base/lamp.hpp:take", "E3 acquire base/lamp.hpp:take"
LOCK = "E3 lock base/lamp.hpp:take"  # of the second guard: of std::lock_guard no exploration knows the place
FENCE, FENCE_AGAIN = "E2 fence base/lamp.hpp:take", "E2 fence base/lamp.hpp:take#2"

# A program of scenarios that knows from a file beside it which of them makes what, and which ends it misses, after how many
# executions.
PROGRAM = """#!{python}
import json, os, sys
with open(__file__ + ".json") as file:
    known = json.load(file)
if "--list" in sys.argv:
    print("\\n".join(known))
    sys.exit(0)
name = sys.argv[sys.argv.index("--only") + 1]
most = int(sys.argv[sys.argv.index("--executions") + 1])
one = known[name]
weak = [item for item in os.environ["LEVITY_MODEL_WEAKEN"].split(",") if item]
after = min([one["misses"].get(item, most + 1) for item in weak] + [one["misses"].get("nothing", most + 1)])
if item_at_random := [item for item in weak if item in one.get("at_random", [])]:
    after = 3 if "--random" in sys.argv else most + 1
fails, said = after <= most, "a: it was dark"
if "--random" in sys.argv and one.get("late", most + 1) <= most:
    fails, after = True, one["late"]
if "--random" in sys.argv and "by_chance" in one:
    fails, said, after = True, one["by_chance"], 1
print("%-6s %-50s %9d executions%s, 0 redundant, 0.01 s, 9 a second, 3.0 steps each" %
      ("FAILS" if fails else "ok", name, after if fails else min(most, one["executions"]),
       ", all" if one["executions"] < most else ""))
if fails:
    print("\\n%s\\n" % said)
for place in one["makes"]:
    if any(item.split("=")[0] == place for item in weak):
        print("       made %s 3 times" % place)
sys.exit(1 if fails else 0)
"""


class Case(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="levity-weaken-")
        self.addCleanup(folder.cleanup)
        self.root = folder.name
        self.build = os.path.join(self.root, "build")
        self.write("src/rooms.txt", "base: uses  # words\n")
        self.write("src/base/lamp.hpp", LAMP)
        self.write("build/base_model", PROGRAM.format(python=sys.executable))
        os.chmod(os.path.join(self.build, "base_model"), 0o755)
        house = edges.tidy.House(self.root)
        self.ends = {end.name: end for end in weaken.ends_of(house, edges.Edges(house))}

    def write(self, path, text):
        path = os.path.join(self.root, path)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)

    def scenario(self, makes, misses, executions=100, at_random=()):
        """What the program is to know of one scenario, its ends by their names."""
        items = {self.ends[name].item if name in self.ends else name: count for name, count in misses.items()}
        return {"makes": [self.ends[name].place for name in makes], "misses": items, "executions": executions,
                "at_random": [self.ends[name].item for name in at_random]}

    def run_tool(self, *arguments, unkilled="", unreached="", **scenarios):
        self.write("build/base_model.json", json.dumps(scenarios))
        self.write("tools/model/unkilled.txt", unkilled)
        self.write("tools/model/unreached.txt", unreached)
        told, complaints = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(told), contextlib.redirect_stderr(complaints):
            code = weaken.main([self.build, "--root", self.root, "--json", os.path.join(self.root, "rows.json"), *arguments])
        return code, told.getvalue(), complaints.getvalue()

    def rows(self):
        with open(os.path.join(self.root, "rows.json"), encoding="utf-8") as file:
            return {row["end"]: row for row in json.load(file)}


class Ends(Case):
    def test_each_half_is_an_end_with_the_name_of_its_function(self):
        self.assertEqual({name: end.item for name, end in self.ends.items()}, {
            RELEASE: "src/base/lamp.hpp:11-11=release", ACQUIRE: "src/base/lamp.hpp:13-13=acquire",
            FENCE: "src/base/lamp.hpp:21-21", FENCE_AGAIN: "src/base/lamp.hpp:23-23", LOCK: "src/base/lamp.hpp:25-25",
            TAKE_RELEASE: "src/base/lamp.hpp:17-18=release", TAKE_ACQUIRE: "src/base/lamp.hpp:17-18=acquire"})

    def test_an_exchange_has_one_order_where_it_succeeds_and_one_where_it_fails(self):
        orders = {"take": ("acq_rel", "acquire"), "look": ("release", "acquire"), "give": ("acquire", "relaxed")}
        self.write("src/base/lamp.hpp", "#pragma once\n\n// Edges\n//   E7  one -> the other\n\n" + "".join(
            f"void {name}() {{ x.compare_exchange_strong(y, 1, std::memory_order_{success}, std::memory_order_{failure}); }}"
            f"  // E7 {', '.join(sorted({'acquire'} | ({'release'} if success != 'acquire' else set()), reverse=True))}.\n"
            for name, (success, failure) in orders.items()))
        house = edges.tidy.House(self.root)
        items = {end.name: end.item for end in weaken.ends_of(house, edges.Edges(house))}
        self.assertEqual(items, {
            "E7 release base/lamp.hpp:take": "src/base/lamp.hpp:6-6=release",
            "E7 acquire base/lamp.hpp:take": "src/base/lamp.hpp:6-6=acquire",
            "E7 failure base/lamp.hpp:take": "src/base/lamp.hpp:6-6=failure",
            "E7 release base/lamp.hpp:look": "src/base/lamp.hpp:7-7=release",
            "E7 failure base/lamp.hpp:look": "src/base/lamp.hpp:7-7=failure",
            "E7 acquire base/lamp.hpp:give": "src/base/lamp.hpp:8-8=acquire"})

    def test_a_constructor_is_known_by_its_name_whatever_it_initialises(self):
        code = """
lamp::lamp(lamp_options options)
    : wires(count(options)), guard(*this, {.most = 3}), bulbs_{options.bulbs}, names_(std::move(options.names)) {
  for (int i = 0; i < 3; i++) lit_[i].store(true);
}
void lamp::dim() { start("lamp", [this] { dims_.store(true); }); }
"""
        names = [weaken.function_at(code, code.index(word)) for word in ("lit_[i]", "dims_.store")]
        self.assertEqual(names, ["lamp", "dim"])


class Outcomes(Case):
    def test_what_each_of_them_is_told(self):
        code, told, complaints = self.run_tool(
            "all", "--executions", "1000",
            long=self.scenario([RELEASE, ACQUIRE, TAKE_RELEASE], {RELEASE: 2, ACQUIRE: 70, TAKE_ACQUIRE: 8}, executions=500),
            short=self.scenario([RELEASE, TAKE_RELEASE, LOCK], {RELEASE: 9, LOCK: 7}),
            endless=self.scenario([FENCE_AGAIN], {}, executions=9000, at_random=[FENCE_AGAIN]))
        self.assertEqual((code, complaints), (1, ""))
        rows = self.rows()
        self.assertEqual((rows[RELEASE]["outcome"], rows[RELEASE]["scenario"], rows[RELEASE]["executions"]), ("killed", "short", 9))
        self.assertEqual((rows[ACQUIRE]["outcome"], rows[ACQUIRE]["scenario"], rows[ACQUIRE]["failure"]),
                         ("killed", "long", "a: it was dark"))
        self.assertEqual((rows[FENCE_AGAIN]["outcome"], rows[FENCE_AGAIN]["executions"]), ("killed", 3))
        self.assertEqual((rows[LOCK]["outcome"], rows[LOCK]["executions"]), ("killed", 7))
        self.assertEqual((rows[TAKE_RELEASE]["outcome"], rows[TAKE_RELEASE]["executions"]), ("survives", 600))
        self.assertEqual(rows[FENCE]["outcome"], "not reached")
        self.assertIn("7 ends: 5 killed, 1 not reached, 1 survives\nnot reached: 1 of src/base/lamp.hpp\n", told)
        self.assertNotIn(f"{FENCE}  ", told)
        self.assertIn(f"{TAKE_RELEASE} is noticed by no scenario (src/base/lamp.hpp:17-18)", told)
        self.assertIn(f"{FENCE} is passed by no scenario (src/base/lamp.hpp:21-21)", told)

    def test_who_has_no_end_by_chance_is_not_asked_so(self):
        fits = {**self.scenario([RELEASE], {RELEASE: 2}, executions=9000)}
        endless = {**self.scenario([ACQUIRE], {}, executions=9000), "by_chance": "no end after 5000 steps"}
        code, told, _ = self.run_tool("E1", "--executions", "100", fits=fits, endless=endless)
        self.assertEqual(code, 1)
        outcomes = {name: row["outcome"] for name, row in self.rows().items()}
        self.assertEqual(outcomes, {RELEASE: "killed", ACQUIRE: "survives"}, told)

    def test_who_fails_by_chance_at_last_with_nothing_weakened_kills_nothing(self):
        late = {**self.scenario([RELEASE, ACQUIRE], {ACQUIRE: 1}, executions=9000), "late": 3000}
        code, told, _ = self.run_tool("E1", "--executions", "5000", late=late)
        self.assertEqual((code, self.rows()[RELEASE]["outcome"], self.rows()[ACQUIRE]["outcome"]), (1, "survives", "killed"), told)

    def test_who_fails_by_chance_with_nothing_weakened_is_red(self):
        broken = {**self.scenario([RELEASE], {RELEASE: 2}, executions=9000), "by_chance": "b: it was bright"}
        code, _, complaints = self.run_tool("E1", "--executions", "100", broken=broken)
        self.assertEqual(code, 1)
        self.assertIn("broken fails with nothing weakened: b: it was bright", complaints)

    def test_all_are_asked_briefly_before_one_is_for_long(self):
        code, told, _ = self.run_tool("E2", "--executions", "9000",
                                      shorter=self.scenario([FENCE, FENCE_AGAIN], {FENCE: 2500}, 5000),
                                      longer=self.scenario([FENCE, FENCE_AGAIN], {FENCE: 7, FENCE_AGAIN: 2500}, 6000))
        self.assertEqual(code, 0, told)
        self.assertEqual({name: (row["scenario"], row["executions"]) for name, row in self.rows().items()},
                         {FENCE: ("longer", 7), FENCE_AGAIN: ("longer", 2500)})

    def test_one_edge_alone(self):
        code, told, _ = self.run_tool("E1", one=self.scenario([RELEASE, ACQUIRE], {RELEASE: 1, ACQUIRE: 1}))
        self.assertEqual((code, set(self.rows())), (0, {RELEASE, ACQUIRE}), told)
        code, _, complaints = self.run_tool("E9", one=self.scenario([], {}))
        self.assertEqual((code, complaints), (2, "levity: there is no edge E9; docs/edges.md lists all\n"))
        self.assertEqual(self.run_tool()[0::2], (2, "levity: which edges? Name some, E14 for one, or say all\n"))

    def test_a_scenario_that_fails_with_nothing_weakened_is_red(self):
        code, _, complaints = self.run_tool("E1", one=self.scenario([RELEASE], {"nothing": 5}))
        self.assertEqual(code, 1)
        self.assertIn("one fails with nothing weakened: a: it was dark", complaints)

    def test_no_programs(self):
        os.remove(os.path.join(self.build, "base_model"))
        code, _, complaints = self.run_tool("E1")
        self.assertEqual(code, 2)
        self.assertIn("has no programs of scenarios", complaints)


class Hints(Case):
    def remembered(self):
        with open(os.path.join(self.root, weaken.NOTICED_BY), encoding="utf-8") as file:
            return [line.rstrip("\n") for line in file if not line.startswith("#")]

    def test_who_has_noticed_an_end_is_remembered_and_asked_first(self):
        both = {"one": self.scenario([RELEASE, ACQUIRE], {RELEASE: 1}, executions=9000),
                "two": self.scenario([RELEASE, ACQUIRE], {RELEASE: 7, ACQUIRE: 9}, executions=9999)}
        code, told, _ = self.run_tool("E1", "--remember", **both)
        self.assertEqual(code, 0, told)
        self.assertEqual(self.remembered(), [f"{RELEASE}: one", f"{ACQUIRE}: two"])
        self.write(weaken.NOTICED_BY, f"{RELEASE}: two\n{ACQUIRE}: two\n")
        code, told, _ = self.run_tool("E1", "--expected", **both)
        self.assertEqual((code, self.rows()[RELEASE]["scenario"], self.rows()[RELEASE]["executions"]), (0, "two", 7), told)

    def test_who_notices_nothing_any_more_leaves_it_to_the_others(self):
        self.write(weaken.NOTICED_BY, f"{RELEASE}: two\n{ACQUIRE}: nobody\n")
        code, told, _ = self.run_tool("E1", "--expected", one=self.scenario([RELEASE, ACQUIRE], {RELEASE: 1, ACQUIRE: 1}),
                                      two=self.scenario([RELEASE], {}))
        self.assertEqual((code, self.rows()[RELEASE]["scenario"], self.rows()[ACQUIRE]["scenario"]), (0, "one", "one"), told)
        code, told, _ = self.run_tool("E1", "--expected", one=self.scenario([RELEASE, ACQUIRE], {ACQUIRE: 1}),
                                      two=self.scenario([RELEASE], {}))
        self.assertEqual((code, self.rows()[RELEASE]["outcome"]), (1, "survives"), told)

    def test_who_fails_by_chance_anyway_kills_nothing(self):
        self.write(weaken.NOTICED_BY, f"{RELEASE}: one by chance\n{ACQUIRE}: one\n")
        one = {**self.scenario([RELEASE, ACQUIRE], {ACQUIRE: 1}), "late": 50}
        code, told, _ = self.run_tool("E1", "--expected", one=one)
        self.assertEqual((code, self.rows()[RELEASE]["outcome"]), (1, "survives"), told)

    def test_of_who_is_listed_one_that_passes_it_is_enough(self):
        self.write(weaken.NOTICED_BY, f"{TAKE_RELEASE}: one\n{TAKE_ACQUIRE}: one\n")
        listed = {"unkilled": f"masked\n  {TAKE_RELEASE}\n", "unreached": f"elsewhere\n  {LOCK}\n"}
        code, told, _ = self.run_tool("E3", "--expected", **listed, one=self.scenario([TAKE_RELEASE], {TAKE_ACQUIRE: 1}))
        self.assertEqual((code, self.rows()[TAKE_RELEASE]["outcome"]), (0, "survives"), told)
        code, told, _ = self.run_tool("E3", "--expected", **listed,
                                      one=self.scenario([TAKE_RELEASE], {TAKE_ACQUIRE: 1, TAKE_RELEASE: 2}))
        self.assertEqual(code, 1)
        self.assertIn(f"{TAKE_RELEASE} is killed, by one: take it out", told)


    def test_an_end_without_a_line_is_found_without_a_scenario(self):
        lines = "".join(f"{name}: one\n" for name in self.ends if name not in (RELEASE, LOCK))
        self.write(weaken.NOTICED_BY, lines)
        code, told, _ = self.run_tool("--check", unreached=f"elsewhere\n  {LOCK}\n")
        self.assertEqual((code, told), (1, f"src/base/lamp.hpp:11: {RELEASE} has no line in {weaken.NOTICED_BY}: "
                                           "write it by `./dev model --weaken all --remember`\n"))
        self.write(weaken.NOTICED_BY, lines + f"{RELEASE}: one\n")
        self.assertEqual(self.run_tool("--check", unreached=f"elsewhere\n  {LOCK}\n")[:2], (0, ""))


class Listed(Case):
    def test_who_survives_and_is_listed_is_green(self):
        unkilled = f"# A comment.\nmasked: the other half\nis enough\n  {TAKE_RELEASE}\n"
        code, told, _ = self.run_tool("E3", unkilled=unkilled, unreached=f"elsewhere\n  {LOCK}\n",
                                      one=self.scenario([TAKE_RELEASE], {TAKE_ACQUIRE: 1}))
        self.assertEqual(code, 0, told)
        self.assertEqual(self.rows()[TAKE_RELEASE]["reason"], "masked: the other half is enough")

    def test_who_is_listed_can_be_asked_about_very_briefly(self):
        def asked(executions):
            return self.run_tool("E3", "--expected", unkilled=f"masked\n  {TAKE_RELEASE}\n", unreached=f"elsewhere\n  {LOCK}\n",
                                 one=self.scenario([TAKE_RELEASE], {TAKE_ACQUIRE: 1, TAKE_RELEASE: executions}, executions=9000))

        code, told, _ = asked(3 * weaken.GLANCE)
        self.assertEqual((code, self.rows()[TAKE_RELEASE]["outcome"]), (0, "survives"), told)
        code, told, _ = asked(weaken.GLANCE // 2)
        self.assertEqual(code, 1)
        self.assertIn(f"{TAKE_RELEASE} is killed, by one: take it out", told)

    def test_who_is_passed_and_listed_as_not_reached_is_red(self):
        code, told, _ = self.run_tool("E1", unreached=f"elsewhere\n  {RELEASE}\n",
                                      one=self.scenario([RELEASE, ACQUIRE], {RELEASE: 1, ACQUIRE: 1}))
        self.assertEqual(code, 1)
        self.assertIn(f"{RELEASE} is passed by a scenario: take it out of tools/model/unreached.txt", told)

    def test_who_is_listed_and_killed_is_red(self):
        code, told, _ = self.run_tool("E1", unkilled=f"masked\n  {RELEASE}\n", one=self.scenario([RELEASE], {RELEASE: 1}))
        self.assertEqual(code, 1)
        self.assertIn(f"{RELEASE} is killed, by one: take it out", told)

    def test_who_is_listed_and_is_no_end_is_red(self):
        code, told, _ = self.run_tool("E1", unkilled="masked\n  E1 release base/lamp.hpp:dim\n", one=self.scenario([], {}))
        self.assertEqual(code, 1)
        self.assertIn("E1 release base/lamp.hpp:dim is in tools/model/unkilled.txt and not among the ends", told)

    def test_who_is_listed_without_a_reason_is_red(self):
        code, told, _ = self.run_tool("E3", unkilled=f"  {TAKE_RELEASE}\n", one=self.scenario([TAKE_RELEASE], {TAKE_ACQUIRE: 1}))
        self.assertEqual(code, 1)
        self.assertIn("unkilled.txt:1:", told)

    def test_what_is_not_tried_in_time_is_red(self):
        code, told, _ = self.run_tool("E1", "--minutes", "0", one=self.scenario([RELEASE], {RELEASE: 1}))
        self.assertEqual(code, 1)
        self.assertIn(f"{RELEASE} was not tried", told)


if __name__ == "__main__":
    unittest.main()
