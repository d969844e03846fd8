"""Where a slot is, as its meta hash says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from projections.made_with import MadeWith
from projections.tip import Tip

_NEXT = "next:"
_DERIVED = "derived:"
_TIP = "tip:"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Offsets are the next ones, `tips` the last record folded of each topic. Outbox entries were numbered up to `outbox_seq`; up to `published_seq` the log has them.

    A slot that was never acquired, or that was lost, has epoch 0 and no offsets.
    """

    epoch: int
    owner: str
    revision: int
    clock_us: int
    outbox_seq: int
    published_seq: int
    next_offsets: dict[str, int]
    derived: dict[str, int]
    made_with: MadeWith
    tips: dict[str, Tip]

    @classmethod
    def from_hash(cls, fields: Mapping[bytes, bytes]) -> Checkpoint:
        """The checkpoint that the fields of the meta hash spell."""
        text = {name.decode(): value.decode() for name, value in fields.items()}
        return cls(
            epoch=int(text.get("epoch", "0")),
            owner=text.get("owner", ""),
            revision=int(text.get("revision", "0")),
            clock_us=int(text.get("clock_us", "0")),
            outbox_seq=int(text.get("outbox_seq", "0")),
            published_seq=int(text.get("published_seq", "0")),
            next_offsets=_numbers(text, _NEXT),
            derived=_numbers(text, _DERIVED),
            made_with=MadeWith.from_text(text.get("made_with")),
            tips={
                name.removeprefix(_TIP): Tip.parse(tip) for name, tip in text.items() if name.startswith(_TIP)
            },
        )


def _numbers(text: Mapping[str, str], prefix: str) -> dict[str, int]:
    return {name.removeprefix(prefix): int(value) for name, value in text.items() if name.startswith(prefix)}
