"""Windows are sums: whatever the batches, restarts and repetitions, they equal a naive grouping."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from events.envelope import OutcomeKind
from events.positions import Partition
from events.settings import LogSettings
from events.usage_recorded import UsageRecorded
from projections.analytics.admission import Admission
from projections.analytics.checkpoints import Checkpoint
from projections.analytics.documents import failures_of, read_window
from projections.analytics.drafts import drafts
from projections.analytics.gathering import Gathering
from projections.analytics.latency import BOUNDS_MS, bucket_of, percentile_ms
from projections.analytics.windows import Key, Lengths, Window, latencies
from projections.tip import tip_of
from tests.integration.analytics.records import HOUR_US, naive_totals, records
from tests.integration.log import CODEC, NOW_US, usage

PLACE = Partition("usage", 0)
LENGTHS = Lengths()

calls = st.builds(
    usage,
    tenant=st.sampled_from(["acme", "globex"]),
    user=st.sampled_from([None, "ann", "bob"]),
    model=st.sampled_from(["gpt-4o", "gpt-4o-mini"]),
    occurred_at=st.integers(0, 30).map(lambda ago: NOW_US - ago * HOUR_US // 5),
    outcome=st.sampled_from(OutcomeKind),
    input_tokens=st.integers(0, 10**6),
    output_tokens=st.integers(0, 10**6),
    latency_ms=st.integers(0, 10**6),
    cost_nano_usd=st.one_of(st.none(), st.integers(-(10**12), 10**12)),
    attempt=st.integers(1, 3),
)

Store = dict[Key, Window]


class Process:
    """A sink without its connections: it gathers, and writes to a store that outlives it."""

    def __init__(self, store: Store, checkpoint: Checkpoint) -> None:
        admission = Admission(PLACE, CODEC, LogSettings(partitions=1), checkpoint.since)
        self.held = Gathering(PLACE, admission, checkpoint, checkpoint.since)
        self._store = store

    def take(self, events: Sequence[UsageRecorded], start: int) -> None:
        """Fold records from an offset on."""
        made = records(events, start)
        changes = self.held.changes(made, LENGTHS)
        for key in self.held.unknown(changes):
            kept = self._store.get(key)
            self.held.windows[key] = Window(key, {}) if kept is None else _copy(kept)
        self.held.apply(changes)
        if made:
            self.held.advance(tip_of(made[-1]), 0.0)

    def write(self, at_most: int) -> Checkpoint | None:
        """Write at most so many windows; all of them: then the checkpoint too."""
        target = self.held.target()
        for key in sorted(self.held.changed)[:at_most]:
            self.held.windows[key].applied = target.next_offset
            self._store[key] = _copy(self.held.windows[key])
        if at_most < len(self.held.changed):
            return None
        self.held.written(target, 2)
        return target


def _copy(window: Window) -> Window:
    """As it is read back from its document."""
    return read_window(drafts(window)[-1].metadata)


@given(
    st.lists(calls, max_size=60),
    st.lists(st.tuples(st.integers(1, 20), st.integers(0, 8), st.booleans()), max_size=30),
)
def test_windows_equal_a_naive_grouping_whatever_the_batches_and_crashes(
    events: list[UsageRecorded], steps: list[tuple[int, int, bool]]
) -> None:
    """Each step takes a batch, may write some windows of it, and may be the process's last."""
    store: Store = {}
    checkpoint = Checkpoint()
    process = Process(store, checkpoint)
    for size, written, crashes in [*steps, (1, 0, True), (len(events) + 1, len(events) + 1, False)]:
        start = process.held.next_offset
        process.take(events[start : start + size], start)
        checkpoint = process.write(written) or checkpoint
        if crashes:
            process = Process(store, checkpoint)
    last = process.held.next_offset
    process.take(events[last:], last)
    assert process.write(len(events) + 1) is not None
    expected = naive_totals(events)
    assert {_place(key): _totals(window) for key, window in store.items()} == expected


def _place(key: Key) -> tuple[str, str, str, str, int]:
    return key.tenant, key.user, key.provider, key.model, key.start_us


def _totals(window: Window) -> Counter[str]:
    sums = window.sums
    names = ("calls", "cost_nano_usd", "input_tokens", "output_tokens")
    return Counter({name: sums.get(name, 0) for name in names} | {"failures": failures_of(sums)})


@given(st.lists(calls, min_size=1, max_size=20), st.lists(calls, max_size=5))
def test_repeated_events_change_nothing(events: list[UsageRecorded], others: list[UsageRecorded]) -> None:
    """The same id twice on the log is one call."""
    once, twice = Process({}, Checkpoint()), Process({}, Checkpoint())
    once.take([*events, *others], 0)
    twice.take([*events, *others, *events], 0)
    assert once.held.windows == twice.held.windows


@given(st.lists(calls, min_size=1, max_size=20))
def test_a_window_is_read_back_as_it_was_written(events: list[UsageRecorded]) -> None:
    """The document that carries the sums loses nothing of them."""
    process = Process({}, Checkpoint())
    process.take(events, 0)
    for window in process.held.windows.values():
        assert _copy(window) == window


@given(st.lists(st.integers(0, 7 * 86_400_000), min_size=1, max_size=200), st.sampled_from([0.5, 0.95, 0.99]))
def test_a_percentile_is_at_most_a_twentieth_too_high(values: list[int], share: float) -> None:
    """Never too low, whatever the latencies."""
    buckets = Counter(bucket_of(value) for value in values)
    exact = next(value for index, value in enumerate(sorted(values), 1) if index >= share * len(values))
    found = percentile_ms(buckets, share)
    assert exact <= found <= max(exact + 1, exact * 1.05 + 1)


@given(st.lists(calls, min_size=1, max_size=20))
def test_latencies_lie_in_buckets_of_the_sums(events: list[UsageRecorded]) -> None:
    """As many as there were calls."""
    process = Process({}, Checkpoint())
    process.take(events, 0)
    held = process.held.windows.values()
    assert sum(sum(latencies(window.sums).values()) for window in held) == len(events)
    assert all(bucket < len(BOUNDS_MS) for window in held for bucket in latencies(window.sums))
