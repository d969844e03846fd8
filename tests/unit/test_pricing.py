"""Prices: rates by date, time of day and prompt size, rounded once."""

from __future__ import annotations

import socket
from datetime import UTC, datetime

import pytest

from events import pricing
from events.errors import InvalidEventError
from events.pricing import PRICE_VERSION, Rates, price_call


def us(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1_000_000


def test_a_known_call_has_its_list_price() -> None:
    """gpt-4o in November 2023 data: 2.50, 1.25 and 10 USD a million prompt, cached and completion tokens."""
    cost = price_call(
        "openai",
        "gpt-4o",
        us("2024-11-01T00:00"),
        input_tokens=1000,
        cached_input_tokens=100,
        output_tokens=500,
    )
    assert cost == 900 * 2_500 + 100 * 1_250 + 500 * 10_000


@pytest.mark.parametrize("provider, model", [("nobody", "gpt-4o"), ("openai", "no-such-model"), ("", "")])
def test_an_unknown_model_has_no_price(provider: str, model: str) -> None:
    """None, not zero: a call that cannot be priced is not free."""
    assert price_call(provider, model, us("2025-01-01T00:00"), input_tokens=1, output_tokens=1) is None


def test_a_model_sold_by_the_hour_of_audio_has_no_price() -> None:
    """Usage records count tokens; a price per hour cannot be applied to them."""
    assert (
        price_call("groq", "whisper-large-v3", us("2025-01-01T00:00"), input_tokens=9, output_tokens=0)
        is None
    )


def test_the_time_of_day_decides_where_the_list_says_so() -> None:
    """DeepSeek's off-peak price of 2025 began at 16:30 UTC, to the microsecond."""
    begins = us("2025-06-01T16:30")
    peak, off_peak = (
        price_call("deepseek", "deepseek-chat", at, input_tokens=1_000_000, output_tokens=0)
        for at in (begins - 1, begins)
    )
    assert peak is not None
    assert off_peak is not None
    assert off_peak < peak


def test_a_prompt_beyond_a_tier_pays_its_rate_for_all_tokens() -> None:
    """A tier begins above its bound, and then holds for the whole call."""
    at_bound, above = (
        price_call("google", "gemini-2.5-pro", us("2025-09-01T00:00"), input_tokens=tokens, output_tokens=0)
        for tokens in (200_000, 200_001)
    )
    assert at_bound == 200_000 * 1_250
    assert above == 200_001 * 2_500


@pytest.mark.parametrize("input_tokens, nano_usd", [(1, 0), (3, 2), (5, 2), (6, 3)])
def test_a_cost_is_rounded_once_half_to_even(input_tokens: int, nano_usd: int) -> None:
    """0.5, 1.5 and 2.5 nano-USD go to the even neighbour."""
    rates = Rates(input=1, cached_input=1, output=0, request=0, denominator=2)
    assert rates.cost_nano_usd(input_tokens, 0, 0) == nano_usd


@pytest.mark.parametrize(
    "tokens, field",
    [
        ({"input_tokens": -1, "output_tokens": 0}, "input_tokens"),
        ({"input_tokens": 0, "output_tokens": -1}, "output_tokens"),
        ({"input_tokens": 1, "output_tokens": 0, "cached_input_tokens": 2}, "cached_input_tokens"),
        ({"input_tokens": 1, "output_tokens": 0, "cached_input_tokens": -1}, "cached_input_tokens"),
    ],
)
def test_impossible_token_counts_are_refused_by_name(tokens: dict[str, int], field: str) -> None:
    """The error names the field that cannot be."""
    with pytest.raises(InvalidEventError) as refused:
        price_call("openai", "gpt-4o", us("2025-01-01T00:00"), **tokens)
    assert refused.value.field == field


def test_a_price_beyond_64_bits_is_refused() -> None:
    """Money is a 64-bit integer on the log."""
    with pytest.raises(InvalidEventError):
        price_call("openai", "gpt-4o", us("2025-01-01T00:00"), input_tokens=2**63 - 1, output_tokens=0)


def test_pricing_needs_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """The price list is the installed one; nothing is fetched."""

    def refuse(*_: object) -> None:
        raise AssertionError("pricing opened a connection")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    pricing._schedule.cache_clear()
    assert price_call("openai", "gpt-4o", us("2025-01-01T00:00"), input_tokens=1, output_tokens=1) is not None


def test_the_price_version_names_the_list() -> None:
    """With it a cost can be explained, and repriced, later."""
    assert PRICE_VERSION.startswith("genai-prices-0.2")


def test_strange_model_names_are_not_remembered_for_ever() -> None:
    """Names come from outside; what is kept of them is bounded."""
    bound = pricing._schedule.cache_info().maxsize
    assert bound is not None
    for number in range(50):
        price_call("openai", f"junk-{number}", 0, input_tokens=1, output_tokens=1)
    assert pricing._schedule.cache_info().currsize <= bound
