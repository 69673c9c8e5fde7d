"""Files: read with a bound, written all or none, never over another."""

from __future__ import annotations

import errno
import os
import resource
import stat
import tempfile
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from holdfast import ConfigurationError, ConflictError, HoldfastError, LimitExceededError
from holdfast.files import FILE_BYTES_MAX, NewFiles, Readers, read_file, read_secret_file

if TYPE_CHECKING:
    from collections.abc import Iterator

NOBODY = 65534


def refused(kind: type[HoldfastError], code: str) -> pytest.RaisesExc[HoldfastError]:
    return pytest.RaisesExc(kind, check=lambda error: error.code == code)


@contextmanager
def unprivileged() -> Iterator[None]:
    """As somebody whom permissions bind; tests may run as root, whom they do not."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(before)


@pytest.fixture
def shared() -> Iterator[Path]:
    """A directory that everybody can reach, and only its owner change."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


# ── reading ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_reads_a_file_up_to_the_bound_and_not_beyond(tmp_path: Path) -> None:
    file = tmp_path / "a"
    file.write_bytes(bytes(FILE_BYTES_MAX))
    assert read_file(file) == bytes(FILE_BYTES_MAX)
    file.write_bytes(bytes(FILE_BYTES_MAX + 1))
    with refused(LimitExceededError, "file_too_large"):
        read_file(file)


def test_reads_through_a_symbolic_link(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x")
    (tmp_path / "link").symlink_to("a")
    assert read_file(tmp_path / "link") == b"x"


def test_refuses_to_read_what_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "dangling").symlink_to("nowhere")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "file").write_bytes(b"")
    places = ["missing", ".", "fifo", "dangling", "loop", "file/below", "x" * 300]
    for place in [*(tmp_path / name for name in places), Path("/dev/zero")]:
        with refused(ConfigurationError, "unreadable_file"):
            read_file(place)


def test_refuses_to_read_what_is_not_allowed(shared: Path) -> None:
    file = shared / "a"
    file.write_bytes(b"x")
    file.chmod(0o000)
    with unprivileged(), refused(ConfigurationError, "unreadable_file"):
        read_file(file)


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_reads_a_secret_that_is_its_owners_alone(tmp_path: Path, mode: int) -> None:
    file = tmp_path / "key"
    file.write_bytes(b"x")
    file.chmod(mode)
    assert read_secret_file(file) == b"x"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o601, 0o644, 0o777])
def test_f05_refuses_a_secret_that_is_open_to_others(tmp_path: Path, mode: int) -> None:
    file = tmp_path / "key"
    file.write_bytes(b"x")
    file.chmod(mode)
    with refused(ConfigurationError, "secret_file_exposed"):
        read_secret_file(file)


def test_f05_a_link_does_not_hide_how_open_a_secret_is(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(b"x")
    (tmp_path / "key").chmod(0o644)
    (tmp_path / "link").symlink_to("key")
    with refused(ConfigurationError, "secret_file_exposed"):
        read_secret_file(tmp_path / "link")


# ── writing ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_files_appear_together_with_their_modes(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        with NewFiles(tmp_path) as files:
            files.add("ca.key", b"secret", Readers.OWNER)
            files.add("ca.pem", b"public", Readers.EVERYBODY)
            assert not (tmp_path / "ca.key").exists()
            (staging,) = tmp_path.iterdir()
            assert stat.S_IMODE(staging.stat().st_mode) == 0o700
    finally:
        os.umask(before)
    assert {path.name: (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) for path in tmp_path.iterdir()} == {
        "ca.key": (b"secret", 0o600),
        "ca.pem": (b"public", 0o644),
    }


def test_a_secret_is_its_owners_alone_under_any_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        with NewFiles(tmp_path) as files:
            files.add("ca.key", b"secret", Readers.OWNER)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "ca.key").stat().st_mode) == 0o600


