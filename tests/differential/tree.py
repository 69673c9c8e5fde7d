"""DER as a tree that can be damaged anywhere and written again with lengths that fit."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from ..support import der

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator

CONSTRUCTED = 0x20


@dataclass
class Tree:
    """One element: its tag, and children or octets. An OCTET STRING that holds DER has children: extensions' values."""

    tag: int
    children: list[Tree] | None = None
    octets: bytes = b""
    length: bytes | None = field(default=None)
    """What is written for a length, if not the right one."""

    @classmethod
    def parse(cls, encoded: bytes) -> Self:
        ((tag, contents, _),) = der.children(encoded)
        return cls._of(tag, contents)

    @classmethod
    def _of(cls, tag: int, contents: bytes) -> Self:
        if tag & CONSTRUCTED or (tag == der.OCTET_STRING and contents[:1] in {b"\x30", b"\x03", b"\x04"}):
            try:
                listed = list(der.children(contents))
            except IndexError:
                listed = []
            if sum(len(whole) for _, _, whole in listed) == len(contents) and (listed or not contents):
                return cls(tag, [cls._of(tag, inner) for tag, inner, _ in listed])
        return cls(tag, octets=contents)

    def encode(self) -> bytes:
        contents = self.octets if self.children is None else b"".join(child.encode() for child in self.children)
        length = der.length(len(contents)) if self.length is None else self.length
        return bytes([self.tag]) + length + contents

    def walk(self) -> Iterator[Tree]:
        yield self
        for child in self.children or ():
            yield from child.walk()

    def mutate(self, chosen: random.Random) -> None:
        """Changes one thing about one element below this one, or about itself."""
        nodes = list(self.walk())
        node = chosen.choice(nodes)
        if node.children and chosen.random() < 0.6:
            _change_children(node.children, chosen, nodes)
        elif chosen.random() < 0.2:
            _change_head(node, chosen)
        elif node.children is None:
            node.octets = _changed_octets(node.octets, chosen)
        else:
            node.children.append(Tree(der.NULL))


def _change_children(children: list[Tree], chosen: random.Random, nodes: list[Tree]) -> None:
    at = chosen.randrange(len(children))
    kind = chosen.randrange(5)
    if kind == 0:
        del children[at]
    elif kind == 1:
        children.insert(at, children[at])
    elif kind == 2:
        other = chosen.randrange(len(children))
        children[at], children[other] = children[other], children[at]
    elif kind == 3:
        donor = chosen.choice(nodes)
        # Never an ancestor: that would have no end.
        if donor.children is None or not any(inner.children is children for inner in donor.walk()):
            children[at] = donor
    else:
        extra = (Tree(der.NULL), Tree(der.BOOLEAN, octets=b"\xff"), Tree(der.INTEGER, octets=b"\0"))
        children.insert(at, chosen.choice(extra))


def _change_head(node: Tree, chosen: random.Random) -> None:
    if chosen.random() < 0.7:
        node.tag ^= chosen.choice((0x01, 0x02, 0x10, 0x20, 0x40, 0x80))
        return
    size = len(node.encode())
    node.length = chosen.choice((b"\x81" + bytes([size & 0x7F]), b"\x80", der.length(size), b"\x84\x7f\xff\xff\xff"))


def _changed_octets(octets: bytes, chosen: random.Random) -> bytes:
    kind = chosen.randrange(6)
    if kind == 0:
        return octets + bytes([chosen.choice((0, 1, 0x80, 0xFF))])
    if kind == 1:
        return bytes([chosen.choice((0, 1, 0x80, 0xFF))]) + octets
    if kind == 2:
        return octets[:-1]
    if kind == 3:
        return chosen.choice((b"", b"\0", b"\x01", b"\xff", b"\x7f\xff\xff\xff\xff", octets * 2))
    if not octets:
        return b"\0"
    at = chosen.randrange(len(octets))
    return octets[:at] + bytes([octets[at] ^ 1 << chosen.randrange(8)]) + octets[at + 1 :]
