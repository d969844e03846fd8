"""`interlock verify`: every projection that is configured and there, one after the other; one table, one exit code."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from api.cli.archive import archive_in, look_at
from api.cli.exits import CommandError, Exit, code_of, line_of, run
from api.cli.output import AsJson, print_json, print_table, say
from api.cli.verify_analytics import prove_analytics
from api.cli.verify_history import prove_history
from api.cli.verify_live import prove_live, slots_of
from api.cli.verify_parts import differing, numbers_of, proved

if TYPE_CHECKING:
    from api.settings import Settings
    from projections.live.digest import Comparison

SHOWN_OF_EACH = 10


@dataclass(frozen=True, slots=True)
class Found:
    """What was compared, how many of it differ, and these in words."""

    compared: int
    unit: str
    differ: int
    differences: Sequence[str]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one projection; `why` it was not verified, and the exit code that this asks for."""

    projection: str
    result: str
    code: Exit = Exit.OK
    found: Found | None = None
    took_s: float = 0.0
    why: str = ""


def everything(context: typer.Context, *, as_json: AsJson = False) -> None:
    """Prove that the projections are what the log says: the one that is named, else all that are configured and there."""
    if context.invoked_subcommand is not None:
        if as_json:
            raise CommandError(f"--json comes last: verify {context.invoked_subcommand} --json", Exit.USAGE)
        return
    from api.settings import load_settings

    outcomes = _outcomes(load_settings())
    _show(outcomes, as_json)
    failed = [one for one in outcomes if one.code is not Exit.OK]
    if failed:
        codes = {one.code for one in failed}
        raise CommandError(
            f"{', '.join(f'{one.projection} {one.result}' for one in failed)}: "
            f"`interlock verify {failed[0].projection}` tells all of it",
            Exit.FAILED if Exit.FAILED in codes else max(codes),
        )


def _outcomes(settings: Settings) -> list[Outcome]:
    """In the order in which a mistake spreads: what decides first."""
    folder, no_archive = _archive(settings)
    absent = {
        "history": "" if settings.history.postgres_dsn else "INTERLOCK_HISTORY__POSTGRES_DSN is not set",
        "analytics": "" if settings.analytics.chroma_url else "INTERLOCK_ANALYTICS__CHROMA_URL is not set",
        "archive": no_archive,
    }
    proofs = proofs_of(settings, None, folder) | {"archive": lambda: _archived(settings)}
    return [outcome_of(name, absent.get(name, ""), prove) for name, prove in proofs.items()]


def proofs_of(
    settings: Settings, before_live: Path | None, before_analytics: Path | None
) -> dict[str, Callable[[], Found]]:
    """What proves each projection; with the folder of an archive, by what the log no longer holds as well."""
    numbers = numbers_of(settings, None)
    slots = slots_of(numbers)
    return {
        "live": lambda: _compared(proved(prove_live(settings, slots, before_live)).comparison, "keys"),
        "history": lambda: _compared(proved(prove_history(settings, numbers)).comparison, "rows"),
        "analytics": lambda: _compared(
            proved(prove_analytics(settings, numbers, before_analytics)).comparison, "documents"
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
    return Outcome(projection, "equal", Exit.OK, found, took_s)


def _compared(comparison: Comparison, what: str) -> Found:
    keys = sum(digest.keys for digest in comparison.live.values())
    return Found(keys, what, differing(comparison)[1], [str(one) for one in comparison.differences])


def _archived(settings: Settings) -> Found:
    verified = run(look_at(archive_in(settings, None)))
    findings = [f"{one.fault}: {one.file}: {one.detail}" for each in verified for one in each.findings]
    return Found(sum(one.records for one in verified), "records", len(findings), findings)


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
        "took_s": round(one.took_s, 3),
        "why": one.why or None,
    }
