"""`interlock verify`: every projection that is configured and there, one after the other; one table, one exit code."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from api.cli.archive import archive_in, line_of_rebuilt, look_and_mend
from api.cli.exits import CommandError, Exit, code_of, line_of, run
from api.cli.output import AsJson, print_json, print_table, remark, say
from api.cli.verify_analytics import look_at_analytics
from api.cli.verify_history import look_at_history
from api.cli.verify_live import look_at_live, slots_of
from api.cli.verify_parts import Compared, Looked, differing, numbers_of

if TYPE_CHECKING:
    from api.settings import Settings

SHOWN_OF_EACH = 10


@dataclass(frozen=True, slots=True)
class Found:
    """What was compared, how many of it differ, and these in words; `repaired` is what did before."""

    compared: int
    unit: str
    differ: int
    differences: Sequence[str]
    repaired: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one projection; `why` it was not verified, and the exit code that this asks for."""

    projection: str
    result: str
    code: Exit = Exit.OK
    found: Found | None = None
    took_s: float = 0.0
    why: str = ""


Repair = Annotated[
    bool,
    typer.Option(
        "--repair", help="Set right what differs of each, while live traffic goes on, and verify again."
    ),
]


def everything(context: typer.Context, *, repair: Repair = False, as_json: AsJson = False) -> None:
    """Prove that the projections are what the log says: the one that is named, else all that are configured and there."""
    if context.invoked_subcommand is not None:
        if as_json or repair:
            option = "--json" if as_json else "--repair"
            raise CommandError(
                f"{option} comes last: verify {context.invoked_subcommand} {option}", Exit.USAGE
            )
        return
    from api.settings import load_settings

    outcomes = _outcomes(load_settings(), repair)
    _show(outcomes, as_json)
    failed = [one for one in outcomes if one.code is not Exit.OK]
    if failed:
        codes = {one.code for one in failed}
        raise CommandError(
            f"{', '.join(f'{one.projection} {one.result}' for one in failed)}: "
            f"`interlock verify {failed[0].projection}` tells all of it, `interlock verify --repair` sets right what differs",
            Exit.FAILED if Exit.FAILED in codes else max(codes),
        )


def _outcomes(settings: Settings, repair: bool) -> list[Outcome]:
    """In the order in which a mistake spreads: what decides first."""
    folder, no_archive = _archive(settings)
    absent = {
        "history": "" if settings.history.postgres_dsn else "INTERLOCK_HISTORY__POSTGRES_DSN is not set",
        "analytics": "" if settings.analytics.chroma_url else "INTERLOCK_ANALYTICS__CHROMA_URL is not set",
        "archive": no_archive,
    }
    looks = looks_at(settings, None, folder, repair=repair) | {"archive": lambda: _archived(settings, repair)}
    return [outcome_of(name, absent.get(name, ""), look) for name, look in looks.items()]


def looks_at(
    settings: Settings, before_live: Path | None, before_analytics: Path | None, *, repair: bool
) -> dict[str, Callable[[], Found]]:
    """What proves each projection; with the folder of an archive, by what the log no longer holds as well."""
    numbers = numbers_of(settings, None)
    slots = slots_of(numbers)
    return {
        "live": lambda: _compared(look_at_live(settings, slots, before_live, repair=repair), "keys"),
        "history": lambda: _compared(look_at_history(settings, numbers, repair=repair), "rows"),
        "analytics": lambda: _compared(
            look_at_analytics(settings, numbers, before_analytics, repair=repair), "documents"
        ),
    }


def _archive(settings: Settings) -> tuple[Path | None, str]:
    """Its folder, or why there is none."""
    try:
        return archive_in(settings, None).folder, ""
    except CommandError as error:
        return None, str(error)


def outcome_of(projection: str, absent: str, prove: Callable[[], Found]) -> Outcome:
    """Verify it unless it is absent. What a person can do something about is told, and the next one has its turn."""
    if absent:
        return Outcome(projection, "left out", why=absent)
    started_s = time.monotonic()
    try:
        found = prove()
    except Exception as error:
        code = code_of(error)
        if code is None:
            raise
        return Outcome(
            projection, "not verified", code, took_s=time.monotonic() - started_s, why=line_of(error)
        )
    took_s = time.monotonic() - started_s
    if found.differ:
        return Outcome(projection, "DIFFERENT", Exit.FAILED, found, took_s)
    return Outcome(projection, "repaired" if found.repaired else "equal", Exit.OK, found, took_s)


def _compared(looked: Looked[Compared], what: str) -> Found:
    comparison = looked.found.comparison
    keys = sum(digest.keys for digest in comparison.live.values())
    differences = [str(one) for one in comparison.differences]
    return Found(keys, what, differing(comparison)[1], differences, looked.repaired)


def _archived(settings: Settings, repair: bool) -> Found:
    verified, rebuilt = run(look_and_mend(archive_in(settings, None), settings, anew=repair))
    findings = [f"{one.fault}: {one.file}: {one.detail}" for each in verified for one in each.findings]
    repaired = [line_of_rebuilt(one) for one in rebuilt]
    for line in repaired:
        remark(line)
    return Found(sum(one.records for one in verified), "records", len(findings), findings, repaired)


def _show(outcomes: Sequence[Outcome], as_json: bool) -> None:
    if as_json:
        print_json({"projections": [_document(one) for one in outcomes]})
        return
    cells = [
        (
            one.projection,
            one.result,
            f"{one.found.compared:,} {one.found.unit}" if one.found else "",
            f"{one.found.differ:,}" if one.found else "",
            f"{one.took_s:.1f} s" if one.took_s else "",
            one.why,
        )
        for one in outcomes
    ]
    print_table(("projection", "", "compared", "differ", "took", "why"), cells, empty="nothing to verify")
    for one in outcomes:
        differences = one.found.differences if one.found else ()
        for difference in differences[:SHOWN_OF_EACH]:
            say(f"{one.projection}: {difference}")


def _document(one: Outcome) -> dict[str, object]:
    return {
        "projection": one.projection,
        "result": one.result,
        "compared": one.found.compared if one.found else None,
        "unit": one.found.unit if one.found else None,
        "differ": one.found.differ if one.found else None,
        "differences": list(one.found.differences[:SHOWN_OF_EACH]) if one.found else [],
        "repaired": list(one.found.repaired) if one.found else [],
        "took_s": round(one.took_s, 3),
        "why": one.why or None,
    }
