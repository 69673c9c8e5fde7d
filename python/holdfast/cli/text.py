"""Text that comes from a command line, where it may be none, and goes to a terminal, where it may be more."""

from __future__ import annotations


def text(value: str) -> str:
    """The type of an option or argument that is stored, or looked for in what is.

    Octets that are no UTF-8 come as lone surrogates, which a database does not take: written out, as `udcff` behind a
    backslash, they are in nobody's way, and a branch is closed whatever is said of it.
    """
    return value.encode(errors="backslashreplace").decode()


def printable(value: str) -> str:
    """`value` with everything written out that could move a cursor."""
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in value)
