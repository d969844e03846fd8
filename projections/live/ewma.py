"""A moving average in integers: the same on every machine, and after every replay."""

from __future__ import annotations

PRIOR_CALLS = 9
"""What was known before weighs as much as this many calls, so that one call moves the average by a tenth."""


def moved(average_us: int | None, sum_us: int, calls: int) -> int:
    """The average after `calls` more of them that took `sum_us` together; the first ones set it.

    average += (sum - calls * average) // (calls + 9), rounded down: for one call, a tenth of the way to it. A run of
    calls is taken as one step, so the result depends on how runs were cut; the cuts are recorded on the log.
    """
    if average_us is None:
        return sum_us // calls
    return average_us + (sum_us - calls * average_us) // (calls + PRIOR_CALLS)
