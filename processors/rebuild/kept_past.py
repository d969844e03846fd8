"""The past of a slot that is opened again and again by one rebuild: what it remembers is not read from the log anew."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from processors.dedupe import Horizon, Seen
from processors.recorded import Past


@dataclass(frozen=True, slots=True)
class KeptPast(Past):
    """Keeps the duplicate horizons as the last fold left them: reading them back takes as long as folding minutes of
    traffic, and the live generation stands still meanwhile.
    """

    _seen: dict[str, Seen] = field(default_factory=dict)
    _ends: dict[str, int] = field(default_factory=dict)

    async def seen(self, topic_name: str, horizon: Horizon, end: int) -> Seen:
        """As Past.seen; what is kept only when it is of that horizon and that offset."""
        held = self._seen.get(topic_name)
        if held is None or held.horizon != horizon or self._ends.get(topic_name) != end:
            held = await Past.seen(self, topic_name, horizon, end)
            self._seen[topic_name] = held
        return held

    def came_to(self, next_offsets: Mapping[str, int]) -> None:
        """The fold that had the horizons has ended well there, and all of it is committed."""
        self._ends.update(next_offsets)

    def forget(self) -> None:
        """What a fold that failed has remembered may not be committed."""
        self._seen.clear()
        self._ends.clear()
