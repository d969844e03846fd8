"""Whatever lies on the log comes out of the archive to the byte, and whatever is shown as an event can be read as one."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from typing import Any

import fastavro
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.usage_records import usage_records
from events.catalogue import TOPICS, Topic
from events.codec import HEADER_BYTES
from events.codec import Codec as EventCodec
from events.header_names import name_of
from events.positions import Partition
from events.registry import FolderRegistry
from events.settings import LogSettings
from projections.archive.avro_file import AvroFile
from projections.archive.records import ArchivedRecord, in_order, records_of
from projections.archive.segment import Segment
from projections.archive.settings import ArchiveSettings, Codec, Layout
from projections.archive.sink import forms_of
from tests.avro_strategies import values_of

REGISTRY = FolderRegistry()
COMPRESSOR = ThreadPoolExecutor(1)
FORMS = {layout: forms_of(ArchiveSettings(layout=layout), LogSettings()) for layout in Layout}
LONGS = st.integers(-(2**63), 2**63 - 1)
NAMES = st.text(max_size=5) | st.binary(max_size=5).map(name_of)
HEADERS = st.lists(st.tuples(NAMES, st.none() | st.binary(max_size=8)), max_size=3).map(tuple)


def written(topic: Topic, value: Any) -> bytes:
    """A value as an event of the topic, whatever sense it makes."""
    schema_id, version = REGISTRY.newest(topic)
    out = BytesIO()
    fastavro.schemaless_writer(out, version.plain, value)
    return b"\0" + schema_id.to_bytes(4, "big") + out.getvalue()


@st.composite
def damaged(draw: st.DrawFn, topic: Topic) -> bytes:
    """An event with a byte altered, cut short or made longer."""
    whole = written(topic, draw(values_of(REGISTRY.newest(topic)[1].plain)))
    at = draw(st.integers(0, len(whole) - 1))
    put = draw(st.binary(max_size=3))
    return whole[:at] + put + whole[at + draw(st.integers(0, 3)) :]


def values(topic: Topic) -> st.SearchStrategy[bytes | None]:
    """Events, damaged events, anything and nothing."""
    events = values_of(REGISTRY.newest(topic)[1].plain).map(lambda value: written(topic, value))
    return events | events | damaged(topic) | st.binary(max_size=20) | st.none()


@st.composite
def logs(draw: st.DrawFn) -> tuple[Topic, list[list[ArchivedRecord]]]:
    """Some batches of a partition."""
    topic = draw(st.sampled_from(list(TOPICS.values())))
    rows = draw(
        st.lists(
            st.tuples(
                LONGS | st.just(1_700_000_000_000), st.none() | st.binary(max_size=9), values(topic), HEADERS
            ),
            min_size=1,
            max_size=12,
        )
    )
    first = draw(st.integers(0, 2**40) | st.just(60))
    records = [ArchivedRecord(topic.name, 0, first + number, *row) for number, row in enumerate(rows)]
    cut = draw(st.integers(0, len(records)))
    return topic, [part for part in (records[:cut], records[cut:]) if part]


@given(logs(), st.sampled_from(list(Codec)), st.sampled_from(list(Layout)))
@settings(max_examples=150, deadline=None)
def test_records_come_back_to_the_byte(
    log: tuple[Topic, list[list[ArchivedRecord]]], codec: Codec, layout: Layout
) -> None:
    """And a general reader, with times as times, reads every file to its end."""
    topic, batches = log
    records = [record for batch in batches for record in batch]
    archive = ArchiveSettings(codec=codec, layout=layout)
    segment = Segment(
        Partition(topic.name, 0),
        records[0].offset,
        0,
        None,
        0.0,
        archive,
        FORMS[layout][topic.name],
        COMPRESSOR,
    )
    for batch in batches:
        segment.add(batch)
    closed = segment.closed(1)
    raw = [b"".join(chunks) for chunks in closed.contents.values()]
    assert list(in_order([records_of(AvroFile.of("file", one)) for one in raw])) == records
    rows: list[Any] = [row for one in raw for row in fastavro.reader(BytesIO(one))]
    assert sorted(row["offset"] for row in rows) == [record.offset for record in records]
    assert closed.manifest.undecoded == sum(row["event"] is None for row in rows)


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_an_event_is_shown_as_one_when_a_general_reader_takes_it(data: st.DataObject) -> None:
    """Neither more nor less: the quick way decides as the slow one."""
    topic = data.draw(st.sampled_from(list(TOPICS.values())))
    found = [
        value for value in data.draw(st.lists(values(topic), min_size=1, max_size=8)) if value is not None
    ]
    form = FORMS[Layout.PLAIN][topic.name].newest()
    assert form.whole is not None
    framed = [form.framing + value[HEADER_BYTES:] for value in found]
    if not framed:
        return
    quick = form.whole.find(framed, np.array([len(value) for value in framed]), HEADER_BYTES).whole.tolist()
    for value, whole in zip(framed, quick, strict=True):
        assert not whole or form.is_event(value)


def test_ordinary_events_need_no_second_look() -> None:
    """The quick way decides on them alone: a fall-back on all would be seen in nothing but the speed."""
    found = [one.value for one in usage_records(EventCodec(REGISTRY), 500, 1_760_000_000_000_000)]
    form = FORMS[Layout.PLAIN]["usage"].newest()
    assert form.whole is not None
    assert form.whole.find(found, np.array([len(one) for one in found]), HEADER_BYTES).whole.all()
