"""All settings, a section per package: `INTERLOCK_<SECTION>__<NAME>` in the environment, one YAML file for people.

Of two sources the earlier counts: the environment, the YAML file (`INTERLOCK_CONFIG`, else ./interlock.yaml), the
servers that `interlock up` runs from this folder, the defaults.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import yaml
from annotated_types import Interval
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    YamlConfigSettingsSource,
)

from api.addresses import data_folder, read_addresses
from events.settings import LogSettings
from processors.verify.settings import VerifySettings
from projections.analytics.settings import AnalyticsSettings
from projections.archive.settings import ArchiveSettings
from projections.history.settings import HistorySettings
from projections.retention.settings import RetentionSettings
from projections.settings import LiveSettings

PREFIX = "INTERLOCK_"
CONFIG_NAME = "INTERLOCK_CONFIG"
DEFAULT_FILE = Path("interlock.yaml")
NONE = "none"
"""In the environment: a setting that may be absent is, whatever the file says."""

NOT_SETTINGS = frozenset(
    {CONFIG_NAME, "INTERLOCK_API_URL", "INTERLOCK_DATA", "INTERLOCK_WORKER_ID", "INTERLOCK_TEST_BROKER"}
)
"""Names that start like a setting and are read elsewhere: options of the command line and of the tests."""

_SERVICE_LINK = re.compile(
    r"^INTERLOCK_(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP)(_\w+)?)?)$"
)
"""What Kubernetes puts in the environment for services whose names begin with `interlock`."""


class SettingsError(Exception):
    """A setting is unknown or has a wrong value; the message says which, and where it was found."""


class ApiSettings(BaseModel):
    """The HTTP server."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: Annotated[int, Interval(ge=0, le=65_535)] = Field(
        8080, description="Port to listen on; 0 takes a free one."
    )
    max_body_bytes: Annotated[int, Interval(ge=1024, le=256 * 2**20)] = Field(
        8 * 2**20,
        description="Largest request body; a larger one is refused with 413 before it is read whole.",
    )
    max_batch_events: Annotated[int, Interval(ge=1, le=100_000)] = Field(
        5_000, description="Most events of one POST /v1/events."
    )
    max_in_flight_requests: Annotated[int, Interval(ge=1, le=100_000)] = Field(
        500, description="Requests answered at once; more are told to come back (429)."
    )
    shutdown_timeout_s: Annotated[int, Interval(ge=1, le=300)] = Field(
        10, description="How long open requests may take to end when the server stops."
    )


class Settings(BaseSettings):
    """The whole configuration of a process."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        env_parse_none_str=NONE,
        frozen=True,
        extra="forbid",
        nested_model_default_partial_update=True,
    )

    log: LogSettings = LogSettings()
    live: LiveSettings = LiveSettings()
    api: ApiSettings = ApiSettings()
    history: HistorySettings = HistorySettings()
    analytics: AnalyticsSettings = AnalyticsSettings()
    archive: ArchiveSettings = ArchiveSettings()
    retention: RetentionSettings = RetentionSettings()
    verify: VerifySettings = VerifySettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the signature is the library's
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment goes before the file, and the file before the running embedded servers."""
        file = _config_file(os.environ)
        sources = [init_settings, env_settings]
        if file is not None:
            sources.append(YamlConfigSettingsSource(settings_cls, yaml_file=file))
        return (*sources, _RunningStack(settings_cls))


class _RunningStack(PydanticBaseSettingsSource):
    """Addresses of the servers that `interlock up` runs, so that the other commands need no flags."""

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:  # noqa: ARG002
        return None, field_name, False

    def __call__(self) -> dict[str, Any]:
        return dict(read_addresses(data_folder(os.environ)).settings)


def load_settings() -> Settings:
    """The settings of this process; SettingsError names what is wrong with them."""
    unknown = unknown_names(os.environ)
    if unknown:
        raise SettingsError(
            f"no such setting: {', '.join(unknown)}; a setting is named INTERLOCK_<SECTION>__<NAME>, with two underscores "
            f"after the section ({', '.join(Settings.model_fields)})"
        )
    try:
        return Settings()
    except ValidationError as error:
        raise SettingsError(_explain(error)) from None
    except (yaml.YAMLError, OSError) as error:
        raise SettingsError(f"{_config_file(os.environ)} cannot be read: {error}") from None
    except ValueError as error:
        raise SettingsError(str(error)) from None


def unknown_names(environment: Mapping[str, str]) -> list[str]:
    """Names that start like ours and lead nowhere. (A wrong name within a section is found by the section.)"""
    sections = tuple(f"{PREFIX}{section}__".upper() for section in Settings.model_fields)
    return sorted(
        name
        for name in environment
        if name.upper().startswith(PREFIX)
        and name not in NOT_SETTINGS
        and not name.upper().startswith(sections)
        and not _is_service_link(name, environment[name])
    )


def _is_service_link(name: str, value: str) -> bool:
    found = _SERVICE_LINK.match(name)
    return bool(found) and (
        "SERVICE_" in name or value.startswith(("tcp://", "udp://")) or "_TCP" in name or "_UDP" in name
    )


def _config_file(environment: Mapping[str, str]) -> Path | None:
    named = environment.get(CONFIG_NAME)
    if named:
        if not Path(named).is_file():
            raise SettingsError(f"{CONFIG_NAME} names {named}, and there is no such file")
        return Path(named)
    return DEFAULT_FILE if DEFAULT_FILE.is_file() else None


def _explain(error: ValidationError) -> str:
    findings = []
    for finding in error.errors(include_url=False, include_input=False):
        place = ".".join(str(part) for part in finding["loc"])
        variable = PREFIX + "__".join(str(part).upper() for part in finding["loc"])
        what = "no such setting" if finding["type"] == "extra_forbidden" else finding["msg"]
        findings.append(f"{place} ({variable}): {what}")
    return "; ".join(findings)
