"""Which rows of a month a policy takes: as a predicate here, and as SQL in selection_sql.py; a test holds them equal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from projections.retention.condition import Condition, Value, holds
from projections.retention.glob import matches


@dataclass(frozen=True, slots=True)
class Span:
    """Offsets [start, end) of one partition."""

    start: int
    end: int

    def covers(self, other: Span) -> bool:
        """Whether all of the other lies in this one."""
        return self.start <= other.start and other.end <= self.end


Spans = Mapping[int, Span]
"""By the partition's number, of one topic."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Rows of one table: of these tenants, older than that, for which the condition holds, and within the spans.

    The spans are what every projection has consumed and the archive holds: a partition that is not among them is not
    touched. `before_us` None: of any age. `appended_before_us` is the same by the record's time instead of the event's.
    """

    tenants: tuple[str, ...]
    except_tenants: tuple[str, ...]
    condition: Condition | None
    before_us: int | None
    spans: tuple[tuple[int, Span], ...]
    appended_before_us: int | None = None

    def takes(self, row: Mapping[str, Value | None]) -> bool:
        """Whether a row is one of them; `occurred_at` and `appended_at` of the row in microseconds."""
        partition, offset = row["log_partition"], row["log_offset"]
        occurred_at, tenant = row["occurred_at"], row["tenant"]
        assert isinstance(offset, int)
        assert isinstance(occurred_at, int)
        return (
            any(number == partition and span.start <= offset < span.end for number, span in self.spans)
            and (self.before_us is None or occurred_at < self.before_us)
            and (self.appended_before_us is None or int(str(row["appended_at"])) < self.appended_before_us)
            and matches(self.tenants, str(tenant))
            and not matches(self.except_tenants, str(tenant))
            and (self.condition is None or holds(self.condition, row) is True)
        )


@dataclass(frozen=True, slots=True)
class RefusedSelection:
    """Records of a topic that were no events, with record times before that, within the spans."""

    topic: str
    before_us: int
    spans: tuple[tuple[int, Span], ...]
