"""Records for people. A loss is as easy to see as a win."""

from .statistic import median


def number(value):
    if value is None:
        return "-"
    if isinstance(value, int) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.2f}" if abs(value) < 10 else f"{value:.1f}"


def goal(record):
    if record["target"] is None:
        return "-"
    if record["judged"] == "missing":
        return "-"
    sign = "<=" if record["target_is"] == "at most" else ">="
    what = {"ratio_upper": "upper ", "ratio": "ratio ", "value": ""}[record["judged"]]
    times = "x" if record["judged"].startswith("ratio") else ""
    return f"{what}{sign} {number(record['target'])}{times}"


def verdict(record):
    if record["judged"] == "missing":
        return "MISSING"
    return "ok" if record["pass"] else "FAILED"


HEADER = f"{'row':33} {'value':>10} {'floor':>9} {'ratio':>6} {'upper':>6} {'must':>15} {'spread':>7} {'n':>3}  result"


def line(record):
    spread = "-" if record["spread"] is None else f"{record['spread']:.1%}"
    return (f"{record['name']:33} {number(record['value']):>10} {number(record['floor']):>9} "
            f"{number(record['ratio']):>6} {number(record['ratio_upper']):>6} {goal(record):>15} {spread:>7} "
            f"{record['n']:>3}  {verdict(record):7} "
            f"{record['unit'] or ''}{'; ' if record['unit'] and record['note'] else ''}{record['note']}")


def range_of(samples, unit="ms"):
    return f"{median(samples):.2f} {unit} ({min(samples):.2f} to {max(samples):.2f})"
