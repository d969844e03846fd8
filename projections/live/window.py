"""Window: what the breaker decider remembers of a deployment's calls. Key `window:<deployment>`.

It is a fold of the outcomes in their partition's order, cut by the breaker's transitions, and holds raw counts only: no
field depends on a policy, so a rebuild yields the same bytes whichever policy was in force at which record. A policy is
applied when the window is read, see counting.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace

import orjson

from events.outcomes_observed import LATENCY_BOUNDS_MS, OutcomeRun
from events.provider_changed import SLOW_BOUNDS_S
from projections.live.canonical import encode

Bucket = tuple[int, ...]
"""One second: (second, calls, failures, then calls that took longer than each of SLOW_BOUNDS_S, zeros at the end cut)."""

Segment = tuple[int, int]
"""Calls of one slowness in a row: (how many of SLOW_BOUNDS_S they exceeded, how many calls)."""

SUCCESS_LETTERS = "abcdefg"
FAILURE_LETTERS = "ABCDEFG"
"""One letter for a call in `Window.recent`; its place is the number of SLOW_BOUNDS_S that the call exceeded."""

_LEVEL_OF_LATENCY = tuple(
    sum(bound < index for bound in (LATENCY_BOUNDS_MS.index(slow_s * 1000) for slow_s in SLOW_BOUNDS_S))
    for index in range(len(LATENCY_BOUNDS_MS) + 1)
)
"""For each latency bucket, how many of SLOW_BOUNDS_S its calls exceeded."""

_FIRST_SLOW = _LEVEL_OF_LATENCY.index(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Counted calls since the last transition, and totals since ever.

    `buckets` are the last MAX_WINDOW_S seconds, ascending, seconds without calls left out; `recent` the last
    MAX_WINDOW_CALLS calls, a letter each; `calls` all since the last transition. `stale_*` are outcomes of older epochs,
    in OPEN or too old, and `ignored_calls` those that say nothing of the provider: for statistics only. `sources` is
    the next offset of each source partition ("usage.0") that is not folded yet.
    """

    buckets: tuple[Bucket, ...] = ()
    recent: str = ""
    calls: int = 0
    consecutive_failures: int = 0
    total_calls: int = 0
    total_failures: int = 0
    stale_calls: int = 0
    stale_failures: int = 0
    ignored_calls: int = 0
    sources: Mapping[str, int] = field(default_factory=dict)

    def to_json(self) -> bytes:
        """Canonical bytes: equal states have equal bytes."""
        return encode({name: getattr(self, name) for name in _FIELDS})

    @staticmethod
    def from_json(data: bytes) -> Window:
        """The state that `to_json` wrote."""
        state = orjson.loads(data)
        counts = {name: int(state[name]) for name in _COUNTS}
        buckets = tuple(tuple(map(int, bucket)) for bucket in state["buckets"])
        return Window(buckets=buckets, recent=state["recent"], sources=state["sources"], **counts)


_FIELDS = tuple(each.name for each in fields(Window))
_COUNTS = tuple(name for name in _FIELDS if name not in {"buckets", "recent", "sources"})


def fresh(window: Window) -> Window:
    """The window after a transition: nothing counted yet; totals and sources stay."""
    return replace(window, buckets=(), recent="", calls=0, consecutive_failures=0)


def source_name(topic: str, partition: int) -> str:
    """Name of a source partition in `Window.sources`."""
    return f"{topic}.{partition}"


def segments(run: OutcomeRun, start: int, stop: int) -> list[Segment]:
    """Calls [start, stop) of a run by slowness, the fastest first: within a run the slow calls are its last ones.

    Calls of a run that are in no latency bucket count as fast.
    """
    latencies = run.latency_buckets
    if not any(latencies[_FIRST_SLOW:]):
        return [(0, stop - start)]
    of_level = [0] * len(SUCCESS_LETTERS)
    for index, calls in enumerate(latencies):
        of_level[_LEVEL_OF_LATENCY[index]] += calls
    of_level[0] = run.count - sum(of_level[1:])
    cut: list[Segment] = []
    end = 0
    for level, calls in enumerate(of_level):
        begin, end = end, end + calls
        part = min(end, stop) - max(begin, start)
        if part > 0:
            cut.append((level, part))
    return cut
