"""What has to be true after every seed, once all faults have ended and everything is folded.

Each property looks at the log and at the live state only, and says what is wrong in words; nothing when all is well.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import orjson

from events.alert_raised import AlertKind, AlertRaised
from events.breaker_transitioned import BreakerTransitioned
from events.budget_changed import BudgetChanged, BudgetPeriod
from events.catalogue import TOPICS
from events.dead_letters import assemble
from events.envelope import Event
from events.header_names import unkept
from events.provider_health_checked import ProviderHealthChecked
from events.usage_recorded import UsageRecorded
from processors.breaker.machine import TRANSITIONS
from processors.verify.naive.settings import Documents, route, set_budget, set_override, set_provider
from processors.verify.naive.spend import Charged, charged_at, nodes
from projections.live.period import Period, period_before, period_of
from projections.live.slots import PROVIDER_LEAD, TENANT_LEAD
from tests.reference.accepted import Told, outcomes, tell
from tests.reference.documents import (
    check_documents,
    documents_of,
    health_documents,
    spend_documents,
    tell_breakers,
)
from tests.reference.runs import run_of_check, runs_of
from tests.reference.spend import spent_between
from tests.simulation.cluster import Cluster


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that there is to look at: each folded partition sorted out, derived topics decoded, the live states."""

    cluster: Cluster
    told: dict[tuple[str, int], Told]
    derived: dict[str, list[tuple[bytes, Event]]]
    states: dict[str, dict[str, bytes]]

    @classmethod
    def of(cls, cluster: Cluster) -> Evidence:
        """What the cluster leaves behind."""
        log, codec, settings = cluster.log, cluster.codec, cluster.settings
        told = {
            (topic, number): tell(topic, records, codec, settings)
            for topic, partitions in log.partitions.items()
            for number, records in enumerate(partitions)
            if topic not in {"breakers", "alerts", "dead-letters"}
        }
        derived = {
            topic: [
                (record.value or b"", codec.decode(TOPICS[topic], record.value))
                for record in log.records(topic)
            ]
            for topic in ("breakers", "alerts", "dead-letters")
        }
        return cls(cluster, told, derived, cluster.states())

    def events(self, topic: str, number: int) -> list[Event]:
        """The events of a partition that count, in order."""
        return [event for _, event in self.told[topic, number].events]

    def charged(self, number: int) -> list[Any]:
        """Usage and adjustments of a partition that count."""
        return [*self.events("usage", number), *self.events("adjustments", number)]

    def live(self, slot: str, kind: str) -> Documents:
        """The live states of a kind in a slot, by id."""
        return {
            key.partition(":")[2]: orjson.loads(value)
            for key, value in self.states[slot].items()
            if key.partition(":")[0] == kind
        }

    @property
    def numbers(self) -> range:
        """The partitions."""
        return range(self.cluster.settings.partitions)


def tenant_states_equal_the_log(evidence: Evidence) -> Iterator[str]:
    """Spend, budgets, routing and raised alerts are what the naive folds say."""
    for number in evidence.numbers:
        slot = f"{TENANT_LEAD}.{number}"
        expected: dict[str, Documents] = {
            "spend": spend_documents(evidence.charged(number)),
            "budgets": documents_of(set_budget, evidence.events("budgets", number)),
            "routing": documents_of(route, evidence.events("routing", number)),
            "raised": _raised_documents(evidence, number),
        }
        for kind, documents in expected.items():
            yield from _differences(f"{slot} {kind}", documents, evidence.live(slot, kind))


def provider_states_equal_the_log(evidence: Evidence) -> Iterator[str]:
    """Health, checks, settings, overrides, windows and breakers with their gates are what the naive folds say."""
    for number in evidence.numbers:
        slot = f"{PROVIDER_LEAD}.{number}"
        told = evidence.told["outcomes", number]
        observed = outcomes(told)
        settings = documents_of(set_provider, evidence.events("providers", number))
        transitions = [
            event
            for record in evidence.cluster.log.partitions["breakers"][number]
            for event in [evidence.cluster.codec.decode(TOPICS["breakers"], record.value)]
            if isinstance(event, BreakerTransitioned)
        ]
        breakers = tell_breakers(observed, told.clocks_ms, transitions)
        expected: dict[str, Documents] = {
            "health": health_documents(event for _, event in observed),
            "check": check_documents(_of(ProviderHealthChecked, evidence.events("health", number))),
            "provider": settings,
            "override": documents_of(set_override, evidence.events("overrides", number)),
            "window": {name: breaker.window_document() for name, breaker in breakers.items()},
            "breaker": {name: b.breaker_document(settings.get(b.name[0])) for name, b in breakers.items()},
        }
        for kind, documents in expected.items():
            yield from _differences(f"{slot} {kind}", documents, evidence.live(slot, kind))


