"""What an operator decides: one frozen object, read from a TOML file and the command line, checked whole.

Precedence: command line, then the file. Paths in the file are relative to the file. An unknown key, a wrong type or a
value out of range is a `ConfigurationError` that names the file and the key; nothing is ever ignored.
"""

from __future__ import annotations

import ipaddress
import os
import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from holdfast.errors import ConfigurationError
from holdfast.files import BYTE_ORDER_MARK, read_file

if TYPE_CHECKING:
    from collections.abc import Mapping

LIMIT_MAX = 2**63 - 1
WORKERS_COUNT_MAX = 256
LEASE_MS_MIN = 2_500
"""The supervisor renews leases each 1.0 to 1.2 s, and one renewal may be late. With less, a hub that is well admits
nobody part of the time."""
# RFC 1123 §2.1 host names; an address is allowed too, for closed networks without a name service.
HOST_NAME = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)(\.(?!-)[a-z0-9-]{1,63}(?<!-))*", re.ASCII)
TENANT_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)


def cores_count() -> int:
    """Cores that this process may use."""
    try:
        return min(len(os.sched_getaffinity(0)), WORKERS_COUNT_MAX)
    except AttributeError:  # not everywhere
        return min(os.cpu_count() or 1, WORKERS_COUNT_MAX)


def is_address(text: str) -> bool:
    """Whether `text` is an IPv4 or IPv6 address, and no name."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that `serve` and the commands beside it need to know."""

    hub: str = "localhost"
    """The hub's name, as devices are given it. Possession challenges are bound to it."""
    tenant: str = "default"
    """Whose CAs and devices these are."""
    state_dir: Path = Path("state")
    """Where the registry, the inbox and the telemetry are kept; made with mode 0700."""
    mqtt_host: str = "0.0.0.0"  # noqa: S104 (a hub is there to be reached; certificates decide who is let in)
    """Address to listen on for MQTT over TLS."""
    mqtt_port: int = 8883
    """Port to listen on for MQTT over TLS; stock SDKs know no other than 8883."""
    metrics_host: str = "127.0.0.1"
    """Address to answer `/metrics`, `/livez` and `/readyz` on, of this machine alone: nobody is asked who they are."""
    metrics_port: int = 0
    """Port for that; 0: none."""
    lenient_metrics_host: bool = False
    """Let `metrics_host` be an address that others reach, and read how busy the hub is and what it refuses."""
    certificate: Path = Path("tls.pem")
    """The hub's own TLS certificate with its chain, PEM."""
    private_key: Path = Path("tls.key")
    """Its key, PEM, readable by its owner alone."""
    workers: int = field(default_factory=cores_count)
    """Processes that serve devices; as many as there are cores."""
    drain_seconds: int = 10
    """How long a stopping hub lets devices finish what is in hand."""
    resumption: bool = True
    """Let a device that has proven its key come back within an hour by a TLS 1.3 ticket (trust.md §1.3): that costs the
    hub and the device less, and its path is judged anew all the same."""
    lenient_issuance_proof: bool = False
    """Accept a proof by issuance also where several tenants share the hub (trust.md §4.3)."""
    limits: Mapping[str, int] = field(default_factory=dict)
    """Bounds on connections that are to be other than their defaults; docs/operator.md lists them."""

    def __post_init__(self) -> None:
        if not HOST_NAME.fullmatch(self.hub) and not is_address(self.hub):
            raise _bad("hub", self.hub, "a host name in lower case, or an address")
        if not TENANT_NAME.fullmatch(self.tenant):
            raise _bad("tenant", self.tenant, "1 to 63 of a-z, 0-9 and '-', not at its ends")
        if not is_address(self.mqtt_host):
            raise _bad("mqtt_host", self.mqtt_host, "an IPv4 or IPv6 address")
        if not 1 <= self.mqtt_port <= 65535:
            raise _bad("mqtt_port", self.mqtt_port, "1 to 65535")
        self._check_metrics()
        if not 1 <= self.workers <= WORKERS_COUNT_MAX:
            raise _bad("workers", self.workers, f"1 to {WORKERS_COUNT_MAX}")
        if not 0 <= self.drain_seconds <= 3600:
            raise _bad("drain_seconds", self.drain_seconds, "0 to 3600")
        # Its other bound, and those of all other limits, the gate knows.
        if self.limits.get("lease_ms", LEASE_MS_MIN) < LEASE_MS_MIN:
            message = f"limit lease_ms must not be below {LEASE_MS_MIN}"
            raise ConfigurationError("bad_limit", message, hint="It is renewed about once a second")

    def _check_metrics(self) -> None:
        if not is_address(self.metrics_host):
            raise _bad("metrics_host", self.metrics_host, "an IPv4 or IPv6 address")
        if not ipaddress.ip_address(self.metrics_host).is_loopback and not self.lenient_metrics_host:
            raise _bad("metrics_host", self.metrics_host, "a loopback address, or lenient_metrics_host = true")
        if not 0 <= self.metrics_port <= 65535:
            raise _bad("metrics_port", self.metrics_port, "0 to 65535")
        if self.metrics_port == self.mqtt_port and _overlap(self.metrics_host, self.mqtt_host):
            raise _bad("metrics_port", self.metrics_port, f"another port than mqtt_port has on {self.mqtt_host}")

    @property
    def registry_file(self) -> Path:
        """The registry's database."""
        return self.state_dir / "registry.db"

    @property
    def inbox_file(self) -> Path:
        """What is kept for devices: sessions, messages, wills."""
        return self.state_dir / "inbox.db"

    @property
    def telemetry_dir(self) -> Path:
        """Where each worker keeps its telemetry log."""
        return self.state_dir / "telemetry"


