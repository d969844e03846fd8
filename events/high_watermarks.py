"""Where partitions end, as the answer to a fetch says it.

The embedded broker's ListOffsets tells the first offset of the last batch plus one, which is the end only when that batch
has one record. The answer to a fetch has the high watermark itself, there and on every Kafka.
"""

from __future__ import annotations

from collections.abc import Collection

from aiokafka import AIOKafkaConsumer, TopicPartition

FETCH_MS = 100


async def high_watermarks(
    consumer: AIOKafkaConsumer, places: Collection[TopicPartition]
) -> dict[TopicPartition, int]:
    """The offset that the next append to each partition gets.

    The record before the told end is fetched, so nothing is waited for. The consumer's assignment is replaced, and empty
    at the end. The caller bounds the time.
    """
    starts: dict[TopicPartition, int] = await consumer.beginning_offsets(list(places))
    told: dict[TopicPartition, int] = await consumer.end_offsets(list(places))
    ends = dict(told)
    unsure = [place for place, end in told.items() if end > starts[place]]
    if not unsure:
        return ends
    consumer.assign(unsure)
    for place in unsure:
        consumer.seek(place, told[place] - 1)
    try:
        while unsure:
            await consumer.getmany(*unsure, timeout_ms=FETCH_MS, max_records=1)
            known = _known(consumer, unsure)
            ends.update(known)
            # What is known is not to be fetched again: at its end that would be a long poll.
            consumer.pause(*known)
            unsure = [place for place in unsure if place not in known]
    finally:
        consumer.unsubscribe()
    return ends


def _known(consumer: AIOKafkaConsumer, places: Collection[TopicPartition]) -> dict[TopicPartition, int]:
    marks = {place: consumer.highwater(place) for place in places}
    return {place: int(mark) for place, mark in marks.items() if mark is not None}
