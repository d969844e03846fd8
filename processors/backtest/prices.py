"""New prices: what a recorded call would have cost. Exact, by the integers of events.pricing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from events.errors import InvalidEventError
from events.pricing import Rates, price_call

TOKENS_PER_PRICE = 1_000_000


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


@dataclass(frozen=True, slots=True)
class Prices:
    """`models`: by (provider, model), in the place of whatever its calls cost. `from_list`: all others that the installed
    price list knows are priced by it; else they cost what they did.
    """

    models: Mapping[tuple[str, str], Rates] = field(default_factory=dict)
    from_list: bool = False

    def cost_nano_usd(self, usage: Mapping[str, Any]) -> int | None:
        """What a usage record would have cost; None: no price is known. What gives money back is no call: it stays."""
        recorded: int | None = usage["cost_nano_usd"]
        if recorded is not None and recorded < 0:
            return recorded
        sent, answered = usage["input_tokens"], usage["output_tokens"]
        cached = min(usage["cached_input_tokens"], sent)
        provider, model = usage["provider"], usage["model"]
        known = self.models.get((provider, model))
        if known is not None:
            return known.cost_nano_usd(sent, cached, answered)
        if not self.from_list:
            return recorded
        try:
            listed = price_call(
                provider,
                model,
                usage["occurred_at"],
                input_tokens=sent,
                output_tokens=answered,
                cached_input_tokens=cached,
            )
        except InvalidEventError:
            return recorded
        return recorded if listed is None else listed