def load(path: Path | None, overrides: Mapping[str, Any]) -> Settings:
    """Read the file at `path`, if one is named, and lay `overrides` over it; those that are `None` change nothing.

    Raises:
        ConfigurationError: `unreadable_file`, `bad_settings`, `unknown_setting`, `bad_setting`.
        LimitExceededError: `file_too_large`.
    """
    given = {} if path is None else _read(path)
    given |= {name: value for name, value in overrides.items() if value is not None}
    return Settings(**given)


def _read(path: Path) -> dict[str, Any]:
    try:
        table = tomllib.loads(read_file(path).removeprefix(BYTE_ORDER_MARK).decode())
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        message = f"{path} is not TOML: {error}"
        raise ConfigurationError("bad_settings", message) from error
    return {name: _value(name, value, path) for name, value in table.items()}


# What each key of the file must be; every field of Settings has its entry (a test compares them).
KINDS: Mapping[str, type] = {
    "hub": str,
    "tenant": str,
    "state_dir": Path,
    "mqtt_host": str,
    "mqtt_port": int,
    "metrics_host": str,
    "metrics_port": int,
    "lenient_metrics_host": bool,
    "certificate": Path,
    "private_key": Path,
    "workers": int,
    "drain_seconds": int,
    "resumption": bool,
    "lenient_issuance_proof": bool,
    "limits": dict,
}
NAMES = {str: "text", Path: "a path", int: "a whole number", bool: "true or false", dict: "a table"}


def _value(name: str, value: object, path: Path) -> object:
    kind = KINDS.get(name)
    if kind is None:
        message = f"{path}: there is no setting '{name}'"
        raise ConfigurationError("unknown_setting", message, hint=f"The settings are {', '.join(sorted(KINDS))}")
    written_as = str if kind is Path else kind
    if type(value) is not written_as:  # bool is an int to isinstance
        message = f"{path}: '{name}' must be {NAMES[kind]}"
        raise ConfigurationError("bad_setting", message)
    if kind is Path:
        return path.parent / str(value)
    # Which of them may be 0, the gate knows.
    if isinstance(value, dict) and not all(type(one) is int and 0 <= one <= LIMIT_MAX for one in value.values()):
        message = f"{path}: every entry of '{name}' must be a whole number, and not below 0"
        raise ConfigurationError("bad_setting", message)
    return value


def _overlap(one: str, other: str) -> bool:
    """Whether somebody who listens on either is in the other's way: `0.0.0.0` and `::` are all of their kind."""
    a, b = ipaddress.ip_address(one), ipaddress.ip_address(other)
    return a == b or (a.version == b.version and (a.is_unspecified or b.is_unspecified))


def _bad(name: str, value: object, wanted: str) -> ConfigurationError:
    return ConfigurationError("bad_setting", f"'{name}' is {value!r}, wanted is {wanted}")
