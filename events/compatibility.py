"""Check that schemas only ever grow: `python -m events.compatibility [--release]`.

Every version of an event type can read every other (FULL_TRANSITIVE), and a released file is never edited: its SHA-256
stands in schemas/RELEASED. `--release` adds the files that are not yet in that list.
"""

from __future__ import annotations

import hashlib
import json
import sys
from itertools import permutations
from pathlib import Path

import avro.schema
from avro.compatibility import ReaderWriterCompatibilityChecker, SchemaCompatibilityType

from events.errors import SchemaError
from events.schemas import SchemaVersion, load_schemas, schemas_folder

RELEASED = "RELEASED"


def incompatibilities(versions: list[SchemaVersion]) -> list[str]:
    """What a reader of one version could not read of another, one line each."""
    parsed = [avro.schema.parse(json.dumps(version.definition)) for version in versions]
    found = []
    for reader, writer in permutations(range(len(versions)), 2):
        result = ReaderWriterCompatibilityChecker().get_compatibility(parsed[reader], parsed[writer])
        if result.compatibility is not SchemaCompatibilityType.compatible:
            found.append(
                f"{versions[reader].folder}: v{versions[reader].version} cannot read v{versions[writer].version}: "
                f"{'; '.join(sorted(result.messages))} at {', '.join(sorted(result.locations))}"
            )
    return found


def undocumented(version: SchemaVersion) -> list[str]:
    """Fields without a doc: the reference is generated from them."""
    fields = version.definition["fields"]
    return [f"{version.folder} v{version.version}: field {f['name']} has no doc" for f in fields if not f.get("doc")]


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
            found.append(f"{name} was released and has been edited or removed: restore it and add the next version")
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
        found += incompatibilities(versions)
        found += [line for version in versions for line in undocumented(version)]
    return found


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def main(arguments: list[str]) -> int:
    """Print what is wrong; exit status 1 when anything is."""
    folder = schemas_folder()
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
    sys.exit(main(sys.argv[1:]))
