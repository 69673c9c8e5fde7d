"""A fleet's directory: the devices in one file, the CAs' certificates as PEM, the CAs' keys for whoever misbehaves.

Nothing in it protects anything: the keys belong to devices that do not exist. They are 0600 nevertheless.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import shutil
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from holdfast._holdfast import FleetChain, FleetDevices
from holdfast.errors import ConfigurationError, ConflictError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from pathlib import Path

DEVICES = "devices.pack"
ROOT = "root.pem"
INTERMEDIATES = "intermediates.pem"
KEYS = "keys"
CARD = "fleet.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """A fleet that lies in a directory."""

    directory: Path
    devices: FleetDevices

    @classmethod
    def open(cls, directory: Path) -> Fleet:
        """The fleet of `directory`.

        Raises:
            ConfigurationError: `fleet_file_failed`, `bad_fleet_file`.
        """
        try:
            return cls(directory=directory, devices=FleetDevices(str(directory / DEVICES)))
        except ConfigurationError as error:
            message = f"{directory / DEVICES}: {error.message}"
            raise ConfigurationError(error.code, message, hint=error.hint) from error

    @property
    def devices_file(self) -> Path:
        """The devices."""
        return self.directory / DEVICES

    def issuer_key(self) -> bytes | None:
        """The key that signed the devices, PKCS #8 DER, where it still lies there."""
        names = self.devices.authority_names
        try:
            text = (self.directory / KEYS / _key_file(len(names) - 1, names[-1])).read_text()
        except FileNotFoundError:
            return None
        return base64.b64decode("".join(line for line in text.splitlines() if not line.startswith("-----")))

    def export(self, number: int, stem: Path) -> tuple[Path, Path]:
        """Write what device `number` presents, and its key, as new PEM files `{stem}.pem` and `{stem}.key`.

        Raises:
            ConfigurationError: `no_such_device`.
            ConflictError: `file_exists`.
        """
        certificate, key = (stem.with_name(f"{stem.name}.{ending}") for ending in ("pem", "key"))
        chain = "".join(pem("CERTIFICATE", der) for der in self.devices.chain(number))
        write_new(certificate, chain, 0o644)
        write_new(key, pem("PRIVATE KEY", self.devices.private_key(number)), 0o600)
        return certificate, key


def make(
    directory: Path,
    *,
    names: Sequence[str],
    prefix: str,
    count: int,
    begins: datetime,
    days: int,
    seed: str | None,
    threads: int,
) -> Fleet:
    """Make a supply chain of CAs, the root's name first, and `count` devices under the last; in a new directory.

    Raises:
        ConfigurationError: `bad_fleet`: a name, prefix or count that cannot be; `fleet_file_failed`.
        ConflictError: `file_exists`.
    """
    octets = None if seed is None else hashlib.sha256(seed.encode()).digest()
    chain = FleetChain(names, not_before=begins, not_after=begins + timedelta(days=days), seed=octets)
    missing = [one for one in (directory, *directory.parents) if not one.exists()]
    try:
        directory.mkdir(parents=True)
        (directory / KEYS).mkdir(mode=0o700)
    except FileExistsError as error:
        raise ConflictError("file_exists", f"{directory} is there already") from error
    except OSError as error:
        raise ConfigurationError("fleet_file_failed", f"cannot make {directory}: {error.strerror}") from error
    try:
        _fill(directory, chain, names=names, prefix=prefix, count=count, threads=threads)
        card = {
            "format": "holdfast-fleet",
            "authorities": list(names),
            "devices": count,
            "prefix": prefix,
            "seed": seed,
            "not_before": begins.isoformat(),
            "not_after": (begins + timedelta(days=days)).isoformat(),
        }
        write_new(directory / CARD, json.dumps(card, indent=2) + "\n", 0o644)
    except BaseException:
        shutil.rmtree(directory, ignore_errors=True)  # it was made above
        for one in missing[1:]:
            with suppress(OSError):
                one.rmdir()
        raise
    return Fleet.open(directory)


def _fill(directory: Path, chain: FleetChain, *, names: Sequence[str], prefix: str, count: int, threads: int) -> None:
    root, *intermediates = (pem("CERTIFICATE", der) for der in chain.certificates)
    write_new(directory / ROOT, root, 0o644)
    write_new(directory / INTERMEDIATES, "".join(reversed(intermediates)), 0o644)
    for position, (name, key) in enumerate(zip(names, chain.private_keys, strict=True)):
        write_new(directory / KEYS / _key_file(position, name), pem("PRIVATE KEY", key), 0o600)
    chain.make_devices(str(directory / DEVICES), prefix=prefix, count=count, threads=threads)


def pem(label: str, der: bytes) -> str:
    """RFC 7468."""
    from holdfast.authority.pem import to_pem

    return to_pem(label, [der]).decode()


def write_new(path: Path, text: str, mode: int) -> None:
    """Write a file that is not there yet.

    Raises:
        ConflictError: `file_exists`.
        ConfigurationError: `fleet_file_failed`.
    """
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w") as file:
            file.write(text)
    except FileExistsError as error:
        raise ConflictError("file_exists", f"{path} is there already") from error
    except OSError as error:
        raise ConfigurationError("fleet_file_failed", f"cannot write {path}: {error.strerror}") from error


def _key_file(position: int, name: str) -> str:
    """The position keeps names apart that are the same without their special characters."""
    return f"{position}-{re.sub(r'[^a-z0-9]+', '-', name.lower()).strip('-')}.key"
