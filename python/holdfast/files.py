"""Files: read with a bound, written all together or not at all, and never over another."""

from __future__ import annotations

import enum
import errno
import os
import shutil
import stat
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final, Self

from holdfast.errors import ConfigurationError, ConflictError, LimitExceededError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType

FILE_BYTES_MAX: Final = 64 * 1024
"""A certificate, a chain, a request or a key: what the hub takes as an upload."""

# Windows would translate line ends; a FIFO would block its opener.
_FLAGS: Final = getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)
_SYNCS_AT_ONCE: Final = 16
# What file systems without hard links (FAT, some network shares) answer.
_NO_LINKS: Final = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}


class Readers(enum.Enum):
    """Who may read a file that is written; the value is its mode."""

    OWNER = 0o600
    EVERYBODY = 0o644


BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
"""What some editors on Windows begin a text with; whoever reads one passes over it."""


def read_file(path: Path, *, bytes_max: int = FILE_BYTES_MAX) -> bytes:
    """The contents of a file that may be public.

    Raises:
        ConfigurationError: `unreadable_file`: not there, not allowed, not a file.
        LimitExceededError: `file_too_large`.
    """
    return _read(path, bytes_max)[0]


def read_secret_file(path: Path, *, bytes_max: int = FILE_BYTES_MAX) -> bytes:
    """The contents of a file that nobody but its owner may read (F05).

    Raises:
        ConfigurationError: `secret_file_exposed`, and those of `read_file`.
        LimitExceededError: `file_too_large`.
    """
    contents, mode = _read(path, bytes_max)
    if os.name == "posix" and mode & 0o077:
        message = (
            f"{path} can be read or written by others than its owner (mode {stat.S_IMODE(mode):04o}), 0600 is wanted"
        )
        hint = f"If nobody has read it yet: chmod 600 {path}"
        raise ConfigurationError("secret_file_exposed", message, hint=hint)
    return contents


def _read(path: Path, bytes_max: int) -> tuple[bytes, int]:
    try:
        with open_regular(path) as file:
            mode = os.fstat(file.fileno()).st_mode
            contents = file.read(bytes_max + 1)
    except OSError as error:
        message = f"cannot read {path}: {error.strerror}"
        raise ConfigurationError("unreadable_file", message) from error
    if len(contents) > bytes_max:
        message = f"{path} is larger than the {bytes_max} bytes that are allowed"
        raise LimitExceededError("file_too_large", message)
    return contents, mode


def open_regular(path: Path) -> BinaryIO:
    """Open a file to read it, and nothing that could keep whoever does waiting; else an `OSError`."""
    opened = os.open(path, os.O_RDONLY | _FLAGS)
    if not stat.S_ISREG(os.fstat(opened).st_mode):
        os.close(opened)
        raise OSError(errno.EINVAL, "it is a directory, a pipe or a device")
    return os.fdopen(opened, "rb")


def take_all_descriptors() -> None:
    """Have this process open as many files and sockets as it may; whoever wants fewer lowers the hard limit.

    What a shell gives at first is enough for 500 devices.
    """
    import resource  # Unix alone has it

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):  # a system that says more than it gives
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def make_directory(directory: Path) -> None:
    """Make a directory that is its owner's alone, where there is none; its name is durable on return.

    What is synced in a directory is lost with it when the power fails before the directory's own name was kept.
    """
    missing = [one for one in (directory, *directory.parents) if not one.exists()]
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    # One that is there may be of somebody who was killed before this.
    for one in missing or [directory]:
        with suppress(PermissionError):  # whoever may not list a directory cannot ask for it
            sync_directory(one.parent)


def sync_directory(directory: Path) -> None:
    """Make the names in `directory` durable."""
    if os.name == "posix":  # elsewhere a directory cannot be opened
        _sync(directory, os.O_RDONLY)


class NewFiles:
    """Files of one directory that appear all together when the `with` block ends well, and else not at all.

    They are written beside their places first, in a directory that only its owner can enter, and are durable before the
    first appears. Nothing is ever overwritten, whoever else writes there meanwhile.

    Raises:
        ConfigurationError: `directory_not_found`, `file_not_written` (not allowed, read-only, full).
        ConflictError: `file_exists`.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._staged: list[str] = []

    def __enter__(self) -> Self:
        if not self._directory.is_dir():
            message = f"there is no directory {self._directory}"
            raise ConfigurationError("directory_not_found", message, hint=f"Make it first: mkdir -p {self._directory}")
        try:
            self._staging = Path(tempfile.mkdtemp(prefix=".holdfast-", dir=self._directory))
        except OSError as error:
            raise _not_written(self._directory, error) from error
        return self

    def check_absent(self, names: Iterable[str]) -> None:
        """Refuse before any work what could not be written after it."""
        for name in names:
            if os.path.lexists(self._directory / name):
                raise _exists(self._directory / name)

    def add(self, name: str, contents: bytes, readers: Readers) -> None:
        """Write one file; it appears under `name` later."""
        self.check_absent([name])
        try:
            created = os.open(self._staging / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _FLAGS, readers.value)
            with os.fdopen(created, "wb") as file:
                file.write(contents)
        except FileExistsError as error:  # two of our own, on a file system that folds case
            raise _exists(self._directory / name) from error
        except OSError as error:
            raise _not_written(self._directory / name, error) from error
        self._staged.append(name)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self._publish()
        finally:
            shutil.rmtree(self._staging, ignore_errors=True)

    def _publish(self) -> None:
        published: list[Path] = []
        try:
            # All writes come before the first sync, and many syncs are asked for at once: one commit of the file system
            # then carries many files.
            with ThreadPoolExecutor(_SYNCS_AT_ONCE) as pool:
                for _ in pool.map(_sync, (self._staging / name for name in self._staged)):
                    pass
            for name in self._staged:
                place = self._directory / name
                appear(self._staging / name, place)
                published.append(place)
            sync_directory(self._directory)
        except BaseException as error:
            for place in published:
                place.unlink(missing_ok=True)
            if isinstance(error, OSError):
                raise _not_written(self._directory, error) from error
            raise


def appear(staged: Path, place: Path) -> None:
    """Give the file at `staged` its name; unlike a rename, a link never replaces what is there.

    Raises:
        ConflictError: `file_exists`.
        OSError: what the system says.
    """
    try:
        os.link(staged, place)
    except FileExistsError as error:
        raise _exists(place) from error
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        try:
            os.close(os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL, Readers.OWNER.value))
        except FileExistsError as taken:
            raise _exists(place) from taken
        try:
            staged.replace(place)
        except OSError:
            place.unlink(missing_ok=True)
            raise


def _sync(path: Path, flags: int = os.O_RDWR) -> None:
    opened = os.open(path, flags)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def _exists(path: Path) -> ConflictError:
    message = f"{path} exists already and is never overwritten"
    return ConflictError("file_exists", message)


def _not_written(path: Path, error: OSError) -> ConfigurationError:
    message = f"cannot write {path}: {error.strerror}"
    return ConfigurationError("file_not_written", message)