def bad_records_are_dead_letters(evidence: Evidence) -> Iterator[str]:
    """Each record that cannot be used is one letter with all its bytes; no other record is one."""
    letters = assemble([event for _, event in evidence.derived["dead-letters"]])  # type: ignore[misc]
    kept = {(letter.topic, letter.partition, letter.offset): letter for letter in letters}
    refused = {
        (record.topic, record.partition, record.offset): record
        for told in evidence.told.values()
        for record in told.refused
    }
    for place in sorted(kept.keys() - refused.keys()):
        yield f"{place} is a dead letter ({kept[place].reason}: {kept[place].detail}) and was sound"
    for place, record in refused.items():
        letter = kept.get(place)
        if letter is None:
            yield f"{place} is no event and is no dead letter"
        elif (letter.key, letter.value) != (record.key, record.value):
            yield f"the dead letter of {place} has other bytes"
        elif unkept(letter.headers) != tuple(record.headers):
            yield f"the dead letter of {place} has other headers"


def breaker_streams_are_whole(evidence: Evidence) -> Iterator[str]:
    """Versions without a gap or a fork, each with its cause; what is there twice is there identically."""
    versions: dict[str, dict[int, tuple[bytes, BreakerTransitioned]]] = {}
    for raw, event in evidence.derived["breakers"]:
        assert isinstance(event, BreakerTransitioned)
        known = versions.setdefault(event.deployment, {})
        first = known.setdefault(event.version, (raw, event))
        if first[0] != raw:
            yield f"fork of {event.deployment} at version {event.version}: {first[1]} and {event}"
    for deployment, known in versions.items():
        if sorted(known) != list(range(1, len(known) + 1)):
            yield f"{deployment} has a gap: versions {sorted(known)}"
        state = "CLOSED"
        for version in sorted(known):
            event = known[version][1]
            if event.from_state != state or event.to_state not in TRANSITIONS[event.from_state, event.cause]:
                yield f"{deployment} version {version} goes {event.from_state} {event.cause} {event.to_state} in {state}"
            if event.epoch != version or not event.reason:
                yield f"{deployment} version {version} has epoch {event.epoch} and reason {event.reason!r}"
            state = event.to_state


def outcomes_hold_every_call_once(evidence: Evidence) -> Iterator[str]:
    """Each call and each check is in exactly one of the outcomes that count, in order and unchanged."""
    covered: Counter[tuple[str, int, int]] = Counter()
    calls, checks = _calls(evidence), _checks(evidence)
    for number in evidence.numbers:
        told = evidence.told["outcomes", number]
        whole = dict(told.events)
        for offset, event in outcomes(told):
            source, partition = event.source_topic, event.source_partition
            within = range(event.source_start, event.source_end)
            if source == "usage":
                mine = calls.get((partition, event.deployment), [])
                held = [(at, call) for at, call in mine if at in within]
                expected = runs_of(held, event.source_start)
                offsets = [at for at, _ in held]
            else:
                offsets = [at for at, _ in checks.get((partition, event.deployment), []) if at in within]
                found = [
                    run_of_check(check)
                    for at, check in checks.get((partition, event.deployment), [])
                    if at in within
                ]
                expected = [run for run in found if run is not None]
            runs = list(event.runs)
            if event != whole[offset]:  # of what is left of a run, its gate and error are those of the whole
                runs, expected = (
                    [replace(run, gate_until=None, last_error=None) for run in some]
                    for some in (runs, expected)
                )
            if runs != expected:
                yield f"outcomes-{number}:{offset} of {event.deployment} over {source}-{partition} {within} hold {event.runs}, not {expected}"
            covered.update((source, partition, at) for at in offsets)
    of_calls = {place: [at for at, _ in held] for place, held in calls.items()}
    of_checks = {place: [at for at, _ in held] for place, held in checks.items()}
    for source, groups in (("usage", of_calls), ("health", of_checks)):
        for (partition, deployment), positions in groups.items():
            for at in positions:
                if covered[source, partition, at] != 1:
                    times = covered[source, partition, at]
                    yield f"{source}-{partition}:{at} ({deployment}) is in {times} outcomes"


def alerts_are_raised_once(evidence: Evidence) -> Iterator[str]:
    """One alert for each threshold and period of a budget; none is missing.

    Two workers may each raise it, one of them by what it had seen when it lost the slot: one id, and maybe two sums.
    """
    firsts: dict[str, tuple[object, ...]] = {}
    meaning: dict[tuple[object, ...], str] = {}
    for _, event in evidence.derived["alerts"]:
        assert isinstance(event, AlertRaised)
        what = (event.kind, event.severity, event.subject, event.threshold_percent, event.period_start)
        if firsts.setdefault(event.event_id, what) != what:
            yield f"two different alerts have the id {event.event_id}: {event.title}"
        if event.kind is AlertKind.BUDGET_THRESHOLD:
            about = (event.subject, event.threshold_percent, event.period_start, event.period_end)
            if meaning.setdefault(about, event.event_id) != event.event_id:
                yield f"{about} was raised under two ids"
    for number in evidence.numbers:
        for missing in _expected_alerts(evidence, number) - meaning.keys():
            yield f"alert {missing} was never raised"


