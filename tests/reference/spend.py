"""What was spent, told naively: each event on its own, no buckets summed ahead, no caches."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from events.usage_recorded import UsageRecorded

_SUBJECTS = (("org", "org"), ("team", "team"), ("user", "user"), ("key", "api_key"))


def spend_documents(usage: Iterable[UsageRecorded]) -> dict[str, dict[str, object]]:
    """By spend id the JSON document that the live state should hold, from all usage there is (duplicates dropped)."""
    sums: dict[str, dict[int, list[int]]] = defaultdict(lambda: defaultdict(lambda: [0, 0, 0, 0, 0]))
    for event in usage:
        at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=event.occurred_at)
        day = (at.date() - datetime(1970, 1, 1, tzinfo=UTC).date()).days
        quarter = at.hour * 4 + at.minute // 15
        for node in nodes(event):
            line = sums[f"{_plain(event.tenant)}|{node}|{day}"][quarter]
            for index, value in enumerate(_values(event)):
                line[index] += value
    return {
        spend: {
            "day": int(spend.split("|")[2]),
            "rows": [[quarter, *map(_json_int, line)] for quarter, line in sorted(quarters.items())],
        }
        for spend, quarters in sums.items()
    }


def spent_between(usage: Iterable[UsageRecorded], node: str, start_us: int, end_us: int) -> tuple[int, ...]:
    """Cost, calls, input tokens, output tokens and unpriced calls of a node over [start_us, end_us)."""
    lines = [
        _values(event) for event in usage if node in nodes(event) and start_us <= event.occurred_at < end_us
    ]
    return tuple(map(sum, zip(*lines, strict=True))) if lines else (0, 0, 0, 0, 0)


def nodes(event: UsageRecorded) -> list[str]:
    """Names of all that a call is charged to."""
    whose = ["tenant"]
    whose += [f"{word}={_plain(getattr(event, name))}" for word, name in _SUBJECTS if getattr(event, name)]
    what = ["", f";provider={_plain(event.provider)}"]
    what.append(f"{what[1]};model={_plain(event.model)}")
    return [first + second for first in whose for second in what]


def _values(event: UsageRecorded) -> tuple[int, int, int, int, int]:
    cost = event.cost_nano_usd
    return (cost or 0, 1, event.input_tokens, event.output_tokens, 1 if cost is None else 0)


def _plain(name: str) -> str:
    return "".join(f"%{ord(letter):02X}" if letter in "%;=|" else letter for letter in name)


def _json_int(value: int) -> int | str:
    return value if -(2**63) <= value < 2**64 else str(value)
