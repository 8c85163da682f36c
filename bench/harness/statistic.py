"""Medians, their upper bound and the spread of few and skewed samples. No assumption about a distribution."""

from math import comb


def median(samples):
    ordered = sorted(samples)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def upper_bound(samples, confidence=0.95):
    """The one-sided upper bound of the true median, by order statistics.

    The k-th smallest of n samples lies above the true median unless k or more samples fell below it; each does so with
    probability 1/2. The smallest k for which that is unlikely enough is taken: the 9th of 11 (96.7 %), the 15th of 21.
    """
    ordered = sorted(samples)
    n = len(ordered)
    below = 0
    for k in range(1, n + 1):
        below += comb(n, k - 1)  # P(fewer than k samples lie below the median) * 2^n
        if below >= confidence * 2**n:
            return ordered[k - 1]
    return None  # fewer than five samples bound nothing at 95 %


# Pairs may be added where they decide nothing yet. Who looks three times and stops when he likes what he sees errs up to three
# times as often: so each look has a third of the doubt that the whole row is allowed.
LOOKS = 3
CONFIDENCE_OF_A_LOOK = 1 - 0.05 / LOOKS


def is_decided(samples, target):
    """Whether the bounds of the median, from above or from below, lie on one side of the target."""
    upper = upper_bound(samples, CONFIDENCE_OF_A_LOOK)
    lower = upper_bound([-sample for sample in samples], CONFIDENCE_OF_A_LOOK)
    return upper is not None and (upper <= target or -lower > target)


def quartile(samples, part):
    ordered = sorted(samples)
    at = part * (len(ordered) - 1)
    low = int(at)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (at - low) * (ordered[high] - ordered[low])


def spread(samples):
    """The distance of the quartiles as a part of the median."""
    if len(samples) < 2 or median(samples) == 0:
        return None
    return (quartile(samples, 0.75) - quartile(samples, 0.25)) / median(samples)
