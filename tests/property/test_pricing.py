"""Prices equal genai-prices' own Decimal calculation, rounded once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal

from genai_prices import Usage, calc_price
from genai_prices.data import providers
from genai_prices.types import ModelInfo
from hypothesis import example, given, settings
from hypothesis import strategies as st

from events.money import format_usd, parse_usd
from events.pricing import price_call

MODELS = [(provider.id, model.id) for provider in providers for model in provider.models]
TIMED = [
    (provider.id, model.id)
    for provider in providers
    for model in provider.models
    if isinstance(model.prices, list)
]
METERED = {"input_mtok", "output_mtok", "cache_read_mtok", "requests_kcount"}
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
INSTANTS_US = st.integers(1_600_000_000_000_000, 1_900_000_000_000_000)
TOKENS = st.one_of(
    st.sampled_from([0, 1, 128_000, 128_001, 200_000, 200_001, 256_001, 272_001]), st.integers(0, 10**7)
)


def by_library(model: tuple[str, str], at_us: int, prompt: int, cached: int, completion: int) -> int | None:
    """Nano-USD by the library; None where it knows no model or charges only by what usage does not count."""
    usage = Usage(input_tokens=prompt, cache_read_tokens=cached, output_tokens=completion)
    at = EPOCH + timedelta(microseconds=at_us)
    try:
        price = calc_price(usage, model[1], provider_id=model[0], genai_request_timestamp=at)
    except LookupError:
        return None
    assert isinstance(price.model, ModelInfo)
    charged = {key for key, value in vars(price.model_price).items() if value is not None}
    if charged and not charged & METERED:
        return None
    return int((price.total_price * 10**9).quantize(Decimal(1), ROUND_HALF_EVEN))


@settings(max_examples=400)
@example(("deepseek", "deepseek-chat"), 1_748_795_400_000_000, 3, 0, 0)
@given(st.one_of(st.sampled_from(MODELS), st.sampled_from(TIMED)), INSTANTS_US, TOKENS, TOKENS, TOKENS)
def test_a_cost_is_the_librarys_rounded_once(
    model: tuple[str, str], at_us: int, first: int, second: int, completion: int
) -> None:
    """For every model it knows, at any instant, for any split of tokens."""
    prompt, cached = max(first, second), min(first, second)
    cost = price_call(
        *model, at_us, input_tokens=prompt, cached_input_tokens=cached, output_tokens=completion
    )
    assert cost == by_library(model, at_us, prompt, cached, completion)


@given(st.sampled_from(TIMED), st.integers(18_500, 21_500), st.integers(-1, 1))
def test_prices_change_at_the_librarys_instants(model: tuple[str, str], day: int, microsecond: int) -> None:
    """Midnights UTC are where dated prices begin: one microsecond decides."""
    at_us = day * 86_400_000_000 + microsecond
    cost = price_call(*model, at_us, input_tokens=10**6, output_tokens=10**6)
    assert cost == by_library(model, at_us, 10**6, 0, 10**6)


@given(st.integers(-(2**63) + 1, 2**63 - 1))
def test_money_written_and_read_is_the_same_money(nano_usd: int) -> None:
    """Every amount has one spelling, and it is exact."""
    assert parse_usd(format_usd(nano_usd)) == nano_usd
    assert Decimal(format_usd(nano_usd)) * 10**9 == nano_usd
