"""Prices: what a call costs, in nano-USD. The one place that knows genai-prices.

The library's data is used as it was installed: nothing is downloaded, so the same version prices the same call
the same way anywhere. A model's rates are compiled once to integers and kept; a call is rounded once, half to even.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from functools import cache, lru_cache
from importlib.metadata import version
from math import lcm
from typing import TYPE_CHECKING

from events.envelope import MAX_LONG
from events.errors import InvalidEventError
from events.money import NANO_PER_USD

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, ModelPrice, Provider, TieredPrices

PRICE_VERSION = f"genai-prices-{version('genai-prices')}"
"""Goes into UsageRecorded.price_version: the price list is the data inside that release."""

_TOKENS_PER_PRICE = 1_000_000
_REQUESTS_PER_PRICE = 1_000
_METERED = ("input_mtok", "output_mtok", "cache_read_mtok", "requests_kcount")
_MODELS_KEPT = 4096
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_US = timedelta(microseconds=1)
_DAY_US = 86_400_000_000


@dataclass(frozen=True, slots=True)
class Rates:
    """Prices of one model while they hold: nano-USD per token or request, numerators over `denominator`."""

    input: int
    cached_input: int
    output: int
    request: int
    denominator: int

    def cost_nano_usd(self, input_tokens: int, cached_input_tokens: int, output_tokens: int) -> int:
        """Price of one call, rounded half to even; `cached_input_tokens` are a part of `input_tokens`."""
        amount = (
            (input_tokens - cached_input_tokens) * self.input
            + cached_input_tokens * self.cached_input
            + output_tokens * self.output
            + self.request
        )
        nano_usd, rest = divmod(amount, self.denominator)
        if 2 * rest > self.denominator or (2 * rest == self.denominator and nano_usd & 1):
            nano_usd += 1
        return nano_usd


@dataclass(frozen=True, slots=True)
class Tiers:
    """Rates by prompt size: `rates[i + 1]` holds for the whole call when its prompt exceeds `above_input_tokens[i]`."""

    above_input_tokens: tuple[int, ...]
    rates: tuple[Rates, ...]

    def rates_for(self, input_tokens: int) -> Rates:
        """The rates of a call with that many prompt tokens, cached ones included."""
        return self.rates[bisect_left(self.above_input_tokens, input_tokens)]


@dataclass(frozen=True, slots=True)
class Schedule:
    """A model's prices over time: by the UTC day they begin on, then by the time of day they change at.

    `tiers[d][t]` holds from `from_days[d]` (days since the epoch) and `from_us_of_day[t]` on; None: not priced by
    what a UsageRecorded counts.
    """

    from_days: tuple[int, ...]
    from_us_of_day: tuple[int, ...]
    tiers: tuple[tuple[Tiers | None, ...], ...]

    def tiers_at(self, at_us: int) -> Tiers | None:
        """What holds at an instant."""
        day, us_of_day = divmod(at_us, _DAY_US)
        row = self.tiers[bisect_right(self.from_days, day) - 1]
        return row[bisect_right(self.from_us_of_day, us_of_day) - 1]


def price_call(
    provider: str,
    model: str,
    at_us: int,
    *,
    input_tokens: int,
    output_tokens: int,
    cached_input_tokens: int = 0,
) -> int | None:
    """Nano-USD of one call at that instant; None when no price is known for it.

    Raises InvalidEventError when a count is negative, more tokens are cached than were sent, or the price exceeds
    64 bits.
    """
    for name, count in (("input_tokens", input_tokens), ("output_tokens", output_tokens)):
        if count < 0:
            raise InvalidEventError("invalid_value", f"{name} must not be negative, not {count}", field=name)
    if not 0 <= cached_input_tokens <= input_tokens:
        raise InvalidEventError(
            "invalid_value",
            f"cached_input_tokens must lie in 0..{input_tokens}, the input_tokens that it is a part of,"
            f" not {cached_input_tokens}",
            field="cached_input_tokens",
        )
    schedule = _schedule(provider, model)
    tiers = schedule.tiers_at(at_us) if schedule else None
    if tiers is None:
        return None
    cost_nano_usd = tiers.rates_for(input_tokens).cost_nano_usd(
        input_tokens, cached_input_tokens, output_tokens
    )
    if cost_nano_usd > MAX_LONG:
        raise InvalidEventError(
            "invalid_value", f"{input_tokens} input_tokens cost more than money can count"
        )
    return cost_nano_usd


@lru_cache(maxsize=_MODELS_KEPT)
def _schedule(provider: str, model: str) -> Schedule | None:
    """All prices of a model, by asking the library once for every stretch in which they cannot change."""
    info = _find(provider, model)
    if info is None:
        return None
    from_days = _edges(_start_days(info))
    from_us_of_day = _edges(_times_of_day_us(info))
    return Schedule(
        from_days,
        from_us_of_day,
        tuple(
            tuple(_tiers(info.get_prices(_EPOCH + (day * _DAY_US + at) * _US)) for at in from_us_of_day)
            for day in from_days
        ),
    )


def _find(provider: str, model: str) -> ModelInfo | None:
    # A snapshot remembers every name it was asked for, and names come from outside: one a question, then dropped.
    from genai_prices.data_snapshot import DataSnapshot  # half a second, for those who price

    snapshot = DataSnapshot(providers=_providers(), from_auto_update=False)
    try:
        return snapshot.find_provider_model(model, None, provider, None)[1]
    except LookupError:
        return None


@cache
def _providers() -> list[Provider]:
    from genai_prices.data import providers  # see _find

    return providers


def _edges(values: Iterator[int]) -> tuple[int, ...]:
    return tuple(sorted({0, *(max(0, value) for value in values)}))


def _start_days(info: ModelInfo) -> Iterator[int]:
    from genai_prices.types import StartDateConstraint  # see _find

    if isinstance(info.prices, list):
        for price in info.prices:
            if isinstance(price.constraint, StartDateConstraint):
                yield (price.constraint.start_date - date(1970, 1, 1)).days


def _times_of_day_us(info: ModelInfo) -> Iterator[int]:
    from genai_prices.types import TimeOfDateConstraint  # see _find

    if isinstance(info.prices, list):
        for price in info.prices:
            if isinstance(price.constraint, TimeOfDateConstraint):
                yield _us_of_day(price.constraint.start_time)
                yield _us_of_day(price.constraint.end_time)


def _us_of_day(at: time) -> int:
    """Time of day in UTC; a naive one is UTC."""
    instant = datetime.combine(_EPOCH.date(), at if at.tzinfo else at.replace(tzinfo=UTC))
    return (instant - _EPOCH) // _US % _DAY_US


def _tiers(price: ModelPrice) -> Tiers | None:
    """Integer rates of one price of the library; None when it charges only by what is not metered (audio, pages).

    A price that charges nothing at all is free.
    """
    charged = [key for key, value in vars(price).items() if value is not None]
    if charged and not any(key in _METERED for key in charged):
        return None
    starts = {tier.start for key in _METERED for tier in getattr(getattr(price, key), "tiers", ())}
    above = tuple(sorted(starts))
    return Tiers(above, tuple(_rates(price, start) for start in (-1, *above)))


def _rates(price: ModelPrice, above_input_tokens: int) -> Rates:
    """Rates for a prompt of just more tokens than that."""
    prompt, completion, cached, request = (_nano_usd(price, key, above_input_tokens) for key in _METERED)
    # Without a price of their own, cached tokens are prompt tokens like the others.
    exact = tuple(
        value or Fraction() for value in (prompt, prompt if cached is None else cached, completion, request)
    )
    denominator = lcm(*(value.denominator for value in exact))
    of_prompt, of_cached, of_completion, of_request = (int(value * denominator) for value in exact)
    return Rates(of_prompt, of_cached, of_completion, of_request, denominator)


def _nano_usd(price: ModelPrice, key: str, above_input_tokens: int) -> Fraction | None:
    """Nano-USD per token or request, exact; None when the key has no price."""
    value: Decimal | TieredPrices | None = getattr(price, key)
    if value is None:
        return None
    if not isinstance(value, Decimal):
        reached = (tier.price for tier in reversed(value.tiers) if above_input_tokens >= tier.start)
        value = next(reached, value.base)
    per = _REQUESTS_PER_PRICE if key == "requests_kcount" else _TOKENS_PER_PRICE
    return Fraction(value) * NANO_PER_USD / per
