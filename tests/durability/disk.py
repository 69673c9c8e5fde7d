"""A disk as it is promised to programs: what was synced is there, of the rest anything may be.

Built of the calls that it was told; cut at any of them, it answers with files as they may be found when the power is
back. Not modelled: a disk that loses what it said was synced, and sectors that go bad by themselves.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from .recorder import Call

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator

    from .recorder import Told

SECTOR = 512


@dataclass
class File:
    """What is on the disk for certain, and what was told since."""

    safe: bytearray = field(default_factory=bytearray)
    pending: list[tuple[int, int, bytes | None]] = field(default_factory=list)
    """Where in the trace, offset and what was written; or the length that it was cut to."""

    def sync(self, begun: int) -> None:
        """All that was told before `begun` is certain."""
        for at, offset, data in self.pending:
            if at < begun:
                _apply(self.safe, offset, data)
        self.pending = [one for one in self.pending if one[0] >= begun]

    def survived(self, chance: random.Random) -> bytes:
        """What may be found: nothing of what is pending, all, or any part of each call."""
        found = bytearray(self.safe)
        share = chance.choice((0.0, 1.0, chance.random()))
        for _, offset, data in self.pending:
            if share == 1.0 or chance.random() < share:
                _apply(found, offset, data)
            elif data is not None and 0 < share < 1:
                for begins, part in _parts(offset, data, chance):
                    _apply(found, begins, part)
        return bytes(found)


@dataclass
class Directory:
    """Names that are certain, and names that were made and taken since."""

    safe: dict[str, File | Directory] = field(default_factory=dict)
    names: dict[str, File | Directory] = field(default_factory=dict)
    pending: list[tuple[int, dict[str, File | Directory | None]]] = field(default_factory=list)
    """Where in the trace, and what changed together."""

    def change(self, at: int, **names: File | Directory | None) -> None:
        self.pending.append((at, names))
        _rename(self.names, names)

    def sync(self, begun: int) -> None:
        for at, names in self.pending:
            if at < begun:
                _rename(self.safe, names)
        self.pending = [one for one in self.pending if one[0] >= begun]

    def survived(self, chance: random.Random) -> dict[str, File | Directory]:
        """What is found: of each name some of what happened to it, in its order."""
        found, share = dict(self.safe), chance.choice((0.0, 1.0, chance.random()))
        stopped: set[str] = set()
        for _, names in self.pending:
            if stopped.isdisjoint(names) and (share == 1.0 or chance.random() < share):
                _rename(found, names)
            else:
                stopped |= names.keys()
        return found


class Disk:
    """The directory `root`, empty at first."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._top = Directory()
        self._inodes: dict[int, File | Directory] = {}

    def tell(self, told: Told) -> None:
        """The next call."""
        at, path = told.begins, Path(told.path)
        match told.call:
            case Call.SYNC:
                self._file(told).sync(told.offset)
            case Call.WRITE:
                self._file(told).pending.append((at, told.offset, told.data))
            case Call.TRUNCATE:
                self._file(told).pending.append((at, told.offset, None))
            case Call.SYNC_DIRECTORY:
                self._directory(path).sync(told.offset)
            case Call.CREATE | Call.MAKE_DIRECTORY:
                made = self._inodes[told.inode] = File() if told.call is Call.CREATE else Directory()
                self._directory(path.parent).change(at, **{path.name: made})
            case Call.UNLINK | Call.REMOVE_DIRECTORY:
                self._directory(path.parent).change(at, **{path.name: None})
            case Call.LINK:
                to = Path(told.data.decode())
                self._directory(to.parent).change(at, **{to.name: self._inodes[told.inode]})
            case Call.RENAME:
                to = Path(told.data.decode())
                moved = self._inodes[told.inode]
                if path.parent == to.parent:
                    self._directory(to.parent).change(at, **{path.name: None, to.name: moved})
                else:
                    self._directory(to.parent).change(at, **{to.name: moved})
                    self._directory(path.parent).change(at, **{path.name: None})

    def cut(self, to: Path, chance: random.Random) -> None:
        """The power fails at this moment: write what may be found afterwards into the directory `to`."""
        for name, contents in _walk(self._top, chance):
            place = to / name
            place.parent.mkdir(parents=True, exist_ok=True)
            if contents is None:
                place.mkdir(exist_ok=True)
            else:
                place.write_bytes(contents)

    def _file(self, told: Told) -> File:
        found = self._inodes[told.inode]
        assert isinstance(found, File), told
        return found

    def _directory(self, path: Path) -> Directory:
        found = self._top
        for name in path.relative_to(self._root).parts:
            # What was there before the first call is as certain as the root.
            below = found.names.get(name) or found.safe.setdefault(name, Directory())
            assert isinstance(below, Directory), path
            found.names[name] = found = below
        return found


def _apply(contents: bytearray, offset: int, data: bytes | None) -> None:
    if data is None:
        del contents[offset:]
        contents.extend(bytes(offset - len(contents)))
        return
    contents.extend(bytes(max(0, offset - len(contents))))
    contents[offset : offset + len(data)] = data


def _parts(offset: int, data: bytes, chance: random.Random) -> Iterator[tuple[int, bytes]]:
    """Some sectors of a write, and of one of them a part."""
    torn = chance.randrange(len(data))
    for begins in range(0, len(data), SECTOR):
        ends = min(begins + SECTOR, len(data))
        if begins <= torn < ends:
            yield offset + begins, data[begins:torn]
        elif chance.random() < 0.5:
            yield offset + begins, data[begins:ends]


def _rename(names: dict[str, File | Directory], changes: dict[str, File | Directory | None]) -> None:
    for name, node in changes.items():
        if node is None:
            names.pop(name, None)
        else:
            names[name] = node


def _walk(top: Directory, chance: random.Random, below: Path = Path()) -> Iterator[tuple[Path, bytes | None]]:
    for name, node in top.survived(chance).items():
        if isinstance(node, File):
            yield below / name, node.survived(chance)
        else:
            yield below / name, None
            yield from _walk(node, chance, below / name)
