"""The documents lead where they say."""

from __future__ import annotations

import re

from events.reference import reference
from tests.unit.repository.checkout import ROOT, tracked_files

LINK = re.compile(r"\]\((?!https?:|mailto:|#)([^)#\s]+)")


def test_every_link_of_a_document_leads_to_a_file() -> None:
    """A relative link in a tracked Markdown file names a file or folder of the checkout."""
    broken = [
        f"{path.relative_to(ROOT)}: {target}"
        for path in tracked_files()
        if path.suffix == ".md"
        for target in LINK.findall(path.read_text())
        if not (path.parent / target).exists()
    ]
    assert not broken, "\n".join(broken)


def test_the_index_of_the_documents_lists_every_page() -> None:
    """A page that docs/README.md does not name is not found by its reader."""
    index = (ROOT / "docs" / "README.md").read_text()
    lost = [
        page.name
        for page in (ROOT / "docs").glob("*.md")
        if page.name != "README.md" and page.name not in index
    ]
    assert not lost


def test_the_event_reference_is_what_the_schemas_say() -> None:
    """docs/events.md was written from the schemas as they are now (`make docs`)."""
    assert (ROOT / "docs" / "events.md").read_text() == reference()
