"""Check that schemas only ever grow: `python -m events.compatibility [--release]`.

Every version of an event type can read every other (FULL_TRANSITIVE), and a released file is never edited: its SHA-256
stands in schemas/RELEASED. `--release` adds the files that are not yet in that list.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator
from itertools import pairwise, permutations
from pathlib import Path
from typing import Any

import avro.schema
from avro.compatibility import ReaderWriterCompatibilityChecker, SchemaCompatibilityType

from events.errors import SchemaError
from events.schema_types import named_types
from events.schemas import SchemaVersion, load_schemas, schemas_folder

RELEASED = "RELEASED"


def incompatibilities(versions: list[SchemaVersion]) -> list[str]:
    """What a reader of one version could not read of another, one line each."""
    parsed = [avro.schema.parse(json.dumps(version.definition)) for version in versions]
    checker = ReaderWriterCompatibilityChecker()  # type: ignore[no-untyped-call]
    found = []
    for reader, writer in permutations(range(len(versions)), 2):
        result = checker.get_compatibility(parsed[reader], parsed[writer])
        if result.compatibility is not SchemaCompatibilityType.compatible:
            kinds = ", ".join(kind.value for kind in result.incompatibilities)
            found.append(
                f"{versions[reader].folder}: v{versions[reader].version} cannot read v{versions[writer].version}: "
                f"{kinds}: {'; '.join(sorted(result.messages))} at {', '.join(sorted(result.locations))}"
            )
    return found


def changed_meanings(versions: list[SchemaVersion]) -> list[str]:
    """Fields that every reader can read and would take for something else, because their logical type changed."""
    found = []
    for older, newer in pairwise(versions):
        before, after = (dict(_logical_types("", one.definition)) for one in (older, newer))
        found += [
            f"{newer.folder}: {place} is {before[place]} in v{older.version} and {after[place]} in v{newer.version}: "
            f"a changed meaning is a new field"
            for place in before.keys() & after.keys()
            if before[place] != after[place]
        ]
    return sorted(found)


def _logical_types(place: str, node: Any) -> Iterator[tuple[str, str]]:
    """Every place in a schema with its logical type, or `plain`."""
    if isinstance(node, list):
        for branch in node:
            yield from _logical_types(place, branch)
    elif isinstance(node, dict):
        yield place, str(node.get("logicalType", "plain"))
        for field in node.get("fields", ()):
            yield from _logical_types(f"{place}/{field['name']}", field["type"])
        for inner in ("items", "values"):
            yield from _logical_types(f"{place}/{inner}", node.get(inner))
    elif node is not None and node != "null":
        yield place, "plain"


def undocumented(version: SchemaVersion) -> list[str]:
    """Records, enums and fields without a doc: the reference is generated from them."""
    where = f"{version.folder} v{version.version}"
    found = []
    for name, named in named_types(version.plain).items():
        found += [] if named.get("doc") else [f"{where}: {name} has no doc"]
        found += [
            f"{where}: field {name}.{one['name']} has no doc"
            for one in named.get("fields", ())
            if not one.get("doc")
        ]
    return found


def read_released(folder: Path) -> dict[str, str]:
    """SHA-256 by path of the files that were released."""
    path = folder / RELEASED
    lines = path.read_text().splitlines() if path.exists() else []
    return {name: digest for digest, _, name in (line.partition("  ") for line in lines if line)}


def edited(folder: Path) -> list[str]:
    """Released files that are gone or no longer the same."""
    found = []
    for name, digest in read_released(folder).items():
        path = folder / name
        if not path.exists() or _sha256(path) != digest:
            found.append(
                f"{name} was released and has been edited or removed: restore it and add the next version"
            )
    return found


def release(folder: Path) -> list[str]:
    """Add every file that is not in the list yet; the names added."""
    released = read_released(folder)
    files = {str(path.relative_to(folder)): _sha256(path) for path in sorted(folder.glob("*/v*.avsc"))}
    added = sorted(set(files) - set(released))
    lines = [f"{digest}  {name}" for name, digest in sorted({**files, **released}.items())]
    (folder / RELEASED).write_text("\n".join(lines) + "\n")
    return added


def problems(folder: Path) -> list[str]:
    """Everything that is wrong with the schemas folder."""
    found = edited(folder)
    for versions in load_schemas(folder).values():
        found += incompatibilities(versions) + changed_meanings(versions)
        found += [line for version in versions for line in undocumented(version)]
    return found


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def main(arguments: list[str], folder: Path) -> int:
    """Print what is wrong; exit status 1 when anything is."""
    try:
        found = problems(folder)
    except SchemaError as error:
        found = [str(error)]
    for line in found:
        print(line, file=sys.stderr)
    if not found and "--release" in arguments:
        print("released:", ", ".join(release(folder)) or "nothing new")
    if not found:
        print(f"schemas: {sum(map(len, load_schemas(folder).values()))} versions, all compatible both ways")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], schemas_folder()))
