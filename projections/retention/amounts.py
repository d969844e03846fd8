"""Ages and sizes as people write them: `90d`, `10GB`."""

from __future__ import annotations

import re

SECOND_US = 1_000_000
DAY_US = 86_400 * SECOND_US
_AGES_US = {
    "s": SECOND_US,
    "min": 60 * SECOND_US,
    "h": 3600 * SECOND_US,
    "d": DAY_US,
    "w": 7 * DAY_US,
    "y": 365 * DAY_US + DAY_US // 4,
}
_SIZES = {"B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_SIZES |= {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}
_FORM = re.compile(r"\s*([0-9]{1,12})\s*([A-Za-z]+)\s*")


def age_us(text: object) -> int:
    """Microseconds of an age such as `90d`; ValueError says how ages are written. A year has 365.25 days."""
    return _amount(text, _AGES_US, "an age", "90d")


def size_bytes(text: object) -> int:
    """Bytes of a size such as `10GB`; ValueError says how sizes are written."""
    return _amount(text, _SIZES, "a size", "10GB")


def _amount(text: object, units: dict[str, int], what: str, example: str) -> int:
    match = _FORM.fullmatch(text) if isinstance(text, str) else None
    if match is None or match[2] not in units or int(match[1]) == 0:
        raise ValueError(
            f"{text!r} is not {what}: write a whole number above 0 and one of {', '.join(units)}, for example {example}"
        )
    return int(match[1]) * units[match[2]]


def written_size(size: int) -> str:
    """A size for people: three digits and a unit."""
    amount, unit = float(size), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if amount < 999.5:
            break
        amount, unit = amount / 1000, larger
    return f"{amount:.3g} {unit}"
