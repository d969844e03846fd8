"""What a repair has done."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Mended:
    """One key, and what was done with it: `written`, `written anew`, `taken out`, `refused`, `summed up anew`."""

    place: str
    key: str
    done: str

    def __str__(self) -> str:
        return f"{self.place} {self.key}: {self.done}"
