"""What three readers of the same bytes say, and whether levity may say what it does.

levity may be stricter than both. It must not let through what both refuse, nor read it as neither does; where one of them refuses,
or reads otherwise, the case says why that is right."""

import collections
import re

# Whose ways the reasons in the cases describe; of other versions they are told, and not judged.
KNOWN = {"nginx": "1.22.", "haproxy": "2.6."}
JUDGES = ("nginx", "haproxy")


def plain(seen):
    """Without what a proxy may change on its way: the case of a host, and its port."""
    def host(found):
        name = found[1].lower()
        return "" if name == "h" else f" @{name}"
    return [re.sub(r" @(\[[^]]*\]|[^ :]*)(?::\d*)?(?= |$)", host, text) for text in seen]


def same(ours, theirs):
    """Whether both are one request. Of what has no route here nobody knows how it was read, and where no host was named there is
    none to compare."""
    if ours == "404":
        return True
    if ours.endswith("@-") or " @- " in ours:
        return theirs.split(" @")[0] == ours.split(" @")[0]
    return ours == theirs


def stance(ours, theirs):
    """Of somebody who saw `theirs`, beside levity, which saw `ours`: same, stricter, laxer, or otherwise."""
    ours, theirs = plain(ours), plain(theirs)
    if not all(same(a, b) for a, b in zip(ours, theirs)):
        return "otherwise"
    return "same" if len(ours) == len(theirs) else "stricter" if len(theirs) < len(ours) else "laxer"


def answer_stance(ours, theirs):
    """The same of an answer, as witness.cpp tells it."""
    if ours.startswith("failed"):
        return "same" if theirs.startswith("failed") else "laxer"
    return "same" if ours == theirs else "stricter" if theirs.startswith("failed") else "otherwise"


def accepted(outcome):
    """Whether something was let through and nothing refused."""
    if isinstance(outcome, str):
        return outcome.startswith("answer")
    return bool(outcome.seen) and not outcome.status


class Judgement:
    """Collects the outcomes of all cases."""

    def __init__(self, versions):
        self.known = {name: versions[name].startswith(KNOWN[name]) for name in JUDGES}
        self.counts = collections.defaultdict(collections.Counter)
        self.failures = []
        self.notes = []
        self.disagreements = []

    def take(self, case, ours, **theirs):
        counts = self.counts[case.category]
        counts["cases"] += 1
        for name, outcome in (("levity", ours), *theirs.items()):
            counts[name] += accepted(outcome)
        of_answers = isinstance(ours, str)
        stances = {name: answer_stance(ours, theirs[name]) if of_answers else stance(ours.seen, theirs[name].seen)
                   for name in JUDGES}
        against = [name for name in JUDGES if stances[name] in ("stricter", "otherwise")]
        counts["levity alone strict"] += all(stances[name] == "laxer" for name in JUDGES)
        who = f"{case.category}.{case.name}"
        told = "; ".join(f"{name}: {outcome}" for name, outcome in (("levity", ours), *theirs.items()))
        if len(against) == len(JUDGES):
            self.failures.append(f"{who}: levity lets through what neither does. {told}")
            return
        for name in JUDGES:
            reason = getattr(case, name)
            if name in against:
                counts[f"{name} against"] += 1
                self.disagreements.append(f"{who}: {name} {stances[name]}: {reason or 'no reason is given'}. {told}")
            if (name in against) != bool(reason):
                text = f"{who}: {name} is {stances[name]}, and the case gives {'a' if reason else 'no'} reason. {told}"
                (self.failures if self.known[name] else self.notes).append(text)

    def table(self):
        """What was accepted, by category; in the last columns the cases where levity accepts and that one does not agree, and
        those that levity refuses and both let through."""
        columns = ("cases", "levity", "nginx", "haproxy", "nginx against", "haproxy against", "levity alone strict")
        rows = [("accepted of", *columns)]
        rows += [(category, *(str(counts[column]) for column in columns)) for category, counts in self.counts.items()]
        rows.append(("all", *(str(sum(counts[column] for counts in self.counts.values())) for column in columns)))
        widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
        return "\n".join(" | ".join(text.ljust(width) if i == 0 else text.rjust(width)
                                    for i, (text, width) in enumerate(zip(row, widths))) for row in rows)
