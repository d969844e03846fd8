"""Examples of a page for people as the tests run them: each curl command, and what of its answer is shown."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

DOCS = Path(__file__).parents[3] / "docs"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
JSON = "content-type: application/json"
"""The shell variable of that name on the pages."""
TOKEN = re.compile(r"[a-z]+-\d+:\d+")
TIME = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z")


@dataclass(frozen=True, slots=True)
class Example:
    """A request, and the part of its answer that the page shows; None when it shows none."""

    method: str
    path: str
    body: str | None
    headers: dict[str, str]
    shown: dict[str, Any] | None

    @property
    def is_refused(self) -> bool:
        """Whether the page shows a problem."""
        return self.shown is not None and str(self.shown.get("type", "")).startswith("urn:interlock:problem:")


def blocks(page: Path) -> list[tuple[str, str]]:
    """The fenced blocks of a page: language and text."""
    return BLOCK.findall(page.read_text())


def examples(page: Path) -> Iterator[Example]:
    """Every curl command of a page with the JSON that follows it."""
    found = blocks(page)
    for index, (language, text) in enumerate(found):
        commands = [line for line in _lines(text) if line.startswith("curl ")] if language == "sh" else []
        for command in commands:
            follows = found[index + 1] if command is commands[-1] and index + 1 < len(found) else ("", "")
            yield _example(command, json.loads(follows[1]) if follows[0] == "json" else None)


def _lines(text: str) -> list[str]:
    """Commands of a shell block: one that has an open quote goes on in the next line."""
    commands: list[str] = []
    for line in text.splitlines():
        if commands and commands[-1].count("'") % 2:
            commands[-1] += "\n" + line
        else:
            commands.append(line)
    return commands


def _example(command: str, shown: dict[str, Any] | None) -> Example:
    words = iter(shlex.split(command.replace("$JSON", JSON))[1:])
    method: str | None = None
    body: str | None = None
    headers: dict[str, str] = {}
    url = ""
    for word in words:
        match word:
            case "-s":
                continue
            case "-X":
                method = next(words)
            case "-d":
                body = next(words)
                headers.setdefault("content-type", "application/x-www-form-urlencoded")
            case "-H":
                name, _, value = next(words).partition(": ")
                headers[name] = value
            case _:
                url = word
    assert url.startswith("$API/"), command
    return Example(method or ("POST" if body else "GET"), url.removeprefix("$API"), body, headers, shown)


@dataclass(slots=True)
class Reader:
    """Somebody who types a page's commands in, with the tokens that their own answers had."""

    http: httpx.AsyncClient
    tokens: dict[str, str] = field(default_factory=dict)

    async def run(self, example: Example) -> None:
        """Raises AssertionError when the answer is not what the page shows."""
        path = TOKEN.sub(lambda shown: self.tokens[shown[0]], example.path)
        answer = await self.http.request(example.method, path, content=example.body, headers=example.headers)
        assert answer.is_success is not example.is_refused, answer.text
        if example.shown is not None:
            self._compare(example.shown, answer.json(), example.path)

    def _compare(self, shown: Any, found: Any, place: str) -> None:
        match shown:
            case dict():
                for name, value in shown.items():
                    self._compare(value, found[name], f"{place}/{name}")
            case list():
                assert len(shown) == len(found), f"{place}: {found}"
                for one, other in zip(shown, found, strict=True):
                    self._compare(one, other, place)
            case str() if TOKEN.fullmatch(shown):
                assert TOKEN.fullmatch(found), f"{place}: {found}"
                self.tokens[shown] = found
            case str() if TIME.fullmatch(shown):
                assert TIME.fullmatch(found), f"{place}: {found}"
            case _:
                assert shown == found, f"{place}: {found}"
