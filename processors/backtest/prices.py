"""New prices: what a recorded call would have cost. Exact, by the integers of events.pricing."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import astuple, dataclass, field
from typing import Any, NamedTuple

import orjson

from events.envelope import MAX_LONG
from events.errors import InvalidEventError
from events.pricing import PRICE_VERSION, Rates, price_call

TOKENS_PER_PRICE = 1_000_000
_NOTHING_SENT = {"input_tokens": 0, "output_tokens": 0}


def rates(
    *, input_nano_usd: int, cached_input_nano_usd: int, output_nano_usd: int, request_nano_usd: int
) -> Rates:
    """Rates of nano-USD per million tokens, and per request."""
    return Rates(
        input_nano_usd,
        cached_input_nano_usd,
        output_nano_usd,
        request_nano_usd * TOKENS_PER_PRICE,
        TOKENS_PER_PRICE,
    )


class Priced(NamedTuple):
    """What a call costs, and by which prices."""

    cost_nano_usd: int
    version: str


@dataclass(frozen=True, slots=True)
class Prices:
    """`models`: by (provider, model), in the place of whatever its calls cost. `from_list`: all others that the installed
    price list knows are priced by it; else they cost what they did.
    """

    models: Mapping[tuple[str, str], Rates] = field(default_factory=dict)
    from_list: bool = False
    version: str = field(init=False)
    """Names the prices of `models`: the same for the same prices, however they are written."""

    def __post_init__(self) -> None:
        spelled = orjson.dumps(sorted((key, astuple(rates)) for key, rates in self.models.items()))
        object.__setattr__(self, "version", f"prices-{hashlib.sha256(spelled).hexdigest()[:16]}")

    @property
    def name(self) -> str:
        """Names all of these prices, those of the list as well."""
        return f"{self.version}, else {PRICE_VERSION}" if self.from_list else self.version

    def cost_nano_usd(self, usage: Mapping[str, Any]) -> int | None:
        """What a usage record would have cost; None: no price is known."""
        priced = self.priced(usage)
        recorded: int | None = usage["cost_nano_usd"]
        return recorded if priced is None else priced.cost_nano_usd

    def priced(self, usage: Mapping[str, Any]) -> Priced | None:
        """What these prices say of a usage record, None when nothing. What gives money back is no call: it stays."""
        if (usage["cost_nano_usd"] or 0) < 0:
            return None
        sent, answered = usage["input_tokens"], usage["output_tokens"]
        cached = min(usage["cached_input_tokens"], sent)
        provider, model = usage["provider"], usage["model"]
        known = self.models.get((provider, model))
        if known is not None:
            cost = known.cost_nano_usd(sent, cached, answered)
            return Priced(cost, self.version) if cost <= MAX_LONG else None
        if not self.from_list:
            return None
        tokens = {"input_tokens": sent, "output_tokens": answered, "cached_input_tokens": cached}
        listed = _listed(provider, model, usage["occurred_at"], tokens)
        return None if listed is None else Priced(listed, PRICE_VERSION)

    def tell_of(self, provider: str, model: str, at_us: int) -> bool:
        """Whether they say what a call to a model costs that happens then."""
        if (provider, model) in self.models:
            return True
        return self.from_list and _listed(provider, model, at_us, _NOTHING_SENT) is not None


def _listed(provider: str, model: str, at_us: int, tokens: Mapping[str, int]) -> int | None:
    """Nano-USD by the installed price list."""
    try:
        return price_call(provider, model, at_us, **tokens)
    except InvalidEventError:
        return None
