"""The buckets of a latency sketch, told by whole numbers alone."""

from __future__ import annotations

from bisect import bisect_right

from processors.verify.rollups import first_latencies
from projections.history.sketch import bucket_of


def test_the_first_latency_of_each_bucket_is_that_of_the_sketch() -> None:
    """Also around each bound, where a rounding error would show; what is beyond lies in the last."""
    firsts = first_latencies()
    around = {latency_ms + more for latency_ms in firsts for more in (-1, 0, 1) if latency_ms < 2**40}
    for latency_ms in {*around, *range(-1, 20_000), 2**62}:
        assert bisect_right(firsts, latency_ms) == bucket_of(latency_ms), latency_ms