PROPERTIES: tuple[Callable[[Evidence], Iterator[str]], ...] = (
    tenant_states_equal_the_log,
    provider_states_equal_the_log,
    bad_records_are_dead_letters,
    breaker_streams_are_whole,
    outcomes_hold_every_call_once,
    alerts_are_raised_once,
)


def violations(cluster: Cluster) -> list[str]:
    """All that is wrong."""
    evidence = Evidence.of(cluster)
    return [f"{rule.__name__}: {wrong}" for rule in PROPERTIES for wrong in rule(evidence)]


def _of(kind: type[Any], events: list[Event]) -> list[Any]:
    return [event for event in events if isinstance(event, kind)]


def _differences(what: str, expected: Documents, live: Documents) -> Iterator[str]:
    for name in sorted(expected.keys() | live.keys()):
        wanted, found = expected.get(name), live.get(name)
        if wanted is None or found is None:
            yield f"{what} {name}: the log says {wanted}, live is {found}"
        elif wanted != found:
            fields = {
                key: (wanted.get(key), found.get(key))
                for key in sorted(wanted.keys() | found.keys())
                if wanted.get(key) != found.get(key)
            }
            yield f"{what} {name}: (the log says, live is) {fields}"


def _raised_documents(evidence: Evidence, number: int) -> Documents:
    documents: Documents = {}
    for record in evidence.cluster.log.partitions["alerts"][number]:
        event = evidence.cluster.codec.decode(TOPICS["alerts"], record.value)
        assert isinstance(event, AlertRaised)
        if event.kind is AlertKind.BUDGET_THRESHOLD:
            empty: dict[str, Any] = {"tenant": event.tenant, "period_ends": {}}
            document = documents.setdefault(event.tenant, empty)
            document["period_ends"][event.event_id] = event.period_end
    return documents


def _calls(evidence: Evidence) -> dict[tuple[int, str], list[tuple[int, UsageRecorded]]]:
    calls: dict[tuple[int, str], list[tuple[int, UsageRecorded]]] = {}
    for number in evidence.numbers:
        for offset, event in evidence.told["usage", number].events:
            assert isinstance(event, UsageRecorded)
            name = f"{event.provider}/{event.model}" + (f"@{event.region}" if event.region else "")
            calls.setdefault((number, name), []).append((offset, event))
    return calls


def _checks(evidence: Evidence) -> dict[tuple[int, str], list[tuple[int, ProviderHealthChecked]]]:
    checks: dict[tuple[int, str], list[tuple[int, ProviderHealthChecked]]] = {}
    for number in evidence.numbers:
        for offset, event in evidence.told["health", number].events:
            assert isinstance(event, ProviderHealthChecked)
            if run_of_check(event) is not None:
                name = f"{event.provider}/{event.model}" + (f"@{event.region}" if event.region else "")
                checks.setdefault((number, name), []).append((offset, event))
    return checks


def _expected_alerts(evidence: Evidence, number: int) -> set[tuple[object, ...]]:
    """Alerts of the budgets that were set before all usage and never changed; rolling ones are left to other tests."""
    usage = evidence.charged(number)
    expected: set[tuple[object, ...]] = set()
    for change in _of(BudgetChanged, evidence.events("budgets", number)):
        if not change.budget_id.startswith("steady") or change.period is BudgetPeriod.ROLLING:
            continue
        node = documents_of(set_budget, [change])[change.tenant]["budgets"][change.budget_id]["node"]
        mine = [event for event in usage if event.tenant == change.tenant and node in nodes(event)]
        for period in {period_of(change, charged_at(event)) for event in mine}:
            spent = spent_between(mine, node, period.start_us, period.end_us)[0]
            limit = change.limit_nano_usd + _rolled_over(change, period, mine, node)
            expected |= {
                (f"{change.tenant}/{change.budget_id}", percent, period.start_us, period.end_us)
                for percent in change.soft_limits_percent
                if spent > 0 and spent * 100 >= percent * limit
            }
    return expected


def _rolled_over(change: BudgetChanged, period: Period, usage: list[Charged], node: str) -> int:
    if not change.rollover_cap_nano_usd or period.start_us <= change.occurred_at:
        return 0
    before = period_before(change, period)
    spent = spent_between(usage, node, before.start_us, before.end_us)[0]
    return min(max(0, change.limit_nano_usd - max(0, spent)), change.rollover_cap_nano_usd)
