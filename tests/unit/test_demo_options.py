"""What a user may ask of the demo, and what he is told when it cannot be done."""

from __future__ import annotations

from pathlib import Path

import pytest

from demo.errors import BadInputError
from demo.options import DemoOptions

INCIDENTS_HEADER = "incident_id,provider,impact,components,title,started_at,resolved_at\n"


def test_without_arguments_all_comes_from_the_seed() -> None:
    """No file and no instant is needed."""
    options = DemoOptions.of(trace=None, incidents=None, at=None)
    assert options.trace is None
    assert options.at_us == 1_699_450_200_000_000


def test_an_instant_of_history_is_read_with_its_zone(tmp_path: Path) -> None:
    """AT is a time with a zone; the same instant in another zone is the same begin."""
    incidents = tmp_path / "incidents.csv"
    incidents.write_text(INCIDENTS_HEADER)
    in_utc = DemoOptions.of(incidents=incidents, at="2023-11-08T13:30Z")
    in_berlin = DemoOptions.of(incidents=incidents, at="2023-11-08T14:30+01:00")
    assert in_utc.at_us == in_berlin.at_us == 1_699_450_200_000_000


@pytest.mark.parametrize(
    "given,told",
    [
        ({"at": "2023-11-08T13:30Z"}, "give INCIDENTS"),
        ({"incidents": __file__}, "AT=2023-11-08T13:30Z"),
        ({"incidents": __file__, "at": "2023-11-08T13:30"}, "AT: Input should have timezone"),
        ({"incidents": __file__, "at": "yesterday"}, "AT:"),
        ({"trace": "/no/such.csv"}, "TRACE: there is no file /no/such.csv"),
        ({"speed": "fast"}, "SPEED:"),
        ({"speed": 0}, "SPEED:"),
        ({"gateways": 1}, "GATEWAYS: Input should be greater than or equal to 3"),
        ({"workers": 1}, "WORKERS:"),
        ({"report": "/no/such/folder/report.json"}, "REPORT: there is no folder"),
        ({"sed": 3}, "SED:"),
    ],
)
def test_a_wrong_option_is_named_with_what_to_do(given: dict[str, object], told: str) -> None:
    """The error is one line that names the option."""
    with pytest.raises(BadInputError) as caught:
        DemoOptions.of(**given)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)
