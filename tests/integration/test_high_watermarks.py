"""Where the log ends, whatever batches it was appended in."""

from __future__ import annotations

import pytest

from events.broker import create_topics
from events.codec import Codec
from events.log_ends import LogEnds
from events.positions import Partition
from events.publisher import Encoded, Publisher
from events.reader import LogReader
from events.registry import FolderRegistry
from events.settings import LogSettings


@pytest.mark.parametrize("batch", [1, 2, 500])
async def test_a_partition_ends_after_the_last_record_of_its_last_batch(
    log_settings: LogSettings, batch: int
) -> None:
    """The reader and the consistency waits are told the position that the append returned, not one within its batch."""
    await create_topics(log_settings)
    async with (
        Publisher(log_settings, Codec(FolderRegistry())) as publisher,
        LogEnds(log_settings) as log_ends,
    ):
        await publisher.append_encoded([Encoded("usage", b"acme", b"x")] * batch)
        last = (await publisher.append_encoded([Encoded("usage", b"acme", b"x")] * batch))[-1]
        assert (await LogReader(log_settings).ends("usage"))[last.partition] == last.offset == 2 * batch
        place = Partition("usage", last.partition)
        assert await log_ends.ends([place]) == {place: last.offset}


async def test_an_empty_partition_ends_where_it_begins(log_settings: LogSettings) -> None:
    """Nothing was appended, so the next offset is 0."""
    await create_topics(log_settings)
    assert set((await LogReader(log_settings).ends("budgets")).values()) == {0}
