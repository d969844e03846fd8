"""Become a program that dies with its parent: `python -I -S leash.py PARENT SIGNAL UID GID PROGRAM ARGUMENT...`

The kernel sends SIGNAL to the program when the thread that started it ends (prctl(2), PR_SET_PDEATHSIG), so a parent
killed by SIGKILL leaves no orphan. This is a script of its own because nothing of ours may run between fork and exec
in a parent that has threads. UID -1 keeps the user; another one (root only) is switched to, and keeps of root's rights
just the one to pass folders closed to others, for the servers that refuse to be root.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1
PR_SET_KEEPCAPS = 8
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_RAISE = 2
CAP_DAC_OVERRIDE = 1
CAPABILITY_VERSION_3 = 0x20080522

_libc = ctypes.CDLL(None, use_errno=True)


def die_with(parent: int, death_signal: int) -> None:
    """Get that signal when the parent ends; a parent that is gone already ends this process."""
    if _libc.prctl(PR_SET_PDEATHSIG, death_signal, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)


def become(uid: int, gid: int) -> None:
    """Switch to that user and keep CAP_DAC_OVERRIDE where root has it (a container may have dropped it)."""
    _libc.prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0)
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)
    mask = 1 << CAP_DAC_OVERRIDE
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
    effective_permitted_inheritable = (ctypes.c_uint32 * 6)(mask, mask, mask, 0, 0, 0)
    if _libc.capset(header, effective_permitted_inheritable) == 0:
        _libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_DAC_OVERRIDE, 0, 0)


def main(arguments: list[str]) -> None:
    parent, death_signal, uid, gid = (int(argument) for argument in arguments[:4])
    program = arguments[4:]
    if uid >= 0:
        become(uid, gid)
    die_with(parent, death_signal)  # after `become`: a change of user clears it
    try:
        os.execvp(program[0], program)  # noqa: S606 - becoming another program is the purpose
    except OSError as error:
        sys.exit(f"cannot run {program[0]}: {error.strerror}")


if __name__ == "__main__":
    main(sys.argv[1:])
