"""The canary: a share of what can be asked is asked of the live one and of the new one, and the answers are compared."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from math import ceil
from typing import Any
from zlib import crc32

import orjson

from processors.migration.errors import CanaryDiffersError
from projections.live.digest import how_different

NAMED = 10


@dataclass(slots=True)
class Canary:
    """`share` of all questions, 0..1, and how many answers may differ. `told` is given a line for each of the first that do."""

    share: float
    tolerate: int
    told: Callable[[str], None]
    asked: int = 0
    differences: list[str] = field(default_factory=list)

    def chosen(self, names: Collection[str]) -> list[str]:
        """That share of them, at least one; the same ones each time."""
        many = ceil(self.share * len(names))
        return sorted(names, key=lambda name: (crc32(name.encode()), name))[:many]

    def judge(self, live: Mapping[str, Any], new: Mapping[str, Any]) -> None:
        """Answers by what was asked; one that is missing is None. CanaryDiffersError when more differ than is tolerated."""
        self.asked = len(live.keys() | new.keys())
        self.differences = [
            f"{asked}: {how_different(_text(live.get(asked)), _text(new.get(asked)))}"
            for asked in sorted(live.keys() | new.keys())
            if live.get(asked) != new.get(asked)
        ]
        for difference in self.differences[:NAMED]:
            self.told(difference)
        if len(self.differences) > self.tolerate:
            raise CanaryDiffersError(
                f"{len(self.differences):,} of {self.asked:,} answers differ, {self.tolerate:,} may: what was live stays live, and "
                "what was built stays beside it. When the new answers are the right ones: `interlock migrate run --tolerate "
                f"{len(self.differences)}` goes on"
            )


def _text(answer: Any) -> bytes | None:
    if answer is None:
        return None
    return orjson.dumps(answer, default=repr, option=orjson.OPT_NON_STR_KEYS | orjson.OPT_SORT_KEYS)
