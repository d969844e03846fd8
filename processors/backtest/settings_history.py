"""The providers' settings as the log has them, and which were in force when."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator

from events.provider_changed import ProviderChanged
from projections.live.provider import PolicyInForce, ProviderSettings, evolve, initial

NEAR_MS = 60_000
"""Settings may have been taken so much sooner or later than their record's time says: clocks differ, workers lag."""


class SettingsHistory:
    """The log says when settings were appended, not when a worker took them. So they hold from the first outcomes that are
    not older; but where what was decided follows from those shortly before or after, and from these not, it was those.
    """

    def __init__(self, changes: Iterable[tuple[int, ProviderChanged]] = ()) -> None:
        """`changes`: record timestamp (ms) and event, in the order of the log, each once."""
        self._held: dict[str, tuple[list[int], list[ProviderSettings]]] = {}
        for time_ms, event in changes:
            times, versions = self._of(event.provider)
            times.append(max(time_ms, times[-1]))
            versions.append(evolve(versions[-1], event))

    def policies(
        self, provider: str, deployment: str, clock_us: int, decided_by: int | None = None
    ) -> Iterator[PolicyInForce]:
        """The policies that may have been in force at the outcomes' clock, the likeliest first.

        `decided_by` is the policy version of what was decided then, when something was: only it is given then.
        """
        times, versions = self._of(provider)
        clock_ms = clock_us // 1000
        if decided_by is not None:
            named = (settings.policy_for(deployment) for settings in reversed(versions))
            yield next((policy for policy in named if policy.version == decided_by), PolicyInForce())
            return
        at = bisect_right(times, clock_ms) - 1
        yield versions[at].policy_for(deployment)
        first = bisect_right(times, clock_ms - NEAR_MS) - 1
        last = bisect_right(times, clock_ms + NEAR_MS)
        for index in sorted(range(max(0, first), last), key=lambda index: abs(index - at)):
            if index != at:
                yield versions[index].policy_for(deployment)

    def _of(self, provider: str) -> tuple[list[int], list[ProviderSettings]]:
        held = self._held.get(provider)
        if held is None:
            held = self._held[provider] = ([-1], [initial(provider)])
        return held
