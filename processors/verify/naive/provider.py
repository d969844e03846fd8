"""The naive fold of a provider slot: outcomes, checks, settings, overrides, and the transitions that are on the log."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from copy import deepcopy
from typing import Any

from events.breaker_overridden import BreakerOverridden
from events.breaker_transitioned import BreakerTransitioned
from events.codec import Codec
from events.envelope import Event
from events.outcomes_observed import OutcomesObserved
from events.provider_changed import ProviderChanged
from events.provider_health_checked import ProviderHealthChecked
from events.settings import LogSettings
from processors.verify.naive.breakers import ToldBreaker, first_of_each, point_of
from processors.verify.naive.health import Checked, Fared, subject_of
from processors.verify.naive.settings import set_override, set_provider
from processors.verify.naive.slot import Documents, NaiveSlot


class NaiveProviderSlot(NaiveSlot):
    """One partition of outcomes, health, overrides and providers."""

    topics = ("outcomes", "health", "overrides", "providers")
    derived = "breakers"
    indexed = frozenset({"breaker", "health", "check", "provider", "override"})
    kinds = ("breaker", "window", "health", "check", "provider", "override")

    def __init__(self, codec: Codec, settings: LogSettings) -> None:
        super().__init__(codec, settings)
        self._fared: dict[str, Fared] = {}
        self._checked: dict[str, Checked] = {}
        self._providers: Documents = {}
        self._overrides: Documents = {}
        self._breakers: dict[str, ToldBreaker] = {}
        self._seen: set[str] = set()
        self._sure: set[str] = set()
        self._next = 0

    def _fold(self, topic: str, event: Event, offset: int) -> None:
        match event:
            case OutcomesObserved():
                self._fared.setdefault(event.deployment, Fared(event)).see(event)
                self._seen.add(event.deployment)
                breaker = self._breaker(event.deployment, (event.provider, event.model, event.region))
                breaker.observe(event, offset, self._sieves[topic].clock_ms * 1000)
            case ProviderHealthChecked():
                subject = subject_of(event)
                self._checked.setdefault(subject, Checked(subject)).see(event)
            case BreakerOverridden():
                set_override(self._overrides, event)
            case ProviderChanged():
                set_provider(self._providers, event)
            case _:
                raise AssertionError(f"{topic} holds {type(event).__name__}")

    def decided(self, events: Iterable[tuple[Event, bool]]) -> None:
        """The transitions; of two with one version the first counts."""
        transitions = [
            (event, is_sure) for event, is_sure in events if isinstance(event, BreakerTransitioned)
        ]
        self._sure |= {event.event_id for event, is_sure in transitions if is_sure}
        for deployment, found in first_of_each(event for event, _ in transitions).items():
            first = found[0]
            self._breaker(deployment, (first.provider, first.model, first.region)).transitions[:] = found

    def came_to(self, next_offsets: Mapping[str, int]) -> None:
        """Apply what was decided below; what was decided right there is applied when it surely was in time."""
        self._next = next_offsets.get("outcomes", 0)
        here = (self._next, 0, 0)
        for breaker in self._breakers.values():
            while (after := breaker.following) is not None and point_of(after) <= here:
                if point_of(after) == here and after.event_id not in self._sure:
                    break
                breaker.apply()

    def _breaker(self, deployment: str, name: tuple[str, str, str | None]) -> ToldBreaker:
        return self._breakers.setdefault(deployment, ToldBreaker(name, []))

    def _is_there(self, deployment: str, breaker: ToldBreaker) -> bool:
        """Its state is begun with its first outcomes or transition. In a replay it is there before it is folded."""
        is_begun = deployment in self._seen or breaker.applied > 0
        return is_begun or any(event.event_id in self._sure for event in breaker.transitions)

    def _documents(self, kind: str) -> Documents:
        match kind:
            case "breaker" | "window":
                return {name: {} for name, one in self._breakers.items() if self._is_there(name, one)}
            case "health":
                return {name: {} for name in self._fared}
            case "check":
                return {name: {} for name in self._checked}
            case "provider":
                return self._providers
            case _:
                return self._overrides

    def _document(self, kind: str, name: str, live: Any) -> Any:
        match kind:
            case "breaker" | "window":
                return self._breaker_document(kind, name, live)
            case "health":
                return self._fared[name].document() if name in self._fared else None
            case "check":
                return self._checked[name].document() if name in self._checked else None
            case _:
                return super()._document(kind, name, live)

    def _breaker_document(self, kind: str, name: str, live: Any) -> Any:
        if name not in self._breakers:
            return None
        said = [self._told(kind, breaker) for breaker in self._may_be(name)]
        return live if live in said else said[0]

    def _may_be(self, deployment: str) -> Iterator[ToldBreaker | None]:
        """The breaker as it has to be; then as it may be as well, when transitions came while the slot was looked at."""
        breaker = self._breakers[deployment]
        yield breaker if self._is_there(deployment, breaker) else None
        while (after := breaker.following) is not None and point_of(after) == (self._next, 0, 0):
            breaker = deepcopy(breaker)
            breaker.apply()
            yield breaker

    def _told(self, kind: str, breaker: ToldBreaker | None) -> Any:
        if breaker is None:
            return None
        if kind == "window":
            return breaker.window_document()
        return breaker.breaker_document(self._providers.get(breaker.name[0]))

    def _index(self, kind: str, live: Any) -> list[str]:
        names = set(self._documents(kind))
        if kind == "breaker" and isinstance(live, list):
            names |= {name for name in self._breakers if name in live and len(list(self._may_be(name))) > 1}
        return sorted(names)
