"""Settings: one home and one name for each, and a wrong name is told."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from api.addresses import Addresses, read_addresses, remove_addresses, write_addresses
from api.settings import SettingsError, load_settings, unknown_names


@pytest.fixture(autouse=True)
def somewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to be in, and an environment without settings."""
    for name in [name for name in os.environ if name.startswith("INTERLOCK_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_defaults_are_one_machine() -> None:
    """Without any setting all is on the loopback address."""
    settings = load_settings()
    assert (settings.log.bootstrap, settings.api.host, settings.api.port) == (
        "127.0.0.1:9092",
        "127.0.0.1",
        8080,
    )


def test_the_environment_goes_before_the_file(somewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of each single setting the nearer source counts; the rest of a section is kept."""
    (somewhere / "interlock.yaml").write_text(
        "log:\n  bootstrap: file:9092\n  partitions: 7\napi: {port: 1}\n"
    )
    monkeypatch.setenv("INTERLOCK_LOG__BOOTSTRAP", "env:9092")
    settings = load_settings()
    assert (settings.log.bootstrap, settings.log.partitions, settings.api.port) == ("env:9092", 7, 1)


def test_the_file_may_lie_elsewhere(somewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """INTERLOCK_CONFIG names it."""
    (somewhere / "other.yaml").write_text("live: {namespace: other}\n")
    monkeypatch.setenv("INTERLOCK_CONFIG", str(somewhere / "other.yaml"))
    assert load_settings().live.namespace == "other"


def test_none_takes_away_what_the_file_says(somewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a child of `interlock up` without a history does not find another's."""
    (somewhere / "interlock.yaml").write_text("history: {postgres_dsn: 'postgresql://elsewhere/x'}\n")
    monkeypatch.setenv("INTERLOCK_HISTORY__POSTGRES_DSN", "none")
    assert load_settings().history.postgres_dsn is None


def test_deep_settings_have_names_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two underscores between every two parts."""
    monkeypatch.setenv("INTERLOCK_LIVE__CACHE_TTLS__BREAKER_S", "3")
    assert load_settings().live.cache_ttls.breaker_s == 3


@pytest.mark.parametrize("name", ["INTERLOCK_LOG_BOOTSTRAP", "INTERLOCK_NOSUCH__BOOTSTRAP", "INTERLOCK_PORT"])
def test_a_name_outside_every_section_is_told(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A typing error never passes for the default."""
    monkeypatch.setenv(name, "x")
    with pytest.raises(SettingsError, match=name):
        load_settings()


def test_a_name_that_a_section_does_not_have_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the whole name of the variable."""
    monkeypatch.setenv("INTERLOCK_LOG__BOOTSTRAPS", "x")
    with pytest.raises(SettingsError, match=r"INTERLOCK_LOG__BOOTSTRAPS\): no such setting"):
        load_settings()


def test_a_wrong_value_is_told_with_its_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it may be, and where it was set."""
    monkeypatch.setenv("INTERLOCK_API__PORT", "70000")
    with pytest.raises(SettingsError, match=r"INTERLOCK_API__PORT.*65535"):
        load_settings()


@pytest.mark.parametrize(
    "text, says",
    [("logs: {}\n", "logs"), ("log: [1]\n", "log"), ("log: {partitions: 0}\n", "partitions"), ("{", "read")],
)
def test_a_wrong_file_is_told(text: str, says: str, somewhere: Path) -> None:
    """Unknown sections, wrong shapes, wrong values and broken YAML."""
    (somewhere / "interlock.yaml").write_text(text)
    with pytest.raises(SettingsError, match=says):
        load_settings()


def test_a_named_file_has_to_be_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the defaults would be taken in silence."""
    monkeypatch.setenv("INTERLOCK_CONFIG", "/no/such/file.yaml")
    with pytest.raises(SettingsError, match=r"/no/such/file\.yaml"):
        load_settings()


def test_what_kubernetes_sets_for_services_is_no_setting() -> None:
    """A service called interlock, or interlock-api, puts its addresses into every pod's environment."""
    links = {
        "INTERLOCK_SERVICE_HOST": "10.0.0.1",
        "INTERLOCK_SERVICE_PORT_HTTP": "8080",
        "INTERLOCK_PORT": "tcp://10.0.0.1:8080",
        "INTERLOCK_API_PORT": "tcp://10.0.0.1:8080",
        "INTERLOCK_API_PORT_8080_TCP_ADDR": "10.0.0.1",
    }
    assert unknown_names(links) == []


def test_commands_find_the_servers_of_a_running_up(somewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without flags, and behind whatever was set on purpose; only the process itself takes its addresses away."""
    (somewhere / ".interlock").mkdir()
    running = Addresses(os.getpid(), "http://127.0.0.1:1", {"log": {"bootstrap": "up:1"}}, {"log": "up:1"})
    write_addresses(somewhere / ".interlock", running)
    assert load_settings().log.bootstrap == "up:1"
    monkeypatch.setenv("INTERLOCK_LOG__BOOTSTRAP", "env:9092")
    assert load_settings().log.bootstrap == "env:9092"
    remove_addresses(somewhere / ".interlock", os.getpid() + 1)
    assert read_addresses(somewhere / ".interlock").api_url is not None
    remove_addresses(somewhere / ".interlock", os.getpid())
    assert read_addresses(somewhere / ".interlock").settings == {}


def test_addresses_that_a_dead_process_left_count_for_nothing(somewhere: Path) -> None:
    """A crash leaves the file; nobody is sent to servers that are gone."""
    write_addresses(somewhere, Addresses(2**22 + 1, "http://127.0.0.1:1", {"log": {"bootstrap": "up:1"}}, {}))
    assert read_addresses(somewhere).api_url is None
