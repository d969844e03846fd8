"""Money: an integer of nano-USD inside, a decimal string at the edge. Exact both ways, never a float."""

from __future__ import annotations

import re

from events.envelope import MAX_LONG

NANO_DIGITS = 9
NANO_PER_USD = 1_000_000_000

_DECIMAL = re.compile(r"(-?)([0-9]{1,12})(?:\.([0-9]{1,12}))?")


def parse_usd(text: str) -> int:
    """Nano-USD of a decimal string such as `12.5`, `0.000000001` or `-3`.

    Raises ValueError when the text is anything else (an exponent, a sign `+`, blanks, separators), is finer than
    one nano-USD, or exceeds 64 bits. Nothing is rounded here: what cannot be said exactly is refused.
    """
    match = _DECIMAL.fullmatch(text)
    if match is None:
        raise ValueError(f"must be US dollars as a decimal string, for example 12.50, not {text[:40]!r}")
    sign, whole, fraction = match[1], match[2], (match[3] or "").rstrip("0")
    if len(fraction) > NANO_DIGITS:
        raise ValueError(f"must have at most {NANO_DIGITS} digits after the point, not {text!r}")
    nano_usd = int(whole) * NANO_PER_USD + int(fraction.ljust(NANO_DIGITS, "0"))
    if nano_usd > MAX_LONG:
        raise ValueError(f"must be at most {format_usd(MAX_LONG)} USD, not {text!r}")
    return -nano_usd if sign else nano_usd


def format_usd(nano_usd: int) -> str:
    """The shortest decimal string of an amount, for example `12.5`: no exponent, no trailing zeros."""
    whole, fraction = divmod(abs(nano_usd), NANO_PER_USD)
    sign = "-" if nano_usd < 0 else ""
    digits = f"{fraction:0{NANO_DIGITS}d}".rstrip("0")
    return f"{sign}{whole}.{digits}" if digits else f"{sign}{whole}"
