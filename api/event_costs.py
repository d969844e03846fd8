"""What a call costs, as the edge takes it: US dollars as a decimal string, nano-USD, or nothing, and then it is priced."""

from __future__ import annotations

from typing import Any

from events.envelope import MAX_LONG, Event
from events.errors import InvalidEventError
from events.money import parse_usd
from events.pricing import PRICE_VERSION, price_call
from events.routing_decided import RoutingDecided
from events.usage_recorded import UsageRecorded

MONEY: dict[type[Event], tuple[str, str]] = {
    UsageRecorded: ("cost_usd", "cost_nano_usd"),
    RoutingDecided: ("estimated_cost_usd", "estimated_cost_nano_usd"),
}
"""Field of `data` that holds US dollars as a decimal string, and the event's field that it fills."""

_TOKENS = ("input_tokens", "output_tokens", "cached_input_tokens")


class CostError(Exception):
    """A cost cannot be understood; `field` is the field of `data` that is wrong, None when it is no single one."""

    def __init__(self, detail: str, field: str | None) -> None:
        super().__init__(detail)
        self.field = field


def fill_cost(kind: type[Event], record: dict[str, Any]) -> None:
    """Put nano-USD in the place of US dollars, and price a call that came without a cost."""
    if kind not in MONEY:
        return
    outside, inside = MONEY[kind]
    if outside in record:
        _read_usd(record, outside, inside)
    if kind is UsageRecorded and record.get(inside) is None:
        _price(record)


def _read_usd(record: dict[str, Any], outside: str, inside: str) -> None:
    given = record.pop(outside)
    if given is None:
        return
    if record.get(inside) is not None:
        raise CostError(f"is given beside {inside}: give one of them", outside)
    if not isinstance(given, str):
        raise CostError('must be US dollars as a decimal string, for example "0.001234"', outside)
    try:
        record[inside] = parse_usd(given)
    except ValueError as error:
        raise CostError(str(error), outside) from None


def _price(record: dict[str, Any]) -> None:
    """The price of the call's own time. What cannot be priced for its types is left to the event's validator."""
    provider, model = record.get("provider"), record.get("model")
    counts = [record.get(name, 0) for name in _TOKENS]
    if not isinstance(provider, str) or not isinstance(model, str) or not all(map(_is_count, counts)):
        return
    sent, answered, cached = counts
    try:
        cost_nano_usd = price_call(
            provider,
            model,
            record["occurred_at"],
            input_tokens=sent,
            output_tokens=answered,
            cached_input_tokens=cached,
        )
    except InvalidEventError as error:
        raise CostError(error.detail, error.field) from None
    if cost_nano_usd is not None:
        record["cost_nano_usd"] = cost_nano_usd
        record["price_version"] = PRICE_VERSION


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value <= MAX_LONG
