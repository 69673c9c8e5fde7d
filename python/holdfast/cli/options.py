"""What several commands share: where the settings are, who is acting, files that are read whole."""

from __future__ import annotations

import getpass
import math
import os
import re
import sys
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from holdfast.cli.text import text
from holdfast.errors import LimitExceededError
from holdfast.files import FILE_BYTES_MAX, read_file
from holdfast.settings import Settings, load

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from holdfast._holdfast import Certificate
    from holdfast.registry import Registry
    from holdfast.registry.closures import Named

SETTINGS_FILE = Path("holdfast.toml")
HASH = re.compile(r"[0-9A-Fa-f:]{32,}")
"""SHA-256, as `openssl x509 -fingerprint -sha256` shows it, or without the colons; or what was meant to be one."""


class Moment(click.ParamType[datetime]):
    """Seconds since 1970, as openssl wants them, or ISO 8601; UTC where no zone is named."""

    name = "TIME"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:  # noqa: ANN401
        """Read `value`."""
        if isinstance(value, datetime):
            return value
        try:
            if value.lstrip("-").isdigit():
                return datetime.fromtimestamp(int(value), UTC)
            read = datetime.fromisoformat(value)
        except (ValueError, OverflowError, OSError):
            self.fail(f"{value!r} is neither seconds since 1970 nor a time like 2026-01-31T12:00:00Z", param, ctx)
        return read if read.tzinfo else read.replace(tzinfo=UTC)


at_option = click.option("--at", "-attime", type=Moment(), help="Judge at this time. [default: now]")
REASON = click.option("--reason", type=text, default="", help="Why, for the record.")
UNSEEN = click.option(
    "--unseen",
    is_flag=True,
    help="Take a hash that the hub has never met for the key's (SPKI), not a certificate's; better name the file.",
)


class Decimal(click.FloatRange):
    """A number that is one: `nan` lies in every range, and nothing comes of `inf`."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:  # noqa: ANN401
        """Read `value`."""
        read: float = super().convert(value, param, ctx)
        if not math.isfinite(read):
            self.fail(f"{value!r} is not a finite number", param, ctx)
        return read


_STATE_DIR = click.option("--state-dir", type=click.Path(path_type=Path), help="Where the hub keeps its state.")
_TENANT = click.option("--tenant", help="Whose CAs these are.")
_HUB = click.option("--hub", help="The hub's name.")
_CONFIG = click.option(
    "--config", type=click.Path(path_type=Path), help="TOML file with settings; holdfast.toml here, if it is there."
)
YES = click.option("--yes", is_flag=True, help="Do not ask.")


def settings_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--config`, `--hub`, `--tenant`, `--state-dir`; `read_settings` makes settings of them."""
    return _CONFIG(_HUB(_TENANT(_STATE_DIR(command))))


def hub_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The same for what is done with all tenants: without `--tenant`."""
    return _CONFIG(_HUB(_STATE_DIR(command)))


def place_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The same for what lies in the state directory, whosever it is: without `--hub` and `--tenant`."""
    return _CONFIG(_STATE_DIR(command))


def read_settings(config: Path | None, **overrides: object) -> Settings:
    """The settings of the file named, or of `holdfast.toml` in this directory, with `overrides` on top."""
    return load(find_settings(config), overrides)


def find_settings(config: Path | None) -> Path | None:
    """The file of settings: the one that is named, or `holdfast.toml` in this directory if it is there now."""
    return SETTINGS_FILE if config is None and SETTINGS_FILE.exists() else config


def file_base(value: str) -> Path:
    """What file names begin with: of a directory's name they would be hidden in it, or stand beside it."""
    if value.endswith(("/", os.sep)) or Path(value).is_dir():
        message = f"'{value}' is a directory; what files are to be called is wanted"
        raise click.BadParameter(message, param_hint="'--out'")
    return Path(value)