@pytest.mark.parametrize("interruption", [ValueError, KeyboardInterrupt, SystemExit])
def test_what_is_broken_off_leaves_nothing(tmp_path: Path, interruption: type[BaseException]) -> None:
    with pytest.raises(interruption), NewFiles(tmp_path) as files:
        files.add("ca.key", b"secret", Readers.OWNER)
        raise interruption
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_bytes(b"mine")
    (tmp_path / "dangling").symlink_to("nowhere")
    (tmp_path / "directory").mkdir()
    for name in ("ca.pem", "dangling", "directory"):
        with refused(ConflictError, "file_exists"), NewFiles(tmp_path) as files:
            files.add("ca.key", b"secret", Readers.OWNER)
            files.add(name, b"yours", Readers.EVERYBODY)
        with refused(ConflictError, "file_exists"), NewFiles(tmp_path) as files:
            files.check_absent(["new", name])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ca.pem", "dangling", "directory"]
    assert (tmp_path / "ca.pem").read_bytes() == b"mine"


@pytest.mark.parametrize("system", ["with links", "without links"])
def test_of_two_who_write_at_once_one_wins_and_the_other_leaves_nothing(
    tmp_path: Path, system: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both have looked and found the name free; the later one had another file out already, which goes again."""
    if system == "without links":
        no_links(monkeypatch)
    with refused(ConflictError, "file_exists"), NewFiles(tmp_path) as later:
        later.add("a", b"later", Readers.OWNER)
        later.add("b", b"later", Readers.OWNER)
        with NewFiles(tmp_path) as earlier:
            earlier.add("b", b"earlier", Readers.OWNER)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"b": b"earlier"}


def test_many_who_write_at_once_never_mix(tmp_path: Path) -> None:
    """Sixteen threads want the same pair of names: the pair that is there is one thread's."""
    begin, won = threading.Barrier(16), []

    def write(number: int) -> None:
        try:
            with NewFiles(tmp_path) as files:
                files.add("key", b"%d" % number, Readers.OWNER)
                files.add("pem", b"%d" % number, Readers.EVERYBODY)
                begin.wait()
            won.append(number)
        except ConflictError:
            pass

    threads = [threading.Thread(target=write, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {
        "key": b"%d" % won[0],
        "pem": b"%d" % won[0],
    }


def no_links(monkeypatch: pytest.MonkeyPatch) -> None:
    def link(*_: object, **__: object) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", link)


def test_a_file_system_without_links_is_written_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    no_links(monkeypatch)
    with NewFiles(tmp_path) as files:
        files.add("ca.key", b"secret", Readers.OWNER)
        files.add("ca.pem", b"public", Readers.EVERYBODY)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"ca.key": b"secret", "ca.pem": b"public"}
    assert stat.S_IMODE((tmp_path / "ca.key").stat().st_mode) == 0o600


def test_refuses_a_directory_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    for directory in (tmp_path / "missing", tmp_path / "file"):
        with refused(ConfigurationError, "directory_not_found"), NewFiles(directory):
            pass


def test_refuses_a_directory_that_cannot_be_written(shared: Path) -> None:
    with unprivileged(), refused(ConfigurationError, "file_not_written"), NewFiles(shared):
        pass
    assert list(shared.iterdir()) == []


def test_g04_a_full_disk_leaves_nothing(tmp_path: Path) -> None:
    """The kernel refuses to write more than 1,000 bytes into one file: the second does not fit."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with refused(ConfigurationError, "file_not_written"), NewFiles(tmp_path) as files:
            files.add("ca.key", b"secret", Readers.OWNER)
            files.add("ca.pem", bytes(1001), Readers.EVERYBODY)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(tmp_path.iterdir()) == []


def test_g03_a_sync_that_fails_publishes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fsync(_: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fsync", fsync)
    with refused(ConfigurationError, "file_not_written"), NewFiles(tmp_path) as files:
        files.add("ca.key", b"secret", Readers.OWNER)
    assert list(tmp_path.iterdir()) == []
