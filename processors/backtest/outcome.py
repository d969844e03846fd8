"""What a backtest has found."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from events.reader import Range
from processors.backtest.cost import Cost, CostKey
from processors.backtest.deployment import DeploymentRun
from processors.backtest.downtime import ModelDowntime
from processors.backtest.ledger import Overrun, Reached


@dataclass(frozen=True, slots=True)
class Alerts:
    """Budget alerts by id: `on_log` as they were raised, `again` by the recorded settings, `tried` by the policy."""

    on_log: Mapping[str, Reached] = field(default_factory=dict)
    again: Mapping[str, Reached] = field(default_factory=dict)
    tried: Mapping[str, Reached] = field(default_factory=dict)

    @property
    def added(self) -> list[Reached]:
        """Raised by the policy only."""
        return _in_order(one for key, one in self.tried.items() if key not in self.again)

    @property
    def removed(self) -> list[Reached]:
        """Raised by the recorded settings only."""
        return _in_order(one for key, one in self.again.items() if key not in self.tried)

    @property
    def moved(self) -> list[tuple[Reached, Reached]]:
        """Raised by both at different times: by the recorded settings, and by the policy."""
        later = _in_order(one for key, one in self.tried.items() if key in self.again)
        pairs = [(self.again[one.alert_id], one) for one in later]
        return [(again, tried) for again, tried in pairs if again.at_us != tried.at_us]

    @property
    def same(self) -> int:
        """Raised by both at the same time."""
        return len(self.again.keys() & self.tried.keys()) - len(self.moved)


@dataclass(frozen=True, slots=True)
class Counted:
    """Records that were read; `refused` are the bad ones."""

    outcomes: int = 0
    transitions: int = 0
    usage: int = 0
    refused: int = 0
    duplicates: int = 0

    def plus(self, other: Counted) -> Counted:
        """The sums of both."""
        return Counted(
            self.outcomes + other.outcomes,
            self.transitions + other.transitions,
            self.usage + other.usage,
            self.refused + other.refused,
            self.duplicates + other.duplicates,
        )

    @property
    def total(self) -> int:
        """All of them."""
        return self.outcomes + self.transitions + self.usage


@dataclass(frozen=True, slots=True)
class Outcome:
    """All that follows from a log and a policy. Times are of the records, microseconds since the epoch.

    `not_reproduced_alerts`: those on the log that the recorded settings do not lead to again, and the other way round.
    """

    begins_us: int
    ends_us: int
    read: Mapping[str, Range]
    counted: Counted
    deployments: Mapping[str, DeploymentRun]
    downtimes: tuple[ModelDowntime, ...]
    alerts: Alerts
    not_reproduced_alerts: tuple[Reached, ...]
    overruns_recorded: tuple[Overrun, ...]
    overruns_tried: tuple[Overrun, ...]
    costs: Mapping[CostKey, Cost]

    @property
    def is_reproduced(self) -> bool:
        """Whether the recorded settings, applied again, lead to exactly what is on the log."""
        return not self.not_reproduced_alerts and not any(
            run.not_reproduced.count for run in self.deployments.values()
        )

    @property
    def changes_nothing(self) -> bool:
        """Whether the policy would have decided all that was decided, and nothing else."""
        return (
            not any(run.added.count or run.removed.count for run in self.deployments.values())
            and not self.alerts.added
            and not self.alerts.removed
            and not self.alerts.moved
            and _ids(self.overruns_recorded) == _ids(self.overruns_tried)
            and all(cost.recorded_nano_usd == cost.tried_nano_usd for cost in self.costs.values())
        )


def _in_order(found: Iterable[Reached]) -> list[Reached]:
    return sorted(found, key=lambda one: (one.at_us, one.tenant, one.budget_id, one.percent, one.alert_id))


def _ids(overruns: Iterable[Overrun]) -> set[str]:
    return {one.reached.alert_id for one in overruns}
