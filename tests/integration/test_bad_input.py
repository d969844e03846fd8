"""What no consumer can use, on the log of a worker: it becomes a dead letter, whole, and the partition goes on."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from time import time_ns

import pytest

from events.breaker_overridden import OverrideMode
from events.broker import create_topics
from events.codec import Codec
from events.dead_letters import Letter, redrive
from events.envelope import Event, OutcomeKind
from events.errors import LogUnavailableError
from events.header_names import unkept
from events.partitioner import partition_of
from processors.app import run_worker
from processors.poison import LEAST_RECORDS, TooManyBadRecordsError
from projections.live.slots import TOPICS_OF_LEAD, Slot
from tests.integration.live_server import live_server
from tests.integration.rig import Rig, settings_of_worker
from tests.integration.traffic import adjusted, budget, changed, checked, overridden, routed, usage
from tests.raw_batches import CODECS, Raw, batch_of

MIB = 2**20
HEADERS = (("traceparent", b"00-1"), ("traceparent", b""), ("\u00e9", b"\xff"), ("none", None))
ODD_HEADERS = (("traceparent", b"00-1"), ("\udce9t\udce9", b"summer"), ("\udcff", None))


@pytest.fixture(scope="module")
async def rig(log_address: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Rig]:
    """One worker. Its topics take larger records than it does, as topics do that an operator has made."""
    settings = settings_of_worker(log_address)
    await create_topics(settings.model_copy(update={"max_event_bytes": 32 * MIB}))
    async with (
        live_server(tmp_path_factory.mktemp("live")) as server,
        Rig(settings, server.settings()) as rig,
        rig.worker(),
    ):
        yield rig


def swapped(codec: Codec, old: Event, new: Event, byte: int) -> bytes:
    """The bytes of `old` with another one at the place in which `new` differs."""
    raw, other = bytearray(codec.encode(old)), codec.encode(new)
    [place] = [index for index in range(len(raw)) if raw[index] != other[index]]
    raw[place] = byte
    return bytes(raw)


def _no_symbol(codec: Codec) -> bytes:
    good = usage("bad")
    return swapped(codec, good, replace(good, outcome=OutcomeKind.TIMEOUT), 126)


def _no_text(codec: Codec) -> bytes:
    good = usage("bad", request_id="a")
    return swapped(codec, good, replace(good, request_id="b"), 0xFF)


BAD_BYTES: dict[str, tuple[str, Callable[[Codec], bytes | None]]] = {
    "wrong magic": ("bad_magic", lambda codec: b"\x01" + codec.encode(usage("bad"))[1:]),
    "JSON": ("bad_magic", lambda _: b'{"tenant": "bad"}'),
    "nothing": ("bad_magic", lambda _: b""),
    "tombstone": ("no_value", lambda _: None),
    "unknown schema id": (
        "unknown_schema",
        lambda codec: b"\0\x7f\xff\xff\xff" + codec.encode(usage("bad"))[5:],
    ),
    "truncated": ("bad_avro", lambda codec: codec.encode(usage("bad"))[:-1]),
    "trailing bytes": ("trailing_bytes", lambda codec: codec.encode(usage("bad")) + b"\0"),
    "another type": ("wrong_type", lambda codec: codec.encode(checked("openai", None))),
    "invalid UTF-8": ("bad_avro", _no_text),
    "unknown enum symbol": ("bad_avro", _no_symbol),
    "negative tokens": ("invalid_value", lambda codec: codec.encode(usage("bad", input_tokens=-1))),
    "no UUID": ("invalid_value", lambda codec: codec.encode(usage("bad", event_id="7"))),
    "1970": ("time_out_of_range", lambda codec: codec.encode(usage("bad", occurred_at=0))),
    "2100": (
        "time_out_of_range",
        lambda codec: codec.encode(usage("bad", occurred_at=4_102_444_800_000_000)),
    ),
}
"""Values of usage records: the reason that they are refused for, and their bytes."""


async def lettered(rig: Rig, topic: str, partition: int, offset: int) -> Letter:
    """The one letter of a record."""
    full_name = rig.log.full_name(topic)
    [letter] = [
        letter
        for letter in await rig.letters()
        if (letter.topic, letter.partition, letter.offset) == (full_name, partition, offset)
    ]
    return letter


async def refused(rig: Rig, topic: str, key: bytes | None, value: bytes | None, partition: int) -> Letter:
    """The letter of a record that was appended between two good ones, when all are folded."""
    await rig.append(usage("bad"))
    offset = await rig.append_raw(topic, partition, key=key, value=value, headers=HEADERS)
    await rig.append(usage("bad"))
    await rig.folded()
    letter = await lettered(rig, topic, partition, offset)
    assert (letter.key, letter.value) == (key, value)
    assert unkept(letter.headers) == HEADERS
    return letter


def _once(what: str) -> object:
    """What lies on the log as bytes is the same on every broker; a record without any may not be."""
    return what if what in ("nothing", "tombstone") else pytest.param(what, marks=pytest.mark.any_broker)


@pytest.mark.parametrize("what", [_once(what) for what in BAD_BYTES])
async def test_bad_bytes_are_kept_with_the_reason(rig: Rig, what: str) -> None:
    """Every byte, the key and the headers; the good records around it are counted."""
    reason, make = BAD_BYTES[what]
    letter = await refused(rig, "usage", b"bad", make(rig.codec), partition_of(b"bad", 2))
    assert letter.reason == reason
    assert await rig.violations() == []


async def test_a_record_without_a_key_is_refused(rig: Rig) -> None:
    """It would lie in any partition."""
    letter = await refused(rig, "usage", None, rig.codec.encode(usage("bad")), 0)
    assert letter.reason == "null_key"
    assert await rig.violations() == []


async def test_a_key_in_another_partition_is_refused_with_a_hint(rig: Rig) -> None:
    """Another worker would count the same tenant."""
    elsewhere = 1 - partition_of(b"bad", 2)
    letter = await refused(rig, "usage", b"bad", rig.codec.encode(usage("bad")), elsewhere)
    assert letter.reason == "wrong_partition"
    assert "murmur2_random" in letter.detail
    assert await rig.violations() == []


@pytest.mark.any_broker
async def test_a_key_that_is_not_the_events_is_refused(rig: Rig) -> None:
    """Key and tenant have to agree."""
    letter = await refused(rig, "usage", b"bad", rig.codec.encode(usage("other")), partition_of(b"bad", 2))
    assert letter.reason == "wrong_key"
    assert await rig.violations() == []


@pytest.mark.any_broker
async def test_a_latency_that_is_no_number_is_refused(rig: Rig) -> None:
    """NaN and infinity pass Avro and no further."""
    for latency_ms in (float("nan"), float("inf"), -1.0):
        check = replace(checked("nan", None), latency_ms=latency_ms)
        letter = await refused(rig, "health", b"nan", rig.codec.encode(check), partition_of(b"nan", 2))
        assert letter.reason == "invalid_value"
        assert "latency_ms" in letter.detail
    assert await rig.violations() == []


@pytest.mark.any_broker
@pytest.mark.parametrize("topic", [topic for topics in TOPICS_OF_LEAD.values() for topic in topics])
async def test_garbage_on_any_topic_is_refused(rig: Rig, topic: str) -> None:
    """Each folded topic goes on after it, with the next good event of its own."""
    good: dict[str, Event] = {
        "usage": usage("any"),
        "adjustments": adjusted(usage("any"), 7),
        "budgets": budget("any", 10**9, "later"),
        "routing": routed("any", "openai", "gpt-4o"),
        "health": checked("any", "m"),
        "overrides": overridden("any", "m", OverrideMode.METRICS_ONLY),
        "providers": changed("any", None),
    }
    letter = await refused(rig, topic, b"any", b"garbage", partition_of(b"any", 2))
    assert letter.reason == "bad_magic"
    if topic in good:
        await rig.append(good[topic])
        await rig.folded()
    assert await rig.violations() == []


async def test_a_record_larger_than_an_event_may_be_is_kept_whole(rig: Rig) -> None:
    """20 MiB, in as many parts as it needs, and in its place the partition goes on."""
    large = usage("bad", error="e" * (20 * MIB))
    letter = await refused(rig, "usage", b"bad", rig.codec.encode(large), partition_of(b"bad", 2))
    assert letter.reason == "too_large"
    assert await rig.violations() == []


@pytest.mark.parametrize("codec", CODECS)
async def test_a_header_name_that_is_not_utf8_stops_nothing(rig: Rig, codec: str) -> None:
    """A letter of the record with its name as it was, also when it is appended again; the rest of its batch counts."""
    number = partition_of(b"bad", 2)
    values = [rig.codec.encode(usage("bad")) for _ in range(3)]
    now_us = time_ns() // 1000
    first, odd, last = (
        Raw(b"bad", value, headers, now_us // 1000)
        for value, headers in zip(values, (HEADERS, ODD_HEADERS, ()), strict=True)
    )
    offset = await rig.append_raw_batch("usage", number, batch_of([first, odd, last], codec))
    await rig.folded()
    letter = await lettered(rig, "usage", number, offset + 1)
    assert (letter.reason, letter.key, letter.value) == ("bad_header", odd.key, odd.value)
    assert unkept(letter.headers) == ODD_HEADERS
    again = await redrive(letter, rig.publisher, rig.log, "ann", now_us)
    await rig.folded()
    letter = await lettered(rig, "usage", number, again.offset - 1)
    assert unkept(letter.headers)[:-1] == ODD_HEADERS
    assert await rig.violations() == []


@pytest.mark.embedded
async def test_a_damaged_batch_holds_its_partition_only(
    log_address: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """What lies before it is folded, and all of the others; readers say where it is and what to do."""
    async with (
        live_server(tmp_path_factory.mktemp("live")) as server,
        Rig(settings_of_worker(log_address), server.settings()) as rig,
    ):
        number = partition_of(b"bad", 2)
        other = next(name for name in map(str, range(99)) if partition_of(name.encode(), 2) != number)
        await rig.append(usage("bad"), usage(other))
        batch = batch_of([Raw(b"bad", rig.codec.encode(usage("bad")))])
        batch[-1] ^= 1
        offset = await rig.append_raw_batch("usage", number, batch)
        damaged = rf"{rig.log.full_name('usage')}-{number}: the batch at offset {offset} is damaged"
        async with rig.worker():
            await rig.folded_to(Slot("usage", number), "usage", offset)
            await rig.append(usage(other))
            await rig.folded_to(Slot("usage", 1 - number), "usage", 2)
        with pytest.raises(LogUnavailableError, match=damaged):
            await rig.records("usage")


async def test_too_many_bad_records_stop_the_worker(
    log_address: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """That is an outage of something: it says what it met, and has neither folded nor dead-lettered that batch."""
    async with (
        live_server(tmp_path_factory.mktemp("live")) as server,
        Rig(settings_of_worker(log_address), server.settings()) as rig,
    ):
        count = LEAST_RECORDS + 500
        await rig.append_batch("usage", 0, [b"garbage"] * count)
        with pytest.raises(TooManyBadRecordsError, match=f"{count} of the last {count} .* bad_magic"):
            await run_worker(rig.log, rig.live)
        assert await rig.letters() == []
        assert (await rig.store.checkpoints(rig.slots))[rig.slots[0]].next_offsets == {}
