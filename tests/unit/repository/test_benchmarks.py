"""What `python -m bench` measures is explained in docs/benchmarks.md."""

from __future__ import annotations

import re
import sys

import pytest

from bench.__main__ import HEADLINES, MEASURES, ONLY_WHEN_NAMED, SIZED, main
from tests.unit.repository.checkout import ROOT

PAGE = (ROOT / "docs" / "benchmarks.md").read_text()


def test_every_key_of_the_last_line_is_explained() -> None:
    """The table of the page has a row for each, and for nothing else."""
    assert set(re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE)) == set(HEADLINES)


def test_no_key_has_the_name_of_a_measure() -> None:
    """Both stand beside each other in the last line, and one would take the place of the other."""
    assert not set(HEADLINES) & MEASURES.keys()


def test_what_the_whole_run_leaves_out_is_named_with_its_command() -> None:
    """Nobody has to read the code to find a measure that is long."""
    named = set(re.findall(r"`(?:make bench )?ONLY=(\w+)`", PAGE))
    assert named <= MEASURES.keys()
    assert named >= ONLY_WHEN_NAMED


@pytest.mark.parametrize(
    "arguments",
    [["--events", "10"], ["--only", "fold", "--events", "10"], ["--only", SIZED[0], "--events", "0"]],
)
def test_a_size_is_refused_where_it_says_nothing(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A figure of another size than its key says would be compared with the wrong ones."""
    monkeypatch.setattr(sys, "argv", ["bench", *arguments])
    with pytest.raises(SystemExit):
        main()
    assert "--events takes a number above 0" in capsys.readouterr().err
