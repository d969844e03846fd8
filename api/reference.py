"""The tables of settings and metrics for people: `python -m api.reference docs/operating.md` writes them into the page."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from annotated_types import Interval
from prometheus_client.metrics import MetricWrapperBase
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from api.metrics import ApiMetrics
from api.settings import PREFIX, Settings
from processors import metrics as worker_metrics

_END = "<!-- end -->"


def written(page: str) -> str:
    """The page with its tables as they have to be now, each between its own comment and the end's."""
    for name, rows in (("settings", _settings()), ("metrics", _metrics())):
        before, begin, rest = page.partition(f"<!-- {name}: generated -->\n")
        _, end, after = rest.partition(_END)
        if not end:
            raise ValueError(f"the page has no place for {name}: write <!-- {name}: generated --> and {_END}")
        table = "".join(f"{row}\n" for row in rows)
        page = f"{before}{begin}{table}{end}{after}"
    return page


def _settings() -> Iterator[str]:
    yield "| setting | default | meaning |"
    yield "|---|---|---|"
    for section, info in Settings.model_fields.items():
        yield from _rows(f"{PREFIX}{section.upper()}__", info)


def _rows(prefix: str, of: FieldInfo) -> Iterator[str]:
    assert isinstance(of.annotation, type)
    assert issubclass(of.annotation, BaseModel)
    for name, field in of.annotation.model_fields.items():
        variable = prefix + name.upper()
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _rows(f"{variable}__", field)
            continue
        default = "none" if field.default is None else f"`{_plain(field.default)}`"
        yield f"| `{variable}` | {default} | {field.description}{_bounds(field)} |"


def _plain(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _bounds(field: FieldInfo) -> str:
    bounds = [given for given in field.metadata if isinstance(given, Interval)]
    return "".join(f" From {_plain(bound.ge)} to {_plain(bound.le)}." for bound in bounds)


def _metrics() -> Iterator[str]:
    yield "| metric | kind | labels | meaning | from |"
    yield "|---|---|---|---|---|"
    for origin, found in (("API", vars(ApiMetrics())), ("worker", vars(worker_metrics))):
        for metric in found.values():
            if isinstance(metric, MetricWrapperBase):
                yield _metric(metric, origin)


def _metric(metric: MetricWrapperBase, origin: str) -> str:
    [family] = metric.describe()
    name = f"{family.name}_total" if family.type == "counter" else family.name
    labels = ", ".join(f"`{label}`" for label in metric._labelnames)  # noqa: SLF001 - there is no public handle
    return f"| `{name}` | {family.type} | {labels} | {family.documentation}. | {origin} |"


def main() -> None:
    """Write the tables into the page that is named."""
    page = Path(sys.argv[1])
    page.write_text(written(page.read_text()))


if __name__ == "__main__":
    main()
