"""One record: what a row says."""

from .statistic import CONFIDENCE_OF_A_LOOK, median, spread, upper_bound


def at_most(target, **more):
    return {"target": target, "target_is": "at most", **more}


def at_least(target, **more):
    return {"target": target, "target_is": "at least", **more}


def no_target():
    """For what is printed to be known, not judged."""
    return {"target": None, "target_is": None}


def holds(value, goal):
    if value is None:
        return False
    if goal["target"] is None:
        return True
    return value <= goal["target"] if goal["target_is"] == "at most" else value >= goal["target"]


FEW = 11  # with fewer pairs than that a verdict may be chance, and the record says what they were


def spread_of(samples, goal):
    """What few pairs said one by one, in words; that they do not decide, if the target lies among them."""
    if len(samples) >= FEW:
        return ""
    words = f"{len(samples)} pairs: {min(samples):.2f} to {max(samples):.2f}"
    is_among = goal["target"] is not None and min(samples) <= goal["target"] <= max(samples)
    return words + (", the target among them" if is_among else "")


def of_values(name, samples, unit, goal, *, value=None, floor=None, note=""):
    """A value that is judged by itself, a floor only printed beside it; by its median unless another value is given."""
    value = median(samples) if value is None else value
    return {"name": name, "value": value, "unit": unit, "floor": floor, "ratio": None, "ratio_upper": None, **goal,
            "judged": "value", "pass": holds(value, goal), "spread": spread(samples), "n": len(samples), "note": note,
            "samples": samples}


def of_pairs(name, pairs, unit, goal, *, judged, note=""):
    """(floor, subject) pairs; judged by the median of their ratios or by its upper 95 % bound: by that of a look, for such a row
    may have been looked at several times."""
    ratios = [subject / floor for floor, subject in pairs]
    ratio = median(ratios)
    note = "; ".join(filter(None, [spread_of(ratios, goal), note]))
    upper = upper_bound(ratios, CONFIDENCE_OF_A_LOOK) if judged == "ratio_upper" else upper_bound(ratios)
    return {"name": name, "value": median([b for _, b in pairs]), "unit": unit, "floor": median([a for a, _ in pairs]),
            "ratio": ratio, "ratio_upper": upper, **goal, "judged": judged,
            "pass": holds(upper if judged == "ratio_upper" else ratio, goal), "spread": spread(ratios), "n": len(pairs),
            "note": note, "samples": [list(pair) for pair in pairs]}


def of_distances(name, pairs, unit, goal, *, value=None, note=""):
    """(floor, subject) pairs of what may be next to nothing, such as latencies: judged by how far above it the subject is."""
    above = [subject - floor for floor, subject in pairs]
    note = "; ".join(filter(None, [spread_of(above, goal), note]))
    record = of_values(name, above, unit, goal, value=value, floor=median([floor for floor, _ in pairs]), note=note)
    record["spread"] = None  # of numbers around zero it says nothing
    return record


def missing(name, why):
    return {"name": name, "value": None, "unit": None, "floor": None, "ratio": None, "ratio_upper": None,
            "target": None, "target_is": None, "judged": "missing", "pass": False, "spread": None, "n": 0, "note": why,
            "samples": []}
