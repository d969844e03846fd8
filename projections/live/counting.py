"""Counting: a window opened for counting, with the sums that one policy asks for kept at hand."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass, replace

from events.provider_changed import MAX_WINDOW_CALLS, MAX_WINDOW_S, SLOW_BOUNDS_S, BreakerPolicy, WindowKind
from projections.live.window import FAILURE_LETTERS, SUCCESS_LETTERS, Segment, Window

_CALLS, _FAILURES, _SLOW = 1, 2, 3


@dataclass(frozen=True, slots=True)
class Figures:
    """What a policy's rules look at: calls in its window, and failures in a row."""

    calls: int
    failures: int
    slow_calls: int
    consecutive_failures: int


def figures(window: Window, policy: BreakerPolicy) -> Figures:
    """The window's figures under a policy."""
    return Counting(window, policy).figures()


class Counting:
    """Counts calls into a window. Mutable, lives within one call of a pure function, closed by `window()`.

    A time window ends with the newest second seen; calls within it are counted whatever their order.
    """

    def __init__(self, window: Window, policy: BreakerPolicy) -> None:
        self.policy = policy
        self.calls = window.calls
        self.consecutive_failures = window.consecutive_failures
        self.recent = window.recent
        self.slow_level = SLOW_BOUNDS_S.index(policy.slow_call_s)
        """A call is slow when it exceeded more than this many of SLOW_BOUNDS_S."""
        self._opened = window
        self._buckets = list(window.buckets)
        self._newest = self._buckets[-1][0] if self._buckets else -1
        self._failures = 0
        self._stale_calls = 0
        self._stale_failures = 0
        self._ignored = 0
        self._by_time = policy.window is WindowKind.TIME
        self._inside = bisect_left(self._buckets, (self._newest - policy.window_s + 1,))
        self._sums = self._summed() if self._by_time else [0, 0, 0]

    def _summed(self) -> list[int]:
        slow = _SLOW + self.slow_level
        inside = self._buckets[self._inside :]
        return [
            sum([bucket[_CALLS] for bucket in inside]),
            sum([bucket[_FAILURES] for bucket in inside]),
            sum([bucket[slow] for bucket in inside if len(bucket) > slow]),
        ]

    def figures(self) -> Figures:
        """The figures under the policy."""
        calls, failures, slow_calls = self._sums if self._by_time else self._recent_sums()
        return Figures(calls, failures, slow_calls, self.consecutive_failures)

    def _recent_sums(self) -> list[int]:
        tail = self.recent[-self.policy.window_calls :]
        failures = sum([tail.count(letter) for letter in FAILURE_LETTERS])
        slow = slice(self.slow_level + 1, None)
        slow_calls = sum([tail.count(letter) for letter in SUCCESS_LETTERS[slow] + FAILURE_LETTERS[slow]])
        return [len(tail), failures, slow_calls]

    def advance(self, second: int) -> bool:
        """Move the window on to a second of counted calls; False when these are too old to be counted at all."""
        if second <= self._newest:
            return second > self._newest - MAX_WINDOW_S
        self._newest = second
        first = second - self.policy.window_s + 1
        slow = _SLOW + self.slow_level
        while self._inside < len(self._buckets) and self._buckets[self._inside][0] < first:
            if self._by_time:
                gone = self._buckets[self._inside]
                self._sums[0] -= gone[_CALLS]
                self._sums[1] -= gone[_FAILURES]
                self._sums[2] -= gone[slow] if len(gone) > slow else 0
            self._inside += 1
        return True

    def in_window(self, second: int) -> bool:
        """Whether calls of that second lie in the policy's time window."""
        return second > self._newest - self.policy.window_s

    def count(self, second: int, failed: bool, parts: Iterable[Segment]) -> None:
        """Count calls of one outcome. `advance(second)` was called before and was True."""
        at = self._bucket_at(second)
        bucket = list(self._buckets[at])
        letters = FAILURE_LETTERS if failed else SUCCESS_LETTERS
        counted = 0
        slow_calls = 0
        for level, calls in parts:
            counted += calls
            slow_calls += calls if level > self.slow_level else 0
            while len(bucket) < _SLOW + level:
                bucket.append(0)
            for bound in range(_SLOW, _SLOW + level):
                bucket[bound] += calls
            self.recent = (self.recent + letters[level] * min(calls, MAX_WINDOW_CALLS))[-MAX_WINDOW_CALLS:]
        failures = counted if failed else 0
        bucket[_CALLS] += counted
        bucket[_FAILURES] += failures
        self._buckets[at] = tuple(bucket)
        if self._by_time and self.in_window(second):
            self._sums[0] += counted
            self._sums[1] += failures
            self._sums[2] += slow_calls
        self.calls += counted
        self._failures += failures
        self.consecutive_failures = self.consecutive_failures + counted if failed else 0

    def _bucket_at(self, second: int) -> int:
        if self._buckets and self._buckets[-1][0] == second:
            return len(self._buckets) - 1
        at = bisect_left(self._buckets, (second,))
        if at == len(self._buckets) or self._buckets[at][0] != second:
            self._buckets.insert(at, (second, 0, 0))
            if not self.in_window(second):
                self._inside += 1
        return at

    def count_stale(self, failed: bool, calls: int) -> None:
        """Outcomes that move nothing: admitted under another epoch, seen while OPEN, or too old."""
        self._stale_calls += calls
        self._stale_failures += calls if failed else 0

    def count_ignored(self, calls: int) -> None:
        """Outcomes that say nothing of the provider."""
        self._ignored += calls

    def window(self) -> Window:
        """The window with all that was counted."""
        opened = self._opened
        oldest = bisect_left(self._buckets, (self._newest - MAX_WINDOW_S + 1,))
        return replace(
            opened,
            buckets=tuple(self._buckets[oldest:]),
            recent=self.recent,
            calls=self.calls,
            consecutive_failures=self.consecutive_failures,
            total_calls=opened.total_calls + self.calls - opened.calls,
            total_failures=opened.total_failures + self._failures,
            stale_calls=opened.stale_calls + self._stale_calls,
            stale_failures=opened.stale_failures + self._stale_failures,
            ignored_calls=opened.ignored_calls + self._ignored,
        )
