"""What comparing two states has found, as a table for people and as JSON for programs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from api.cli.output import print_table, say

if TYPE_CHECKING:
    from projections.live.digest import Comparison

SHOWN_DIFFERENCES = 50


def comparison_document(comparison: Comparison, other: str) -> dict[str, Any]:
    """`other` is the name of the side that the live one was compared with."""
    return {
        "equal": comparison.is_equal,
        "digests": {
            side: {
                kind: {"keys": each.keys, "bytes": each.value_bytes, "digest": each.text}
                for kind, each in sorted(held.items())
            }
            for side, held in (("live", comparison.live), (other, comparison.new))
        },
        "unnamed_differences": comparison.unnamed,
        "differences": [{"slot": one.slot, "key": one.key, "how": one.how} for one in comparison.differences],
    }


def print_comparison(comparison: Comparison) -> None:
    """Digests by kind, then the keys that differ."""
    rows = []
    for kind in sorted(comparison.live.keys() | comparison.new.keys()):
        before, after = comparison.live.get(kind), comparison.new.get(kind)
        same = "equal" if before == after else "DIFFERENT"
        shown = after or before
        assert shown is not None
        rows.append((kind, shown.keys, shown.value_bytes, shown.text[:16], same))
    print_table(("kind", "keys", "bytes", "digest", ""), rows, empty="no states")
    for difference in comparison.differences[:SHOWN_DIFFERENCES]:
        say(str(difference))
    more = len(comparison.differences) - SHOWN_DIFFERENCES
    if more > 0:
        say(f"and {more + comparison.unnamed:,} more; --json names {len(comparison.differences):,}")
