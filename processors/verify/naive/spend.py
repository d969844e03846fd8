"""What was spent, told naively: each event on its own, added to every node that it is charged to."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from events.usage_recorded import UsageRecorded

_SUBJECTS = (("org", "org"), ("team", "team"), ("user", "user"), ("key", "api_key"))
_FIRST_DAY = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(slots=True)
class Spending:
    """Five sums by quarter hour of the day, by spend id (`tenant|node|day`)."""

    sums: dict[str, dict[int, list[int]]] = field(default_factory=dict)

    def add(self, event: UsageRecorded) -> None:
        """One call more."""
        at = _FIRST_DAY + timedelta(microseconds=event.occurred_at)
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


def nodes(event: UsageRecorded) -> list[str]:
    """Names of all that a call is charged to."""
    whose = ["tenant"]
    whose += [f"{word}={_plain(getattr(event, name))}" for word, name in _SUBJECTS if getattr(event, name)]
    what = ["", f";provider={_plain(event.provider)}"]
    what.append(f"{what[1]};model={_plain(event.model)}")
    return [first + second for first in whose for second in what]


def values_of(event: UsageRecorded) -> tuple[int, int, int, int, int]:
    """Cost, calls, input tokens, output tokens and unpriced calls."""
    cost = event.cost_nano_usd
    return (cost or 0, 1, event.input_tokens, event.output_tokens, 1 if cost is None else 0)


def _plain(name: str) -> str:
    return "".join(f"%{ord(letter):02X}" if letter in "%;=|" else letter for letter in name)


def _json_int(value: int) -> int | str:
    return value if -(2**63) <= value < 2**64 else str(value)
