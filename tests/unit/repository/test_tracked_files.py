"""What is tracked can be cloned anywhere: nothing in it belongs to one machine or one mirror."""

from __future__ import annotations

import re

from tests.unit.repository.checkout import ROOT, tracked_files

FORBIDDEN = {
    "address of a package registry": re.compile(
        r"pypi\.org|pythonhosted\.org|npmjs\.org|crates\.io|proxy\.golang\.org|deb\.debian\.org"
        r"|repo1?\.maven\.(?:apache\.)?org|\b(?:ghcr|docker|quay)\.io/"
    ),
    "choice of a package index": re.compile(r"--(?:extra-)?index-url|--find[-]links|--trusted[-]host"),
    "path of one machine": re.compile(r"/(?:work|root|Users)/\w|/home/\w"),
}


def test_no_tracked_file_names_a_registry_or_a_machine() -> None:
    """Where packages come from is the machine's own setting, and so is where the checkout lies."""
    found = [
        f"{path.relative_to(ROOT)}:{number} {what}: {match[0]}"
        for path in tracked_files()
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), start=1)
        for what, pattern in FORBIDDEN.items()
        if (match := pattern.search(line))
    ]
    assert not found, "\n".join(found)
