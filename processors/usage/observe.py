"""OutcomesObserved from runs of outcomes: one event for each deployment of a batch. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from events.envelope import deployment_name
from events.ids import derived_id
from events.outcomes_observed import OutcomesObserved
from processors.usage.runs import RunBuilder
from processors.usage.soundness import Deployment

SOURCE = "outcomes"


@dataclass(frozen=True, slots=True)
class Source:
    """Records [start, end) of a source partition; the topic by its short name."""

    topic: str
    partition: int
    start: int
    end: int


def observed(
    runs: Mapping[Deployment, Sequence[RunBuilder]],
    source: Source,
    observed_below: Mapping[Deployment, int],
    clock_us: int,
) -> Iterator[OutcomesObserved]:
    """The events of a source range; one begins where the log's outcomes of the deployment end."""
    for deployment, builders in runs.items():
        provider, model, region = deployment
        start = max(source.start, observed_below.get(deployment, 0))
        stream = f"outcomes:{source.topic}-{source.partition}:{deployment_name(provider, model, region)}"
        yield OutcomesObserved(
            event_id=derived_id(stream, f"{start}-{source.end}"),
            occurred_at=clock_us,
            source=SOURCE,
            tenant="",
            provider=provider,
            model=model,
            region=region,
            source_topic=source.topic,
            source_partition=source.partition,
            source_start=start,
            source_end=source.end,
            runs=tuple(builder.build(start - source.start) for builder in builders),
        )
