"""What is to be done so that all that is stored is as this release makes it. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from processors.migration.steps import REBUILDS, Name, Step, in_order
from projections.made_with import MadeWith, Projection


@dataclass(frozen=True, slots=True)
class Found:
    """What there is. `tables` are the revision of the history's tables and the newest one; None without a history.

    `made`: of each projection that is configured, with what the parts of it that hold anything were made.
    """

    missing_topics: Collection[str]
    unregistered: Collection[str]
    tables: tuple[str | None, str] | None
    made: Mapping[Projection, Collection[MadeWith]]


def steps_of(
    found: Found,
    release: Mapping[Projection, MadeWith],
    folders: Mapping[Projection, Collection[str]],
    wanted: Collection[Projection],
) -> tuple[Step, ...]:
    """In their order; none when all is as it should be. `folders`: the event types that each projection is made of.

    What is `wanted` is built anew whatever it was made with.
    """
    steps = [*_of_contracts(found), *_of_tables(found)]
    rebuilds = list(_rebuilds(found, release, folders, wanted))
    names = ", ".join(step.name for step in rebuilds)
    if rebuilds:
        steps += [
            Step(Name.VERIFY_BEFORE, "compare what is live with the log", f"evidence of {names}"),
            *rebuilds,
            Step(Name.VERIFY_AFTER, "compare what is live then with the log", f"proof of {names}"),
        ]
    if rebuilds or (found.tables is not None and found.tables[0] is not None and _of_tables(found)):
        steps.append(Step(Name.BACKUP, "copy the log", "the way back from everything"))
    return in_order(steps)


def _of_contracts(found: Found) -> list[Step]:
    steps = []
    if found.missing_topics:
        steps.append(Step(Name.TOPICS, "create topics", f"missing: {', '.join(found.missing_topics)}"))
    if found.unregistered:
        steps.append(
            Step(Name.SCHEMAS, "register schemas", f"not registered: {', '.join(found.unregistered)}")
        )
    return steps


def _of_tables(found: Found) -> list[Step]:
    if found.tables is None or found.tables[0] == found.tables[1]:
        return []
    current, newest = found.tables
    return [
        Step(Name.TABLES, "bring the tables to this release", f"revision {current or 'none'} -> {newest}")
    ]


def _rebuilds(
    found: Found,
    release: Mapping[Projection, MadeWith],
    folders: Mapping[Projection, Collection[str]],
    wanted: Collection[Projection],
) -> Iterator[Step]:
    for projection, made in found.made.items():
        why = sorted(
            {reason for one in made for reason in one.reasons(release[projection], folders[projection])}
        )
        if projection in wanted:
            why.append("asked for")
        if why:
            yield Step(REBUILDS[projection], "build anew, try, make live", ", ".join(why))
