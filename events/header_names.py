r"""Names of record headers that are not UTF-8, which Kafka's protocol forbids and its brokers take.

Inside they are text with surrogates for the wrong bytes, as the names of files are (PEP 383), so that nothing is lost. Where
text has to be UTF-8, in dead letters and archives, they are spelled: `\xff` for a wrong byte, `\\` for a backslash, and `\-` at
the end of the name of a header that has no value.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from events.dead_lettered import RecordHeader
from events.errors import InvalidEventError

Header = tuple[str, bytes | None]

NO_VALUE = "\\-"
SHOWN_BYTES = 80
_ESCAPE = re.compile(rb"\\(?:(\\)|x([0-9a-f]{2}))")


def bytes_of(name: str) -> bytes:
    """The name's bytes on the log."""
    return name.encode("utf-8", "surrogateescape")


def name_of(raw: bytes) -> str:
    """The name of these bytes."""
    return raw.decode("utf-8", "surrogateescape")


def are_utf8(headers: Iterable[tuple[str, object]]) -> bool:
    """Whether all names are what they have to be."""
    for name, _ in headers:  # noqa: SIM110 - asked for each record, and all() takes three times as long
        if not (name.isascii() or _is_utf8(name)):
            return False
    return True


def check_names(headers: Sequence[tuple[str, object]]) -> None:
    """InvalidEventError for a record whose headers have a name that is not UTF-8."""
    for name, _ in headers:
        if not _is_utf8(name):
            raise InvalidEventError(
                "bad_header",
                f"the header name {bytes_of(name)[:SHOWN_BYTES]!r} is not UTF-8: the producer has to write names in UTF-8",
            )


def spelled(name: str) -> str:
    """The name in UTF-8, whatever its bytes."""
    if "\\" not in name and _is_utf8(name):
        return name
    return bytes_of(name.replace("\\", "\\\\")).decode("utf-8", "backslashreplace")


def unspelled(text: str) -> str:
    """The name that was spelled so."""
    return name_of(_ESCAPE.sub(_meant, text.encode())) if "\\" in text else text


def kept(headers: Iterable[Header]) -> tuple[RecordHeader, ...]:
    """Headers of a record as a dead letter holds them."""
    return tuple(
        RecordHeader(name=spelled(name) + NO_VALUE, value=b"")
        if value is None
        else RecordHeader(name=spelled(name), value=value)
        for name, value in headers
    )


def unkept(headers: Iterable[RecordHeader]) -> tuple[Header, ...]:
    """Headers of the record that a dead letter is about."""
    return tuple(_unkept(header) for header in headers)


def _unkept(header: RecordHeader) -> Header:
    name = header.name.removesuffix(NO_VALUE)
    # After an odd number of backslashes it would be the second half of an escaped one.
    ends_so = name != header.name and (len(name) - len(name.rstrip("\\"))) % 2 == 0
    return (unspelled(name), None) if ends_so else (unspelled(header.name), header.value)


def _meant(escape: re.Match[bytes]) -> bytes:
    return escape[1] or bytes.fromhex(escape[2].decode())


def _is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
