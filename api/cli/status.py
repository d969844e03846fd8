"""`interlock status`: how far everything is."""

from __future__ import annotations

import sys
from typing import Any

from api.cli.client import ApiClient, ApiUrl, Generation
from api.cli.exits import Exit
from api.cli.output import AsJson, people, print_json, print_table, remark


def status(generation: Generation = None, api: ApiUrl = None, as_json: AsJson = False) -> None:
    """Show positions, lags and owners of all slots.

    Ends with 3 when the log or the live state is away, and with 1 when something else is wrong. Example: interlock status --json
    """
    client = ApiClient(api)
    answer = client.get("/v1/status", generation=generation)
    if as_json:
        print_json(answer)
    else:
        _show(client.url, answer)
    if answer["problems"]:
        sys.exit(Exit.UNAVAILABLE if answer["lag"] is None else Exit.FAILED)


def _show(url: str, answer: dict[str, Any]) -> None:
    lag = "unknown" if answer["lag"] is None else answer["lag"]
    people.print(
        f"Interlock {answer['version']} at {url}: generation {answer['generation']}, lag {lag} records"
    )
    rows = [
        (
            slot["slot"],
            "" if slot["lag"] is None else sum(slot["lag"].values()),
            " ".join(f"{topic}:{offset}" for topic, offset in slot["positions"].items()),
            slot["epoch"],
            slot["owner"] or "nobody",
        )
        for slot in answer["slots"]
    ]
    print_table(("slot", "lag", "folded up to", "epoch", "owner"), rows, empty="no slot is known")
    if answer["sinks"]:
        print_table(
            ("sink", "lag", "partitions"),
            [
                (sink["sink"], "unknown" if sink["lag"] is None else sink["lag"], len(sink["positions"]))
                for sink in answer["sinks"]
            ],
            empty="",
        )
    for problem in answer["problems"]:
        remark(problem)
