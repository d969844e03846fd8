"""What was spent, told naively: each event on its own, added to every node that it is charged to."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from events.spend_adjusted import SpendAdjusted
from events.usage_recorded import UsageRecorded

Charged = UsageRecorded | SpendAdjusted
"""What changes a spend."""

_SUBJECTS = (("org", "org"), ("team", "team"), ("user", "user"), ("key", "api_key"))
_FIRST_DAY = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(slots=True)
class Spending:
    """Five sums by quarter hour of the day, by spend id (`tenant|node|day`)."""

    sums: dict[str, dict[int, list[int]]] = field(default_factory=dict)

    def add(self, event: Charged) -> None:
        """One call more, or another cost of one."""
        at = _FIRST_DAY + timedelta(microseconds=charged_at(event))
        day = (at.date() - _FIRST_DAY.date()).days
        quarter = at.hour * 4 + at.minute // 15
        values = values_of(event)
        tenant = _plain(event.tenant)
        for node in nodes(event):
            line = self.sums.setdefault(f"{tenant}|{node}|{day}", {}).setdefault(quarter, [0, 0, 0, 0, 0])
            for index, value in enumerate(values):
                line[index] += value

    def document(self, spend: str) -> dict[str, object]:
        """The JSON document of a spend id."""
        rows = [[quarter, *map(_json_int, line)] for quarter, line in sorted(self.sums[spend].items())]
        return {"day": int(spend.split("|")[2]), "rows": rows}


def charged_at(event: Charged) -> int:
    """When the call happened that is charged: microseconds since the epoch."""
    return event.occurred_at if isinstance(event, UsageRecorded) else event.usage_occurred_at


def nodes(event: Charged) -> list[str]:
    """Names of all that a call is charged to."""
    whose = ["tenant"]
    whose += [f"{word}={_plain(getattr(event, name))}" for word, name in _SUBJECTS if getattr(event, name)]
    what = ["", f";provider={_plain(event.provider)}"]
    what.append(f"{what[1]};model={_plain(event.model)}")
    return [first + second for first in whose for second in what]


def values_of(event: Charged) -> tuple[int, int, int, int, int]:
    """Cost, calls, input tokens, output tokens and unpriced calls."""
    if isinstance(event, SpendAdjusted):
        before = event.cost_before_nano_usd
        if before is None:
            return (event.cost_after_nano_usd, 0, 0, 0, -1)
        return (event.cost_after_nano_usd - before, 0, 0, 0, 0)
    cost = event.cost_nano_usd
    return (cost or 0, 1, event.input_tokens, event.output_tokens, 1 if cost is None else 0)


def _plain(name: str) -> str:
    return "".join(f"%{ord(letter):02X}" if letter in "%;=|" else letter for letter in name)


def _json_int(value: int) -> int | str:
    return value if -(2**63) <= value < 2**64 else str(value)
