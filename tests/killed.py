"""`interlock` as a process that ends at one of its own calls as `kill -9` ends it.

`python -m tests.killed WHEN CALL NUMBER ARGUMENT ...`: `before` or `after` the call of that number, 1 for the first, of
`module:name` or `module:Class.name`. What a module has imported by name is named by that module.
"""

from __future__ import annotations

import inspect
import os
import signal
import sys
from collections.abc import Callable
from functools import wraps
from importlib import import_module
from typing import Any


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def deadly(function: Callable[..., Any], when: str, number: int) -> Callable[..., Any]:
    """The same, and the process is no more before or after its call of that number."""
    calls = 0

    def begins() -> bool:
        nonlocal calls
        calls += 1
        if calls == number and when == "before":
            _die()
        return calls == number

    @wraps(function)
    async def awaited(*arguments: Any, **named: Any) -> Any:
        last = begins()
        answer = await function(*arguments, **named)
        if last:
            _die()
        return answer

    @wraps(function)
    def called(*arguments: Any, **named: Any) -> Any:
        last = begins()
        answer = function(*arguments, **named)
        if last:
            _die()
        return answer

    return awaited if inspect.iscoroutinefunction(function) else called


def main(when: str, call: str, number: str, *arguments: str) -> None:
    """Run the command line with those arguments, up to there."""
    module, _, path = call.partition(":")
    owner: Any = import_module(module)
    *owners, name = path.split(".")
    for one in owners:
        owner = getattr(owner, one)
    setattr(owner, name, deadly(getattr(owner, name), when, int(number)))
    from api.cli import main as interlock

    sys.argv = ["interlock", *arguments]
    interlock()


if __name__ == "__main__":
    main(*sys.argv[1:])
