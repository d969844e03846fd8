"""What a drill tells of its proofs and its phases."""

from __future__ import annotations

from api.drill import ANALYTICS_BACK, HISTORY_BACK, LIVE_BACK, DrillFound, Phase
from events.positions import Partition
from processors.verify.analytics_group import AnalyticsFound
from processors.verify.history import HistoryFound
from processors.verify.live import Verified
from projections.archive.restore_proof import Proved
from projections.live.canonical import encode
from projections.live.digest import LIVE_AND_LOG, Comparison


def test_whatever_differs_makes_the_drill_fail() -> None:
    """A record of the log, a key of the live state, a row of the history and a document, each by itself."""
    same = Proved(Partition("usage", 0), 5, "a", "a", None)
    other = Proved(Partition("usage", 0), 5, "a", "b", "the record at 3 is another one")

    def found(log: Proved, live: Comparison, history: Comparison, analytics: Comparison) -> list[str]:
        verified = Verified(1, live, {}, 5, 0.1)
        return DrillFound([log], verified, HistoryFound(history), AnalyticsFound(analytics), ()).unequal

    def different() -> Comparison:
        comparison = Comparison(LIVE_AND_LOG)
        comparison.add("usage.0", {"spend:acme": encode({"cost": 1})}, {"spend:acme": encode({"cost": 2})})
        return comparison

    equal = Comparison(LIVE_AND_LOG)
    assert found(same, equal, equal, equal) == []
    assert found(other, equal, equal, equal) == ["log"]
    assert found(same, different(), equal, equal) == ["live"]
    assert found(same, equal, different(), equal) == ["history"]
    assert found(same, equal, equal, different()) == ["analytics"]


def test_proofs_are_no_part_of_the_time_to_recover() -> None:
    """A store is back when all before it is back too."""
    phases = (
        Phase("servers started", 1.0, back=True),
        Phase(LIVE_BACK, 2.0, back=True),
        Phase("a proof", 100.0, back=False),
        Phase(HISTORY_BACK, 4.0, back=True),
        Phase(ANALYTICS_BACK, 8.0, back=True),
    )
    verified = Verified(1, Comparison(LIVE_AND_LOG), {}, 0, 0.0)
    drill = DrillFound([], verified, HistoryFound(), AnalyticsFound(), phases)
    assert [drill.rto_s(name) for name in (LIVE_BACK, HISTORY_BACK, ANALYTICS_BACK)] == [3.0, 7.0, 15.0]
