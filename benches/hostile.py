"""Chains made to be slow: families of the catalogue's P, each with dials, up to as many bytes as may ever be presented.

No signature in them holds, since whoever sends them has no key that counts; each is well-formed, so that checking it
costs what it can cost.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tests.support import der, forge
from tests.support.der import sequence
from tests.support.forge import AKI, SKI, Extension, Tbs, constraints, dns, honest, mappings, name, p256, policies, san

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

BYTES_MAX = 64 * 1024
SIGNATURE = sequence(der.integer(1 << 254), der.integer(3 << 252))
ANCHOR = forge.sign(forge.ca("R", p256("anchor"), "R", p256("anchor")), p256("anchor"))


@dataclass(frozen=True)
class Dial:
    """Numbers that a family turns into a chain; the cost search turns them."""

    certificates: int
    names: int
    width: int
    seed: int

    def mutate(self, dice: random.Random) -> Dial:
        def turn(value: int, most: int) -> int:
            return max(0, min(most, round(value * dice.uniform(0.5, 2)) + dice.randrange(-2, 3)))

        return Dial(
            turn(self.certificates, 450), turn(self.names, 4_000), turn(self.width, 30_000), dice.randrange(1 << 30)
        )


def unsigned(tbs: Tbs) -> bytes:
    return forge.sign(tbs, tbs.key, signature=SIGNATURE)


def leaf(issuer: str | bytes, *extensions: Extension, subject: bytes | None = None) -> bytes:
    tbs = replace(honest().tbs[0].without(AKI, SKI), issuer=issuer if isinstance(issuer, bytes) else name(issuer))
    if subject is not None:
        tbs = replace(tbs, subject=subject)
    return unsigned(replace(tbs, extensions=(*(tbs.extensions or ()), *extensions)))


def ca(subject: str | bytes, issuer: str | bytes, number: int, *extensions: Extension) -> bytes:
    """A CA without key identifiers; its key is one of sixteen."""
    tbs = forge.ca("S", p256(f"hostile-{number % 16}"), "I", p256("i")).without(AKI, SKI)
    subject, issuer = (one if isinstance(one, bytes) else name(one) for one in (subject, issuer))
    return unsigned(replace(tbs, subject=subject, issuer=issuer, extensions=(*(tbs.extensions or ()), *extensions)))


def fit(first: bytes, more: Callable[[int], bytes], count: int) -> list[bytes]:
    """`first`, and as many of `more` as there is room for."""
    chain, size = [first], len(first)
    for number in range(count):
        one = more(number)
        size += len(one)
        if size > BYTES_MAX:
            break
        chain.append(one)
    return chain


def filler(dial: Dial) -> list[bytes]:
    """P01: look-alikes of the issuer, and CAs that lead nowhere."""
    return fit(
        leaf("S"), lambda number: ca("S", "S", number) if number < 9 else ca("N", "M", number), dial.certificates
    )


def look_alikes(dial: Dial) -> list[bytes]:
    """P04: every CA is the anchor's namesake, and signs every other."""
    return fit(leaf("R"), lambda number: ca("R", "R", number), dial.certificates)


def line(dial: Dial) -> list[bytes]:
    """P09: one CA above another; the last one's issuer is the anchor."""
    last = dial.certificates - 1
    return fit(
        leaf("c0"),
        lambda number: ca(f"c{number}", "R" if number >= last else f"c{number + 1}", number),
        dial.certificates,
    )


def mesh(dial: Dial) -> list[bytes]:
    """Layers of namesakes: every path through them is one more to try."""
    width = 2 + dial.width % 12
    return fit(
        leaf("layer0"),
        lambda number: ca(
            f"layer{number // width}", "R" if number // width >= 6 else f"layer{number // width + 1}", number
        ),
        dial.certificates,
    )


def folded(dial: Dial) -> list[bytes]:
    """No name is written as its issuer writes it, and each is as long as is folded."""
    pad = "x" * min(dial.width, 900)
    return fit(leaf(f"S{pad}"), lambda number: ca(f"s{pad}", ("R", f"S{pad}")[number % 2], number), dial.certificates)


def names(dial: Dial) -> list[bytes]:
    """P10: names under constraints, for every path anew."""
    kinds = (dns, forge.email, lambda text: forge.uri(f"https://{text}/"), lambda text: forge.directory(name(text)))
    kind = kinds[dial.seed % 4]
    alternative = san(*(kind(f"a@{number}" if kind is forge.email else f"{number}.a") for number in range(dial.names)))
    subtree = forge.uri if dial.seed % 4 == 2 else kind
    excluded = constraints([], [subtree(f"{number}.b") for number in range(max(1, dial.width % 4_000))])
    return fit(leaf("S", alternative), lambda number: ca("S", "R", number, excluded), 1 + dial.certificates % 40)


def policy_graph(dial: Dial) -> list[bytes]:
    """P12: policies and mappings, as many as there is room for."""
    count = 2 + dial.names % 600
    arcs = [f"1.3.6.1.4.1.{number}" for number in range(count)]
    explicit = forge.policy_constraints(0)
    pairs = mappings(*((arcs[number % count], arcs[(number * 7) % count]) for number in range(dial.width % 3_000 + 1)))
    return fit(
        leaf("c0", policies(*arcs)),
        lambda number: ca(
            f"c{number}", f"c{number + 1}" if number < 7 else "R", number, policies(*arcs), pairs, explicit
        ),
        8,
    )


def one_huge_name(dial: Dial) -> list[bytes]:
    """A subject, or an issuer, of thousands of attributes."""
    attributes = [forge.attribute("2.5.4.3", f"{number:04}", der.PRINTABLE) for number in range(dial.names)]
    shape = (
        [der.set_of(one) for one in attributes]
        if dial.seed % 2
        else [der.set_of(*sorted(attributes))]
        if attributes
        else []
    )
    huge = sequence(*shape)
    if dial.seed % 3 == 0:
        return fit(leaf(huge), lambda number: ca(huge, "R", number), 2)
    return fit(leaf("R", subject=huge), lambda number: ca("R", "R", number), dial.certificates % 3)


def alternatives(dial: Dial) -> list[bytes]:
    """Alternative names and unknown extensions, as many as there is room for."""
    alternative = san(*(dns(f"{number}.a") for number in range(dial.names)))
    unknown = [Extension(f"1.3.6.1.4.1.{number}", b"\x05\x00") for number in range(dial.width % 60)]
    return fit(leaf("R", alternative, *unknown), lambda number: ca("R", "R", number), dial.certificates % 20)


FAMILIES: dict[str, Callable[[Dial], list[bytes]]] = {
    "filler": filler,
    "look_alikes": look_alikes,
    "line": line,
    "mesh": mesh,
    "folded": folded,
    "names": names,
    "policy_graph": policy_graph,
    "one_huge_name": one_huge_name,
    "alternatives": alternatives,
}


def presentable(chain: list[bytes]) -> bool:
    return sum(map(len, chain)) <= BYTES_MAX
