"""Dead letters on a real log: refused, listed, redriven."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from events.broker import create_topics
from events.catalogue import TOPICS
from events.codec import Codec
from events.dead_letters import (
    REDRIVEN_HEADER,
    Letter,
    LetterNotFoundError,
    Refused,
    letters_of,
    read_letters,
    redrive,
)
from events.errors import EventTooLargeError, InvalidEventError, UnknownTopicError
from events.positions import Position
from events.publisher import Encoded, Publisher
from events.reader import LogReader
from events.settings import LogSettings
from tests.integration.conftest import LogSettingsFactory
from tests.integration.log import CODEC, NOW_US, everything, usage

USAGE = TOPICS["usage"]


@pytest.fixture
async def settings(log_settings: LogSettings) -> LogSettings:
    await create_topics(log_settings)
    return log_settings


@pytest.fixture
async def publisher(settings: LogSettings) -> AsyncIterator[Publisher]:
    async with Publisher(settings, CODEC) as started:
        yield started


@pytest.fixture
def reader(settings: LogSettings) -> LogReader:
    return LogReader(settings)


async def refuse_all(reader: LogReader, publisher: Publisher, codec: Codec = CODEC) -> None:
    """What a consumer does: decode the usage records, write a letter for each that is none."""
    for records in (await everything(reader, "usage")).values():
        for record in records:
            try:
                codec.decode(USAGE, record.value)
            except InvalidEventError as error:
                await publisher.append(letters_of(Refused(record, error), "worker", NOW_US))


async def only(reader: LogReader) -> Letter:
    [letter] = await read_letters(reader, CODEC)
    return letter


async def test_a_bad_record_is_a_letter_with_its_place(
    reader: LogReader, publisher: Publisher, settings: LogSettings
) -> None:
    """The good ones beside it are none."""
    await publisher.append([usage()])
    bad = Encoded("usage", b"acme", b"{}", 1_234_567_000, (("traceparent", b"00-1"),))
    [position] = await publisher.append_encoded([bad])
    await publisher.append([usage()])
    await refuse_all(reader, publisher)
    letter = await only(reader)
    assert letter.topic == settings.full_name("usage")
    assert Position("usage", letter.partition, letter.offset + 1) == position
    assert (letter.key, letter.value, letter.reason) == (b"acme", b"{}", "bad_magic")
    assert letter.record_time == 1_234_567_000_000
    assert [(header.name, header.value) for header in letter.headers] == [("traceparent", b"00-1")]


async def test_a_letter_is_redriven_byte_for_byte(
    reader: LogReader, publisher: Publisher, settings: LogSettings
) -> None:
    """The record is appended again, with its key, time and headers, and the letter says so."""
    event = usage()
    raw = CODEC.encode(event)
    await publisher.append_encoded(
        [Encoded("usage", b"acme", b"\0\0\0\0\7" + raw[5:], 1_234_567_000, (("traceparent", b"00-1"),))]
    )
    await refuse_all(reader, publisher)
    letter = await only(reader)
    assert letter.reason == "unknown_schema"
    position = await redrive(letter, publisher, settings, "ann", NOW_US)
    record = (await everything(reader, "usage"))[position.partition][position.offset - 1]
    assert (record.key, record.value, record.timestamp) == (letter.key, letter.value, 1_234_567_000)
    assert list(record.headers) == [("traceparent", b"00-1"), (REDRIVEN_HEADER, letter.letter_id.encode())]
    assert await only(reader) == replace(letter, redriven=True)


async def test_a_record_that_is_still_bad_is_a_letter_again(
    reader: LogReader, publisher: Publisher, settings: LogSettings
) -> None:
    """The first is marked as redriven, the second waits; its header names the last redrive only."""
    await publisher.append_encoded([Encoded("usage", b"acme", b"{}")])
    await refuse_all(reader, publisher)
    await redrive(await only(reader), publisher, settings, "ann", NOW_US)
    await refuse_all(reader, publisher)
    first, second = await read_letters(reader, CODEC)
    assert (first.redriven, second.redriven) == (True, False)
    assert [header.value for header in second.headers] == [first.letter_id.encode()]
    await redrive(second, publisher, settings, "ann", NOW_US)
    await refuse_all(reader, publisher)
    third = (await read_letters(reader, CODEC))[-1]
    assert [header.value for header in third.headers] == [second.letter_id.encode()]


async def test_a_record_of_20_mib_is_a_letter(make_log_settings: LogSettingsFactory) -> None:
    """In parts that fit, put together whole."""
    generous = make_log_settings(partitions=1, max_event_bytes=24 * 2**20)
    await create_topics(generous)
    value = bytes(range(256)) * (20 * 2**12)
    reader = LogReader(generous)
    async with Publisher(generous, CODEC) as publisher:
        await publisher.append_encoded([Encoded("usage", b"acme", value)])
    usual = generous.model_copy(update={"max_event_bytes": 2**20})
    async with Publisher(usual, CODEC) as publisher:
        await refuse_all(reader, publisher)
        letter = await only(reader)
        assert letter.value == value
        with pytest.raises(EventTooLargeError):
            await redrive(letter, publisher, usual, "ann", NOW_US)
    assert not (await only(reader)).redriven


async def test_what_is_no_letter_is_shown_among_the_letters(
    reader: LogReader, publisher: Publisher, settings: LogSettings
) -> None:
    """Somebody wrote nonsense to the topic: it hides nothing, and is not redriven into itself."""
    await publisher.append_encoded([Encoded("dead-letters", b"x", b"nonsense")])
    letter = await only(reader)
    assert (letter.topic, letter.value) == (settings.full_name("dead-letters"), b"nonsense")
    with pytest.raises(LetterNotFoundError, match="dead letters themselves"):
        await redrive(letter, publisher, settings, "ann", NOW_US)


async def test_what_cannot_be_redriven_is_said(
    reader: LogReader, publisher: Publisher, settings: LogSettings
) -> None:
    """A record without a key or a value, and one of another log; nothing is appended."""
    await publisher.append_encoded([Encoded("usage", b"acme", b"{}")])
    await refuse_all(reader, publisher)
    letter = await only(reader)
    for nothing in (replace(letter, key=None), replace(letter, value=None)):
        with pytest.raises(LetterNotFoundError, match="nothing to redrive"):
            await redrive(nothing, publisher, settings, "ann", NOW_US)
    with pytest.raises(UnknownTopicError):
        await redrive(replace(letter, topic="elsewhere.usage"), publisher, settings, "ann", NOW_US)
    assert sum((await reader.ends("usage")).values()) == 1
