"""Settings: what is given is checked whole, and nothing is ignored."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pytest

from holdfast.errors import ConfigurationError
from holdfast.settings import KINDS, Settings, load

if TYPE_CHECKING:
    from pathlib import Path


def test_every_setting_can_stand_in_the_file() -> None:
    assert {field.name for field in dataclasses.fields(Settings)} == set(KINDS)


def test_a_file_is_read_and_the_command_line_wins(tmp_path: Path) -> None:
    path = tmp_path / "holdfast.toml"
    path.write_text('hub = "hub.example"\nstate_dir = "s"\nmqtt_port = 1883\n[limits]\nconnect_bytes_max = 9\n')
    settings = load(path, {"mqtt_port": 8884, "tenant": None})
    assert (settings.hub, settings.mqtt_port, settings.tenant) == ("hub.example", 8884, "default")
    assert settings.state_dir == tmp_path / "s"
    assert settings.registry_file == tmp_path / "s" / "registry.db"
    assert settings.limits == {"connect_bytes_max": 9}
    assert load(None, {}) == Settings()


@pytest.mark.parametrize("hub", ["hub.example", "localhost", "a", "192.0.2.1", "2001:db8::1", "x" * 63 + ".y"])
def test_names_of_hubs(hub: str) -> None:
    assert Settings(hub=hub).hub == hub


@pytest.mark.parametrize(
    "given",
    [
        {"hub": ""},
        {"hub": "Hub.example"},
        {"hub": "a b"},
        {"hub": "-a"},
        {"hub": "a..b"},
        {"hub": "x" * 64},
        {"hub": "a\nb"},
        {"tenant": ""},
        {"tenant": "A"},
        {"tenant": "a/b"},
        {"tenant": "-a"},
        {"mqtt_host": "localhost"},
        {"mqtt_port": 0},
        {"mqtt_port": 65536},
        {"metrics_host": "localhost"},
        {"metrics_host": "0.0.0.0"},  # noqa: S104 (it is refused)
        {"metrics_host": "::"},
        {"metrics_host": "192.0.2.1"},
        {"metrics_port": -1},
        {"metrics_port": 65536},
        {"drain_seconds": -1},
        {"drain_seconds": 3601},
    ],
)
def test_values_out_of_range(given: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load(None, given)
    assert caught.value.code == "bad_setting"
    assert next(iter(given)) in caught.value.message


def test_metrics_are_for_this_machine_unless_the_operator_says_otherwise() -> None:
    assert Settings().metrics_port == 0
    for host in ("127.0.0.1", "127.8.8.8", "::1"):
        assert Settings(metrics_host=host, metrics_port=9464).metrics_host == host
    assert Settings(metrics_host="192.0.2.1", lenient_metrics_host=True).metrics_host == "192.0.2.1"


@pytest.mark.parametrize(
    ("mqtt", "metrics", "fits"),
    [
        ("0.0.0.0", "127.0.0.1", False),  # noqa: S104 (nobody listens)
        ("127.0.0.1", "127.0.0.1", False),
        ("127.0.0.2", "127.0.0.1", True),
        ("::", "::1", False),
        ("::1", "127.0.0.1", True),
    ],
)
def test_metrics_have_a_port_of_their_own(mqtt: str, metrics: str, *, fits: bool) -> None:
    assert Settings(mqtt_host=mqtt, metrics_host=metrics, mqtt_port=9464, metrics_port=9465)
    if fits:
        assert Settings(mqtt_host=mqtt, metrics_host=metrics, mqtt_port=9464, metrics_port=9464)
        return
    with pytest.raises(ConfigurationError) as caught:
        Settings(mqtt_host=mqtt, metrics_host=metrics, mqtt_port=9464, metrics_port=9464)
    assert (caught.value.code, "mqtt_port" in caught.value.message) == ("bad_setting", True)


def test_a_lease_lasts_until_it_is_renewed() -> None:
    assert Settings(limits={"lease_ms": 2_500}).limits == {"lease_ms": 2_500}
    for lease_ms in (0, 1, 2_499):
        with pytest.raises(ConfigurationError) as caught:
            Settings(limits={"lease_ms": lease_ms})
        assert caught.value.code == "bad_limit"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("hubb = 1", "unknown_setting"),
        ("hub = 1", "bad_setting"),
        ("mqtt_port = true", "bad_setting"),
        ("mqtt_port = 1.5", "bad_setting"),
        ("lenient_issuance_proof = 1", "bad_setting"),
        ("state_dir = []", "bad_setting"),
        ("limits = 1", "bad_setting"),
        ('[limits]\nx = "1"', "bad_setting"),
        ("[limits]\nx = false", "bad_setting"),
        ("[limits]\nx = -1", "bad_setting"),
        ("hub = ", "bad_settings"),
    ],
)
def test_files_that_say_what_is_none(tmp_path: Path, text: str, code: str) -> None:
    path = tmp_path / "holdfast.toml"
    path.write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        load(path, {})
    assert caught.value.code == code
    assert str(path) in caught.value.message


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    cases = {".": "unreadable_file", "nowhere": "unreadable_file", "binary.toml": "bad_settings"}
    for name, code in cases.items():
        with pytest.raises(ConfigurationError) as caught:
            load(tmp_path / name, {})
        assert caught.value.code == code
