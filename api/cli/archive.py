"""`interlock archive`: what the archive holds, whether it is what was written, and merging its small files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from api.cli.exits import CommandError, Exit, run
from api.cli.output import AsJson, print_json, print_table, progress, say

if TYPE_CHECKING:
    from api.settings import Settings
    from projections.archive.rebuild import Rebuilt
    from projections.archive.settings import ArchiveSettings
    from projections.archive.verify import Verified

app = typer.Typer(help="The log's archive: status, verify, compact.", no_args_is_help=True)

Folder = Annotated[
    Path | None,
    typer.Option(
        help="Folder of the archive; default: the setting archive.folder, else that of `interlock up`."
    ),
]


@app.command(epilog="Example: interlock archive status --json")
def status(folder: Folder = None, as_json: AsJson = False) -> None:
    """Show what is archived of each partition, by the manifests alone."""
    from api.rfc3339 import format_time_us
    from api.settings import load_settings
    from projections.archive.status import status_of

    archive = archive_in(load_settings(), folder)
    held = status_of(archive)
    if as_json:
        print_json([asdict(one) | {"place": str(one.place)} for one in held])
        return
    columns = ("partition", "next offset", "segments", "records", "bytes", "ratio", "last record", "faults")
    cells = [
        (
            one.place,
            one.next_offset,
            one.segments,
            one.records,
            one.bytes,
            f"{one.log_bytes / one.bytes:.2f}" if one.bytes else "",
            format_time_us(one.last_timestamp_ms * 1000) if one.last_timestamp_ms is not None else "",
            one.faults,
        )
        for one in held
        if one.segments or one.faults
    ]
    print_table(columns, cells, empty="the archive is empty")


@app.command(
    epilog="Examples: interlock archive verify  ·  interlock archive verify --rebuild",
)
def verify(
    folder: Folder = None,
    rebuild: Annotated[
        bool,
        typer.Option(
            "--rebuild", "--repair", help="Build what is damaged anew out of the log, where it still has it."
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Read the whole archive: every file to the byte, every record, the chain. Exit code 1 when something is wrong."""
    from api.settings import load_settings

    settings = load_settings()
    archive = archive_in(settings, folder)
    verified, rebuilt = run(look_and_mend(archive, settings, anew=rebuild))
    if as_json:
        print_json(_as_json(verified, rebuilt))
    else:
        _print_verified(verified, rebuilt)
    if any(one.findings for one in verified):
        raise CommandError("the archive is damaged", Exit.FAILED)


@app.command(epilog="Example: INTERLOCK_ARCHIVE__SEGMENT_BYTES=67108864 interlock archive compact")
def compact(folder: Folder = None, as_json: AsJson = False) -> None:
    """Merge small files of one day into larger ones, also while the archive is written."""
    from api.settings import load_settings
    from projections.archive.compact import compact as compact_all

    archive = archive_in(load_settings(), folder)
    with progress("merging", None) as bar:
        done = run(compact_all(archive, lambda _: bar.advance(bar.task_ids[0])))
    if as_json:
        print_json([asdict(one) | {"place": str(one.place)} for one in done])
    else:
        columns = ("partition", "segments", "now", "bytes", "now", "")
        cells = [
            (
                one.place,
                one.segments_before,
                one.segments_after,
                one.bytes_before,
                one.bytes_after,
                one.refused,
            )
            for one in done
        ]
        print_table(columns, cells, empty="the archive is empty")
    if any(one.refused for one in done):
        raise CommandError("not everything could be merged", Exit.FAILED)


async def look_and_mend(
    archive: ArchiveSettings, settings: Settings, *, anew: bool
) -> tuple[list[Verified], list[Rebuilt]]:
    """Read all of it; when asked for, build anew what is damaged, and read it again."""
    from projections.archive.rebuild import rebuild as rebuild_all

    verified = await look_at(archive)
    findings = [finding for one in verified for finding in one.findings]
    if not findings or not anew:
        return verified, []
    rebuilt = await rebuild_all(archive, settings.log, findings)
    return await look_at(archive), rebuilt


async def look_at(archive: ArchiveSettings) -> list[Verified]:
    """Read all of it, with a bar on stderr."""
    from projections.archive.verify import verify as verify_all

    with progress("verifying segments", None) as bar:
        return await verify_all(
            archive, lambda done, of: bar.update(bar.task_ids[0], completed=done, total=of)
        )


def _as_json(verified: Sequence[Verified], rebuilt: Sequence[Rebuilt]) -> dict[str, Any]:
    partitions = [
        asdict(one)
        | {
            "place": str(one.place),
            "findings": [asdict(finding) | {"place": str(finding.place)} for finding in one.findings],
        }
        for one in verified
    ]
    return {
        "partitions": partitions,
        "rebuilt": [asdict(one) | {"place": str(one.place)} for one in rebuilt],
    }


def _print_verified(verified: Sequence[Verified], rebuilt: Sequence[Rebuilt]) -> None:
    columns = ("partition", "next offset", "segments", "records", "bytes", "faults")
    cells = [
        (one.place, one.next_offset, one.segments, one.records, one.bytes, len(one.findings))
        for one in verified
        if one.segments or one.findings
    ]
    print_table(columns, cells, empty="the archive is empty")
    for done in rebuilt:
        say(line_of_rebuilt(done))
    for finding in (finding for one in verified for finding in one.findings):
        say(f"{finding.fault}: {finding.file}: {finding.detail}")


def line_of_rebuilt(done: Rebuilt) -> str:
    """What became of a damaged range, in words."""
    outcome = f"stays as it is: {done.refused}" if done.refused else "built anew out of the log"
    return f"{done.place}, offsets {done.first_offset} to before {done.next_offset}: {outcome}"


def archive_in(settings: Settings, folder: Path | None) -> ArchiveSettings:
    """The archive that is meant. CommandError when there is none."""
    import os

    from api.addresses import data_folder

    found = folder or settings.archive.folder or data_folder(os.environ) / "archive"
    if not found.is_dir():
        raise CommandError(
            f"no archive in {found}: set INTERLOCK_ARCHIVE__FOLDER, or name a folder", Exit.NOT_FOUND
        )
    return settings.archive.model_copy(update={"folder": found})
