"""What the documents and messages tell people to type, set, ask for and look into exists."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from api import problems
from api.cli.app import app
from api.cli.exits import Exit
from api.reference import written
from api.settings import NOT_SETTINGS
from tests.unit.repository.checkout import PACKAGES, ROOT, tracked_files

PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
INTERLOCK: Any = get_command(app)

FENCED = re.compile(r"^```(?:sh|)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
MERMAID = re.compile(r"^```mermaid\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`(?:[A-Z_]+=\S+ )*interlock ([a-z][^`\n]*)`")
TYPED = re.compile(
    r"^(?:ExecStart=|[\d*/ ]{9,})?(?:[A-Z_]+=\S+ )*(?:docker compose exec \w+ |\.venv/bin/)?interlock ([^#\n]*)",
    re.MULTILINE,
)
FILLED_IN = re.compile(r"[{|]")
"""Begins what a message says only when it is made, and further choices."""
SOURCE = re.compile(r"`((?:api|bench|demo|embedded|events|processors|projections|schemas|tests)/[\w/.]*)`")
HEADING_NAMED = re.compile(r"\((docs/\w+\.md), ([A-Z][\w ]+)\)")
ANCHOR = re.compile(r"\]\(([\w./-]*\.md)?#([\w-]+)\)")


def commands() -> Iterator[tuple[Path, str, bool]]:
    """Each `interlock ...` of a page, and of a message: its words, and whether it is one to type in as it stands."""
    for page in PAGES:
        text = page.read_text()
        yield from (
            (page, found.strip(), True) for block in FENCED.findall(text) for found in TYPED.findall(block)
        )
        yield from ((page, found, False) for found in INLINE.findall(FENCED.sub("", text)))
    for source in tracked_files():
        if source.suffix == ".py" and source.relative_to(ROOT).parts[0] in PACKAGES:
            yield from (
                (source, FILLED_IN.split(found)[0], False) for found in INLINE.findall(source.read_text())
            )


def leaf_of(words: list[str]) -> tuple[Any, list[str]]:
    """The command that the words lead to, and what is left for it. KeyError when there is no such command."""
    command = INTERLOCK
    while hasattr(command, "commands") and words and not words[0].startswith("-"):
        command, words = command.commands[words[0]], words[1:]
    return command, words


@pytest.mark.parametrize("page, typed, whole", list(commands()))
def test_a_command_in_the_documents_exists_with_its_options(page: Path, typed: str, whole: bool) -> None:
    """One in a block is complete; one in a sentence may leave out its arguments."""
    assert page.exists()
    command, rest = leaf_of(shlex.split(typed))
    if whole:
        command.make_context("interlock", rest)
    known = {option for parameter in command.params for option in parameter.opts} | {"--help", "-h"}
    assert {word.split("=")[0] for word in rest if word.startswith("--")} <= known


def test_the_tables_of_settings_and_metrics_are_current() -> None:
    """docs/operating.md was written by `make docs` after the last setting or metric changed."""
    page = (ROOT / "docs" / "operating.md").read_text()
    assert page == written(page)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_setting_or_metric_that_a_page_names_exists(page: Path) -> None:
    """The table has every setting, the last part of its name is enough in a sentence about it."""
    table = (ROOT / "docs" / "operating.md").read_text()
    settings = set(re.findall(r"^\| `(INTERLOCK_\w+)`", table, re.MULTILINE)) | NOT_SETTINGS
    metrics = set(re.findall(r"^\| `(interlock_\w+)`", table, re.MULTILINE))
    text = page.read_text()
    assert set(re.findall(r"\bINTERLOCK_[A-Z_]+\b(?![<*])", text)) <= settings
    assert set(re.findall(r"\binterlock_[a-z_]+\b", text)) <= metrics | {"interlock_client"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_source_that_a_page_names_is_there(page: Path) -> None:
    """A reader of the architecture opens the file beside it."""
    named = {name for name in SOURCE.findall(page.read_text()) if "<" not in name}
    assert not {name for name in named if not (ROOT / name).exists()}


@pytest.mark.parametrize(
    "page", [ROOT / "README.md", ROOT / "docs" / "architecture.md"], ids=lambda p: p.name
)
def test_a_box_of_a_diagram_is_a_folder(page: Path) -> None:
    """The picture is a map: each name with a slash is a folder."""
    [diagram] = MERMAID.findall(page.read_text())
    boxes = set(re.findall(r"(?<!<)\b([a-z]+(?:/[a-z]+)*)/(?=[\"<:\s])", diagram))
    assert boxes
    assert not {box for box in boxes if not ((ROOT / box).is_dir() or (ROOT / "projections" / box).is_dir())}


def test_the_architecture_draws_every_room() -> None:
    """A package that is not on the map is not found."""
    [diagram] = MERMAID.findall((ROOT / "docs" / "architecture.md").read_text())
    assert set(re.findall(r"<b>(\w+)/</b>", diagram)) == {*PACKAGES, "schemas", "tests", "bench"}


def test_every_kind_of_problem_is_explained() -> None:
    """docs/using.md lists the types that the API answers with, each beside its status."""
    source = Path(problems.__file__).read_text() + (ROOT / "api" / "middleware.py").read_text()
    answered = set(re.findall(r"Problem\(\s*(?:\d+,\s*)\"([a-z-]+)\"", source))
    answered |= set(re.findall(r"\d+: \(\"([a-z-]+)\"", source))
    table = (ROOT / "docs" / "using.md").read_text().partition("`urn:interlock:problem:`")[2]
    rows = re.findall(r"^\| \d{3} \| (.*?) \|", table, re.MULTILINE)
    assert {name for row in rows for name in re.findall(r"`([a-z-]+)`", row)} == answered


def test_every_exit_code_is_explained() -> None:
    """docs/using.md lists what a script may see."""
    table = (ROOT / "docs" / "using.md").read_text().partition("| exit code |")[2]
    assert {int(code) for code in re.findall(r"^\| (\d+) \|", table, re.MULTILINE)} == set(Exit)


def test_every_link_to_a_heading_finds_it() -> None:
    """An anchor is a heading of its page, as it is shown on the web."""
    for page in PAGES:
        for target, anchor in ANCHOR.findall(page.read_text()):
            text = (page.parent / target if target else page).read_text()
            headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
            assert anchor in {re.sub(r"[^\w -]", "", one.lower()).replace(" ", "-") for one in headings}, page


def test_a_page_that_a_message_names_has_that_heading() -> None:
    """A message says `(docs/page.md, Heading)` when what is to be done does not fit into a line."""
    named = {
        found
        for source in tracked_files()
        if source.suffix == ".py" and source.relative_to(ROOT).parts[0] in PACKAGES
        for found in HEADING_NAMED.findall(source.read_text())
    }
    assert ("docs/runbooks.md", "Broker lost") in named
    assert not [
        (page, heading) for page, heading in named if f"# {heading}\n" not in (ROOT / page).read_text()
    ]
