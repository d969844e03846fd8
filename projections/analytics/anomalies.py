"""Anomalies: a tenant's window against its own past, and against what its peers did meanwhile. Pure.

A figure is surprising when it lies far from the median of the past, in units of the past's own spread (the median
absolute deviation, scaled to a standard deviation; Iglewicz and Hoaglin, 1993). Peers say whether it is the tenant's own:
a factor that they share is the world's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log
from statistics import median

from projections.analytics.measures import MEASURES, TOTALS, Measure
from projections.analytics.windows import Sums

DAY_US = 86_400_000_000
LEAST_PAST = 8
MAD_TO_DEVIATION = 1.4826
ALWAYS_THERE = 0.9
SHARED = 0.5
SURPRISING = 4.0

Windows = Mapping[int, Sums]
"""Sums of one tenant by start of the window; a window without calls is absent."""


@dataclass(frozen=True, slots=True)
class Anomaly:
    """A surprising figure. `score` is in deviations, `factor` against what was expected; so is `peers_factor`."""

    measure: str
    value: float
    expected: float
    deviation: float
    score: float
    factor: float
    peers: int
    peers_factor: float | None
    shared: bool


@dataclass(frozen=True, slots=True)
class Comparison:
    """What was found. `compared` says with which windows: those of the same hour when there are enough of them."""

    calls: int
    past_windows: int
    compared: str
    peers: int
    anomalies: Sequence[Anomaly]

    @property
    def judged(self) -> bool:
        """Whether there was enough of a past to tell."""
        return self.past_windows >= LEAST_PAST


def compare(
    at_us: int,
    length_us: int,
    own: Windows,
    peers: Mapping[str, Windows],
    surprising: float = SURPRISING,
) -> Comparison:
    """Judge the window that starts at `at_us`; `peers` have that window and a few before it."""
    past = {start: sums for start, sums in own.items() if start < at_us}
    same_hour = {start: sums for start, sums in past.items() if (at_us - start) % DAY_US == 0}
    by_hour = len(same_hour) >= LEAST_PAST
    chosen = list((same_hour if by_hour else past).values())
    now = own.get(at_us, {})
    measures = MEASURES if now else _of_silence(at_us, length_us, past)
    found = [
        anomaly
        for measure in measures
        if len(chosen) >= LEAST_PAST
        and (anomaly := _judge(measure, now, chosen, at_us=at_us, peers=peers, surprising=surprising))
        is not None
    ]
    return Comparison(
        calls=now.get("calls", 0),
        past_windows=len(chosen),
        compared="windows of the same hour of the day" if by_hour else "all windows with calls",
        peers=sum(1 for windows in peers.values() if at_us in windows),
        anomalies=sorted(found, key=lambda one: (-abs(one.score), one.measure)),
    )


def _of_silence(at_us: int, length_us: int, past: Windows) -> Sequence[Measure]:
    """Without a call only the totals tell anything, and only of a tenant that always calls."""
    if not past:
        return ()
    possible = (at_us - min(past)) // length_us
    always = len(past) >= ALWAYS_THERE * possible
    return [measure for measure in MEASURES if measure.name in TOTALS] if always else ()


def _judge(
    measure: Measure,
    now: Sums,
    past: Sequence[Sums],
    *,
    at_us: int,
    peers: Mapping[str, Windows],
    surprising: float,
) -> Anomaly | None:
    value, values = measure.of(now), [measure.of(sums) for sums in past]
    expected = float(median(values))
    spread = MAD_TO_DEVIATION * median(abs(each - expected) for each in values)
    deviation = max(spread, measure.least, measure.usual * abs(expected))
    score = (value - expected) / deviation
    if abs(score) < surprising:
        return None
    factor = _factor(measure, value, expected)
    factors = [
        _factor(measure, measure.of(windows[at_us]), median(measure.of(sums) for sums in before))
        for windows in peers.values()
        if at_us in windows and (before := [sums for start, sums in windows.items() if start < at_us])
    ]
    theirs = median(factors) if factors else None
    shared = (
        theirs is not None and log(theirs) * log(factor) > 0 and abs(log(theirs)) >= SHARED * abs(log(factor))
    )
    return Anomaly(
        measure.name, value, expected, deviation, score, factor, len(factors), theirs, shared=shared
    )


def _factor(measure: Measure, value: float, expected: float) -> float:
    """How many times the expected it is; what is too little to matter is added to both, so that zeros divide."""
    return (max(0.0, value) + measure.least) / (max(0.0, expected) + measure.least)
