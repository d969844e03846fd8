"""The command line.

Reads: the API, the log. Writes: events to the log. May import: api and all below it, embedded; opens demo's door.
"""

from __future__ import annotations

import sys


def main() -> None:
    """The console script: an error that a person can mend is one line, a defect is a traceback."""
    from api.cli.app import app
    from api.cli.exits import Exit, code_of, line_of

    try:
        app()
    except Exception as error:
        code = code_of(error)
        if code is None:
            raise
        if code is not Exit.OK:
            print(f"interlock: {line_of(error)}", file=sys.stderr)
        sys.exit(code)
