"""`interlock migrate plan|run --partitions N`: the whole deployment carried into new topics, under other names."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from api.cli.archive import archive_in
from api.cli.bar import counted
from api.cli.comparison import comparison_document, print_comparison
from api.cli.exits import CommandError, Exit
from api.cli.garbage import collect_seldom
from api.cli.migrate_parts import Asked
from api.cli.migrate_steps import back_up
from api.cli.output import print_facts, print_json, print_table, remark, say
from api.cli.rebuild_parts import remark_skipped, skipped_document
from api.cli.verify_parts import proved

if TYPE_CHECKING:
    from api.settings import Settings
    from processors.repartition.plan import CarryPlan
    from processors.repartition.run import Proof, Repartition

    Moved = Callable[[int, int, int], None]


@dataclass(frozen=True, slots=True)
class NewNames:
    """The settings of the new deployment, and the lines of environment in which they differ from those of the old one."""

    name: str
    settings: Settings
    environment: Mapping[str, str]


def another_number(
    settings: Settings, partitions: int | None, into: str | None, projections: Collection[str] | None
) -> int | None:
    """The number of partitions, when it is another one than the topics have. CommandError when what goes with it makes no sense."""
    another = partitions if partitions != settings.log.partitions else None
    if into is not None and another is None:
        raise CommandError(
            f"--into names what is carried to another number of partitions: the topics have {settings.log.partitions}; say how "
            "many they are to have with --partitions N",
            Exit.USAGE,
        )
    if another is not None and projections:
        raise CommandError(
            "with --partitions all of the deployment is carried: name no projections", Exit.USAGE
        )
    return another


def show_carry_plan(
    settings: Settings, partitions: int, into: str | None, asked: Asked, as_json: bool
) -> None:
    """What is to be carried, and under which names it will be. Changes nothing."""
    new = new_names(settings, partitions, into)
    plan = proved(_repartition(settings, new, asked, lambda *_: None).plan())
    if as_json:
        print_json(_plan_document(plan, new))
    else:
        cells = [
            (one.topic, one.records, one.carried, "places translated" if one.is_translated else "")
            for one in plan.topics
        ]
        print_table(("topic", "records", "carried", ""), cells, empty="nothing")
        print_facts(
            [
                ("partitions", f"{settings.log.partitions} -> {partitions}"),
                ("to carry", f"{plan.left:,} records, about {plan.estimated_s:,.0f} s"),
                *new.environment.items(),
            ]
        )
    if plan.refused is not None:
        raise plan.refused


def carry(settings: Settings, partitions: int, into: str | None, asked: Asked, as_json: bool) -> None:
    """Do it. Exit code 1 and no environment when the new deployment is not what the old one is."""
    new = new_names(settings, partitions, into)
    asked.require_backup()
    if asked.backup is not None:
        remark(f"backup {back_up(settings, asked)['id']}")
    collect_seldom()
    with counted("carrying", "records") as moved:
        proof = proved(_repartition(settings, new, asked, moved).run())
    environment = new.environment if proof.is_equal else {}
    if as_json:
        print_json(_proof_document(proof) | {"into": new.name, "environment": environment})
    else:
        _print_proof(proof, new)
    if not proof.is_equal:
        raise CommandError(
            f"{new.name} is not what the old deployment is, as said above. The old one is as it was and goes on; what was carried "
            "can be carried anew under another name, --into"
        )


def new_names(settings: Settings, partitions: int, into: str | None) -> NewNames:
    """All names of a deployment, made of one. CommandError when one of them cannot be, or is that of the old one."""
    from pydantic import ValidationError

    name = into or f"{settings.live.namespace}-{partitions}"
    table = name.replace("-", "_")
    changed: dict[str, dict[str, Any]] = {
        "log": {"topic_prefix": f"{name}.", "group_id": name, "partitions": partitions},
        "live": {"namespace": name},
    }
    if settings.history.postgres_dsn is not None:
        changed["history"] = {"schema_name": table}
    if settings.analytics.chroma_url is not None:
        # Not with `_`: that and a number is how a set of collections is called.
        changed["analytics"] = {"collection_prefix": f"{name}-"}
    if settings.archive.folder is not None:
        folder = settings.archive.folder
        changed["archive"] = {"folder": folder.with_name(f"{folder.name}-{name}")}
    if table.endswith(("_next", "_before")):
        raise CommandError(
            f"{table} is how a rebuild calls a schema: choose another name with --into", Exit.USAGE
        )
    sections, environment = {}, dict[str, str]()
    for section, values in changed.items():
        old = getattr(settings, section)
        for field, value in values.items():
            if getattr(old, field) == value:
                raise CommandError(
                    f"{section}.{field} is {value} already: choose another name with --into", Exit.USAGE
                )
            environment[f"INTERLOCK_{section}__{field}".upper()] = str(value)
        try:
            sections[section] = type(old).model_validate(old.model_dump() | values)
        except ValidationError as error:
            raise CommandError(
                f"{name} cannot be a name ({section}: {error.errors()[0]['msg']}): --into takes lower-case letters, digits and -",
                Exit.USAGE,
            ) from None
    return NewNames(name, settings.model_copy(update=sections), environment)


def _repartition(settings: Settings, new: NewNames, asked: Asked, moved: Moved) -> Repartition:
    from processors.repartition.run import Names, Options, Repartition

    if asked.archive is not None:
        archive_in(settings, asked.archive)
    old, there = Names(settings.log, settings.live), Names(new.settings.log, new.settings.live)
    options = Options(asked.archive, asked.max_events_per_s, asked.wait_s)
    return Repartition(old, there, options, remark, moved)


def _plan_document(plan: CarryPlan, new: NewNames) -> dict[str, Any]:
    return {
        "into": new.name,
        "topics": [
            {
                "topic": one.topic,
                "records": one.records,
                "carried": one.carried,
                "translated": one.is_translated,
            }
            for one in plan.topics
        ],
        "left": plan.left,
        "estimated_s": round(plan.estimated_s, 1),
        "environment": new.environment,
        "refused": None if plan.refused is None else str(plan.refused),
    }


def _proof_document(proof: Proof) -> dict[str, Any]:
    return {
        "equal": proof.is_equal,
        "appended": proof.appended,
        "records": {topic: {"old": old, "new": new} for topic, (old, new) in proof.records.items()},
        "states": comparison_document(proof.states, "new"),
        "naive_fold": comparison_document(proof.folded, "log"),
        "bad_records": skipped_document(proof.bad),
        "took_s": round(proof.took_s, 3),
        "still_s": round(proof.still_s, 3),
    }


def _print_proof(proof: Proof, new: NewNames) -> None:
    rows = [
        (topic, old, there, "equal" if old == there else "DIFFERENT")
        for topic, (old, there) in proof.records.items()
    ]
    print_table(("topic", "old records", "new records", ""), rows, empty="nothing")
    remark_skipped(proof.bad)
    say("the old live state and the new one:")
    print_comparison(proof.states)
    say("the new live state and a naive fold of the new log:")
    print_comparison(proof.folded)
    print_facts(
        [
            ("carried", f"{proof.appended:,} records by this run, in {proof.took_s:.1f} s"),
            ("stood still", f"{proof.still_s:.1f} s"),
        ]
    )
    if proof.is_equal:
        say(
            "restart all processes with these; those before them are the way back, without what is recorded from now on:"
        )
        for name, value in new.environment.items():
            say(f"{name}={value}")
        say(
            "history, analytics and archive are filled from the new log by `interlock sink`, from its beginning"
        )