def now() -> datetime:
    """The present, UTC."""
    return datetime.now(UTC)


def actor() -> str:
    """Whose process this is, for the record: the account's name, or its number where it has none.

    The system's word. What the environment says (`LOGNAME`, `SUDO_USER`), whoever types the command can say.
    """
    if sys.platform == "win32":
        return getpass.getuser()  # there is no other word there
    import pwd

    try:
        return text(pwd.getpwuid(os.getuid()).pw_name)
    except KeyError:
        return f"uid {os.getuid()}"


def read_input(path: Path) -> bytes:
    """The contents of a file, `-` being standard input, of which one byte more than any door takes is read.

    Raises:
        ConfigurationError: `unreadable_file`.
        LimitExceededError: `file_too_large`.
    """
    return sys.stdin.buffer.read(FILE_BYTES_MAX + 1) if str(path) == "-" else read_file(path)


def read_bounded(path: Path, *, bytes_max: int) -> bytes:
    """The contents of a file, `-` being standard input, where no door behind it bounds them.

    Raises:
        ConfigurationError: `unreadable_file`.
        LimitExceededError: `file_too_large`.
    """
    if str(path) != "-":
        return read_file(path, bytes_max=bytes_max)
    data = sys.stdin.buffer.read(bytes_max + 1)
    if len(data) > bytes_max:
        message = f"standard input is larger than the {bytes_max} bytes that are allowed"
        raise LimitExceededError("file_too_large", message)
    return data


@contextmanager
def open_registry(settings: Settings, *, create: bool = False) -> Iterator[Registry]:
    """The registry that `settings` name, for the length of a block; see `Database.open`.

    Only whoever may `create` the registry may name a tenant that is not there.

    Raises:
        RegistrationError: `unknown_tenant`.
    """
    from holdfast import registry  # loads the database library: not for `--help`

    path = settings.registry_file
    with registry.open_registry(path, hub=settings.hub, tenant=settings.tenant, at=now(), create=create) as opened:
        if not create:
            opened.database.check_tenant(settings.tenant)
        yield opened


def find_issuer(registry: Registry, issuer: str, *, unseen: bool) -> Named:
    """The key that `issuer` names: a hash, as `Closures.find_issuer` reads it, or a file with the CA's certificate.

    Raises:
        RegistrationError: `bad_hash`, `unknown_branch`, `not_a_ca`, and as `read_certificate` refuses.
    """
    from holdfast.errors import RegistrationError
    from holdfast.registry.closures import Named

    if HASH.fullmatch(issuer):
        return registry.closures.find_issuer(issuer, unseen=unseen)
    certificate = read_certificate(issuer)
    if not certificate.is_ca:
        raise RegistrationError("not_a_ca", f"the certificate in {issuer} is of no CA: {certificate.subject}")
    return Named.of(certificate)


def read_certificate(file: str) -> Certificate:
    """The certificate that a file names: the first, where it holds its chain.

    Raises:
        ConfigurationError: `unreadable_file`.
        LimitExceededError: `file_too_large`, `upload_too_large`.
        RegistrationError: as `read_named_certificate` refuses.
    """
    from holdfast.registry.upload import read_named_certificate

    return read_named_certificate(read_file(Path(file)))


def noticed(settings: Settings) -> str:
    """By whom a change is noticed that shuts nobody out, for which nobody waits."""
    if sys.platform == "win32":
        return "no hub runs here"
    from holdfast.hub.status import noticed as by

    return by(settings.state_dir, tenant=settings.tenant)


def wait_applied(settings: Settings, epoch: int) -> str:
    """Wait until a hub that runs for this tenant has applied `epoch`; answers by whom it was.

    Raises:
        UnreachableError: `not_acknowledged`.
    """
    if sys.platform == "win32":
        return "no hub runs here"
    from holdfast.hub.status import wait_applied as wait

    return wait(settings.state_dir, tenant=settings.tenant, epoch=epoch)
