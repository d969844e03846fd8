"""Figures of the analytics at the edge: money is a decimal string, also where it is a figure among others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field

from events.money import format_usd

NANO, USD = "_nano_usd", "_usd"

Figure = Annotated[float | str, Field(description="A number; of money a decimal string of US dollars.")]


def at_edge(values: Mapping[str, Any]) -> dict[str, Any]:
    """Figures by name, with money as it is written at the edge."""
    return {
        name.removesuffix(NANO) + USD if name.endswith(NANO) else name: (
            format_usd(int(value)) if name.endswith(NANO) else value
        )
        for name, value in values.items()
    }
