"""Chains that are nearly right: good ones of many shapes with up to four things changed, most of them signed again.

What is changed is what verifiers differ in: fields, extensions and their values, names beside the constraints on them,
the set of certificates presented, and the DER itself at any depth. Everything follows from a seed and a number.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from ..support import der, forge
from ..support.der import explicit, implicit, sequence
from ..support.forge import AT, BEGIN, CLIENT_AUTH, END, SERVER_AUTH, Extension, Key, Tbs
from ..support.peers import Question
from .tree import Tree

if TYPE_CHECKING:
    from collections.abc import Callable

ANY_PURPOSE = forge.EKU + ".0"
HOSTS = ("a.example.com", "example.com", "b.a.example.com", "a.example.org", "*.example.com", "A.EXAMPLE.com")
ODD_HOSTS = (
    *("a_b.example.com", "a..example.com", "example.com.", ".example.com"),
    *("*", "a.*.com", "10.0.0.1", "", "é.com", " "),
)
SUBTREES = ("example.com", "com", ".example.com", "a.example.com", "org", "", "*.example.com", "example.com.", "é")
MAILBOXES = ("a@example.com", "a@b.example.com", "A@EXAMPLE.COM", "a", "@example.com", "a@b@c", "")
MAIL_SUBTREES = ("example.com", ".example.com", "a@example.com", "@example.com", "")
URIS = ("https://a.example.com/x", "urn:a", "https://10.0.0.1/", "//example.com", "https://u@a.example.com:1/", "")
ADDRESSES = (bytes([10, 0, 0, 1]), bytes([10, 1, 0, 1]), bytes(15) + b"\x01", b"\x0a\0\0", b"")
NETWORKS = (
    bytes([10, 0, 0, 0, 255, 255, 0, 0]),
    bytes([10, 0, 0, 0, 255, 0, 255, 0]),
    bytes(8),
    bytes(32),
    bytes([10, 0, 0, 1]),
    bytes([10, 0, 0, 9, 255, 255, 255, 0]),
)
POLICY_ARCS = ("1.3.6.1.4.1.99999.1", "1.3.6.1.4.1.99999.2", "2.5.29.32.0")


@dataclass(frozen=True)
class Mutant:
    """A question for everybody, and what was done to it."""

    question: Question
    done: tuple[str, ...]


@dataclass
class Draft:
    """A chain while it is being changed: certificates from the end entity to the root, and the key that signs each."""

    tbs: list[Tbs]
    signers: list[Key]
    server_name: str | None
    at: datetime
    oddities: dict[int, dict[str, bytes]]
    rewritten: dict[int, Callable[[bytes], bytes]]
    """What happens to the DER of the part that is signed."""
    arranged: list[Callable[[list[bytes]], list[bytes]]]
    """What happens to the list of certificates that is presented, the root left out."""

    def encode(self) -> tuple[list[bytes], bytes]:
        out = []
        for position, (tbs, signer) in enumerate(zip(self.tbs, self.signers, strict=True)):
            odd = self.oddities.get(position, {})
            signed = self.rewritten.get(position, bytes)(tbs.encode(signer.algorithm))
            signature = odd.get("signature", signer.sign(signed))
            out.append(sequence(signed, odd.get("algorithm", signer.algorithm), odd.get("bits", der.bits(signature))))
        *presented, root = out
        for arrange in self.arranged:
            presented = arrange(presented)
        return presented, root


@cache
def key(name: str) -> Key:
    if name.startswith("p384"):
        secret = 2 + sum(name.encode())
        private = ec.derive_private_key(secret, ec.SECP384R1())
        scheme = [ec.ECDSA(hashes.SHA384(), deterministic_signing=True)]
        return Key(private, sequence(der.oid("1.2.840.10045.4.3.3")), scheme)
    return forge.p256(name)


class Maker:
    """Everything about one mutant."""

    def __init__(self, seed: int, number: int) -> None:
        self.random = random.Random(f"{seed}:{number}")
        self.done: list[str] = []

    def chance(self, probability: float) -> bool:
        return self.random.random() < probability

    def make(self) -> Mutant:
        draft = self.good()
        for _ in range(self.random.choices((0, 1, 2, 3, 4), (1, 8, 6, 3, 2))[0]):
            change = self.random.choices(CHANGES, WEIGHTS)[0]
            change(self, draft, self.random.randrange(len(draft.tbs)))
            self.done.append(change.__name__)
        presented, root = draft.encode()
        if self.chance(0.06):
            presented = self.torn(presented)
        question = Question(presented, [root], draft.at, draft.server_name)
        return Mutant(question, tuple(self.done))

    # ── good chains ────────────────────────────────────────────────────────────────────────────────────────────────

    def good(self) -> Draft:
        names = ("a.example.com", "a.example.com", "10.0.0.1")
        server_name = self.random.choice(names) if self.chance(0.5) else None
        depth = self.random.choices((0, 1, 2, 3), (1, 3, 4, 2))[0]
        subjects = ["widget-1", *(f"CA-{level}" for level in range(depth)), "Root"]
        keys = [key(("p384" if self.chance(0.05) else "") + name) for name in subjects]
        issuers = [*range(1, len(subjects)), len(subjects) - 1]
        tbs = [self.end_entity(subjects[1], keys[0], keys[1], server_name)]
        for level in range(1, len(subjects)):
            issuer = issuers[level]
            authority = forge.ca(subjects[level], keys[level], subjects[issuer], keys[issuer])
            tbs.append(self.dressed(replace(authority, serial=der.integer(level + 1)), level))
        return Draft(tbs, [keys[issuer] for issuer in issuers], server_name, AT, {}, {}, [])

    def end_entity(self, issuer: str, own: Key, signer: Key, server_name: str | None) -> Tbs:
        names = []
        if server_name is not None:
            names.append(implicit(7, bytes([10, 0, 0, 1])) if server_name[0] == "1" else forge.dns(server_name))
        if self.chance(0.5):
            names.append(self.general_name(odd=False))
        extensions = [
            forge.basic(False),
            forge.key_usage(forge.DIGITAL_SIGNATURE),
            forge.eku(CLIENT_AUTH if server_name is None else SERVER_AUTH),
            forge.ski(own),
            forge.aki(signer),
        ]
        if names:
            extensions.append(forge.san(*names))
        return Tbs(subject=forge.name("widget-1"), key=own, issuer=forge.name(issuer), extensions=tuple(extensions))

    def dressed(self, tbs: Tbs, level: int) -> Tbs:
        """A CA with constraints that the chains made here keep, most of the time."""
        if self.chance(0.3):
            tbs = tbs.with_extension(forge.basic(True, level - 1 + self.random.randrange(2)))
        if self.chance(0.2):
            permitted = [forge.dns("com"), implicit(7, bytes(8)), forge.email("example.com")]
            tbs = tbs.with_extension(forge.constraints(self.random.sample(permitted, self.random.randrange(1, 4))))
        if self.chance(0.1):
            tbs = tbs.with_extension(forge.eku(SERVER_AUTH, CLIENT_AUTH))
        if self.chance(0.1):
            tbs = tbs.with_extension(forge.policies(POLICY_ARCS[0]))
        return tbs

    # ── values ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def host(self) -> str:
        return self.random.choice(ODD_HOSTS if self.chance(0.25) else HOSTS)

    def general_name(self, *, odd: bool = True) -> bytes:
        """Of any kind; without `odd`, of a kind and form that is in use."""
        kinds = range(7) if odd else range(5)
        kind = self.random.choices(kinds, (8, 3, 2, 3, 2, 1, 1)[: len(kinds)])[0]
        values = (
            lambda: forge.dns((self.host() if odd else self.random.choice(HOSTS)).encode()),
            lambda: forge.email(self.random.choice(MAILBOXES if odd else MAILBOXES[:2])),
            lambda: forge.uri(self.random.choice(URIS if odd else URIS[:1])),
            lambda: implicit(7, self.random.choice(ADDRESSES if odd else ADDRESSES[:2])),
            lambda: forge.directory(self.name()),
            forge.other_name,
            lambda: implicit(8, der.oid_octets("1.2.3")),
        )
        return values[kind]()

    def subtree(self) -> bytes:
        kind = self.random.choices(range(6), (8, 3, 2, 3, 3, 1))[0]
        if kind == 0:
            return forge.dns(self.random.choice(SUBTREES).encode())
        if kind == 1:
            return forge.email(self.random.choice(MAIL_SUBTREES))
        if kind == 2:
            return forge.uri(self.random.choice(("example.com", ".example.com", "")))
        if kind == 3:
            return implicit(7, self.random.choice(NETWORKS))
        return forge.directory(self.name()) if kind == 4 else forge.other_name()

    def name(self) -> bytes:
        known = ("widget-1", "CA-0", "CA-1", "Root", "a.example.com", "Widget-1", " widget-1", "")
        tag = self.random.choice((der.UTF8, der.UTF8, der.PRINTABLE, der.TELETEX, der.BMP, der.IA5))
        before = [forge.organization("Company-X")] if self.chance(0.3) else []
        if self.chance(0.15):
            return sequence(*before)
        return forge.name(self.random.choice(known), *before, tag=tag)

    def several(self, make: Callable[[], bytes], most: int = 3) -> list[bytes]:
        return [make() for _ in range(self.random.randrange(1, most + 1))]

    def extension(self) -> Extension:
        made = self.random.choices(EXTENSIONS, EXTENSION_WEIGHTS)[0](self)
        return replace(made, critical=not made.critical) if self.chance(0.25) else made

    def time(self) -> datetime:
        steps = (timedelta(), timedelta(seconds=1), timedelta(days=1), timedelta(days=365 * 30))
        return AT + self.random.choice((-1, 1)) * self.random.choice(steps)

    # ── bytes ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def torn(self, presented: list[bytes]) -> list[bytes]:
        """One byte of one certificate changed, taken out or put in, after everything was signed."""
        self.done.append("torn")
        position = self.random.randrange(len(presented)) if presented else 0
        if not presented or not presented[position]:
            return presented
        octets = bytearray(presented[position])
        at = self.random.randrange(len(octets))
        kind = self.random.randrange(3)
        if kind == 0:
            octets[at] ^= 1 << self.random.randrange(8)
        elif kind == 1:
            del octets[at]
        else:
            octets.insert(at, self.random.randrange(256))
        return [bytes(octets) if number == position else one for number, one in enumerate(presented)]


def basic_constraints(maker: Maker) -> Extension:
    return forge.basic(maker.chance(0.5), maker.random.choice((None, None, 0, 1, 2, -1, 300, 2**40)))


def key_usage(maker: Maker) -> Extension:
    return forge.key_usage(*maker.random.sample(range(9), maker.random.randrange(4)))


def extended_key_usage(maker: Maker) -> Extension:
    arcs = (CLIENT_AUTH, SERVER_AUTH, ANY_PURPOSE, "1.2.3")
    return forge.eku(*maker.random.sample(arcs, maker.random.randrange(4)))


def subject_key_identifier(maker: Maker) -> Extension:
    return forge.ski(key(maker.random.choice(("widget-1", "CA-0", "Root", "other"))))


def authority_key_identifier(maker: Maker) -> Extension:
    more = [explicit(1, forge.directory(maker.name())), implicit(2, b"\x05")] if maker.chance(0.3) else []
    return forge.aki(key(maker.random.choice(("widget-1", "CA-0", "Root", "other"))), *more)


def subject_alternative_name(maker: Maker) -> Extension:
    return forge.san(*maker.several(maker.general_name))


def name_constraints(maker: Maker) -> Extension:
    return forge.constraints(*(maker.several(maker.subtree) if maker.chance(0.6) else [] for _ in range(2)))


def certificate_policies(maker: Maker) -> Extension:
    return forge.policies(*maker.random.sample(POLICY_ARCS, maker.random.randrange(3)))


def policy_mappings(maker: Maker) -> Extension:
    return forge.mappings((maker.random.choice(POLICY_ARCS), maker.random.choice(POLICY_ARCS)))


def policy_constraints(maker: Maker) -> Extension:
    return forge.policy_constraints(*maker.random.choice(((0, None), (1, None), (None, 0), (None, None))))


def inhibit_any_policy(maker: Maker) -> Extension:
    return forge.inhibit_any(maker.random.randrange(2))


def unknown_extension(maker: Maker) -> Extension:
    del maker
    return Extension("1.2.3.4", b"\x05\x00")


EXTENSIONS: tuple[Callable[[Maker], Extension], ...] = (
    basic_constraints,
    key_usage,
    extended_key_usage,
    subject_key_identifier,
    authority_key_identifier,
    subject_alternative_name,
    name_constraints,
    certificate_policies,
    policy_mappings,
    policy_constraints,
    inhibit_any_policy,
    unknown_extension,
)
EXTENSION_WEIGHTS = (3, 3, 3, 3, 3, 9, 9, 3, 3, 3, 1, 2)


def an_extension(maker: Maker, draft: Draft, position: int) -> None:
    draft.tbs[position] = draft.tbs[position].with_extension(maker.extension())


def an_extension_less(maker: Maker, draft: Draft, position: int) -> None:
    extensions = draft.tbs[position].extensions or ()
    if extensions:
        draft.tbs[position] = draft.tbs[position].without(maker.random.choice(extensions).arc)


def an_extension_twice(maker: Maker, draft: Draft, position: int) -> None:
    extensions = list(draft.tbs[position].extensions or ())
    extensions.append(maker.random.choice(extensions) if extensions and maker.chance(0.7) else maker.extension())
    draft.tbs[position] = replace(draft.tbs[position], extensions=tuple(extensions))


def names_beside_constraints(maker: Maker, draft: Draft, position: int) -> None:
    """Alternative names on the end entity, and constraints on a CA that speak of the same kinds."""
    names = [maker.general_name(odd=maker.chance(0.5)) for _ in range(maker.random.randrange(1, 4))]
    if draft.server_name is not None:
        names.append(forge.dns("a.example.com"))
    draft.tbs[0] = draft.tbs[0].with_extension(forge.san(*names))
    lists = [[maker.subtree() for _ in range(maker.random.randrange(3))] for _ in range(2)]
    if any(lists):
        above = max(position, 1)
        draft.tbs[above] = draft.tbs[above].with_extension(forge.constraints(*lists))


def a_name(maker: Maker, draft: Draft, position: int) -> None:
    field = maker.random.choice(("subject", "issuer"))
    other = maker.random.choice(draft.tbs)
    value = maker.random.choice((maker.name(), other.subject, other.issuer))
    draft.tbs[position] = replace(draft.tbs[position], **{field: value})


def a_pair_of_names(maker: Maker, draft: Draft, position: int) -> None:
    """A CA renamed together with what it issued."""
    value, above = maker.name(), max(position, 1)
    draft.tbs[above - 1] = replace(draft.tbs[above - 1], issuer=value)
    draft.tbs[above] = replace(draft.tbs[above], subject=value)
    if above == len(draft.tbs) - 1:
        draft.tbs[above] = replace(draft.tbs[above], issuer=value)


def the_validity(maker: Maker, draft: Draft, position: int) -> None:
    begin = maker.time() if maker.chance(0.5) else BEGIN
    end = maker.time() if maker.chance(0.5) else END
    ends = forge.time(end) if maker.chance(0.8) else der.text("99991231235959Z", der.GENERALIZED_TIME)
    draft.tbs[position] = replace(draft.tbs[position], validity=sequence(forge.time(begin), ends))


def the_time_asked_about(maker: Maker, draft: Draft, position: int) -> None:
    del position
    draft.at = maker.random.choice((BEGIN, END, BEGIN - timedelta(seconds=1), END + timedelta(seconds=1)))


def the_serial_number(maker: Maker, draft: Draft, position: int) -> None:
    value = maker.random.choice((0, -1, 1, 2**159 - 1, 2**160, 2**200))
    draft.tbs[position] = replace(draft.tbs[position], serial=der.integer(value))


def the_version(maker: Maker, draft: Draft, position: int) -> None:
    version = maker.random.choice((b"", *(explicit(0, der.integer(number)) for number in (0, 1, 3))))
    draft.tbs[position] = replace(draft.tbs[position], version=version)
    if maker.chance(0.5):
        draft.tbs[position] = replace(draft.tbs[position], extensions=None)


def unique_identifiers(maker: Maker, draft: Draft, position: int) -> None:
    value = implicit(maker.random.choice((1, 2)), b"\0\1")
    draft.tbs[position] = replace(draft.tbs[position], unique_identifiers=value)


def the_algorithms(maker: Maker, draft: Draft, position: int) -> None:
    """The inner or the outer identifier, or both, name something else."""
    arcs = ("1.2.840.10045.4.3.3", "1.2.840.10045.4.1", "1.2.840.113549.1.1.11", "1.3.101.112", "1.2.840.10045.4.3.2")
    value = sequence(der.oid(maker.random.choice(arcs)), maker.random.choice((b"", der.element(der.NULL))))
    if maker.chance(0.7):
        draft.tbs[position] = replace(draft.tbs[position], algorithm=value)
    if maker.chance(0.7):
        draft.oddities.setdefault(position, {})["algorithm"] = value


def the_signer(maker: Maker, draft: Draft, position: int) -> None:
    draft.signers[position] = maker.random.choice((*draft.signers, key("other"), key("p384-other")))


def the_key(maker: Maker, draft: Draft, position: int) -> None:
    """Another key, which signs what it ought to, or the same in another form."""
    own = draft.tbs[position].key
    kind = maker.random.randrange(3)
    if kind == 0:
        draft.tbs[position] = replace(draft.tbs[position], spki=key(maker.random.choice(("other", "p384-other"))).spki)
    elif kind == 1:
        (_, _, algorithm), (_, octets, _) = der.inside(own.spki)
        point = octets[1:]
        compressed = bytes([2 + point[-1] % 2]) + point[1 : 1 + len(point) // 2]
        odd = (compressed, b"\x06" + point[1:], b"\0", point[:-1], point[:-1] + bytes([point[-1] ^ 1]))
        value = sequence(algorithm, der.bits(maker.random.choice(odd)))
        draft.tbs[position] = replace(draft.tbs[position], spki=value)
    else:
        new = key(f"p384-{position}" if maker.chance(0.5) else f"new-{position}")
        draft.tbs[position] = replace(draft.tbs[position], key=new)
        draft.signers = [new if signer is own else signer for signer in draft.signers]


def the_signature(maker: Maker, draft: Draft, position: int) -> None:
    signature = draft.signers[position].sign(b"something else")
    halves = [contents for _, contents, _ in der.inside(signature)]
    odd = maker.random.choice(
        (
            {"signature": signature},
            {"signature": b""},
            {"bits": der.bits(signature, 1)},
            {"bits": der.octets(signature)},
            {"signature": sequence(der.element(2, b"\0", halves[0]), der.element(2, halves[1]))},
            {"signature": sequence(der.integer(0), der.integer(0))},
        )
    )
    draft.oddities.setdefault(position, {}).update(odd)


def the_der(maker: Maker, draft: Draft, position: int) -> None:
    """Something about the encoding of the part that is signed, at any depth."""
    chosen = random.Random(maker.random.random())

    def rewrite(tbs: bytes) -> bytes:
        tree = Tree.parse(tbs)
        for _ in range(chosen.choices((1, 2), (4, 1))[0]):
            tree.mutate(chosen)
        return tree.encode()

    draft.rewritten[position] = rewrite


def a_certificate_less(maker: Maker, draft: Draft, position: int) -> None:
    del maker
    draft.arranged.append(lambda presented: [one for number, one in enumerate(presented) if number != max(position, 1)])


def another_order(maker: Maker, draft: Draft, position: int) -> None:
    del position
    chosen = random.Random(maker.random.random())
    rest = maker.chance(0.8)

    def shuffle(presented: list[bytes]) -> list[bytes]:
        moved = presented[1:] if rest else list(presented)
        chosen.shuffle(moved)
        return [*presented[:1], *moved] if rest else moved

    draft.arranged.append(shuffle)


def more_certificates(maker: Maker, draft: Draft, position: int) -> None:
    """Look-alikes: the same name with another key, the same key with another name, the same certificate again."""
    kind = maker.random.randrange(4)
    level = max(position, 1)
    tbs, signer = draft.tbs[level], draft.signers[level]
    if kind == 0:
        tbs = replace(tbs, key=key("other"), serial=der.integer(99))
    elif kind == 1:
        tbs = replace(tbs, subject=maker.name(), serial=der.integer(98))
    elif kind == 2:
        tbs = replace(tbs, issuer=maker.name(), serial=der.integer(97)).with_extension(maker.extension())
    else:
        signer = key("other")
    extra = sequence((encoded := tbs.encode(signer.algorithm)), signer.algorithm, der.bits(signer.sign(encoded)))
    first = maker.chance(0.5)
    draft.arranged.append(lambda presented: [*presented[:1], extra, *presented[1:]] if first else [*presented, extra])


def another_name_asked_for(maker: Maker, draft: Draft, position: int) -> None:
    del position
    if draft.server_name is not None:
        names = ("b.example.com", "example.com", "a.b.example.com", "A.example.COM", "10.0.0.2")
        draft.server_name = maker.random.choice(names)
        draft.tbs[0] = draft.tbs[0].with_extension(
            forge.san(*(maker.general_name() for _ in range(3)), forge.dns(maker.host().encode()))
        )


CHANGES: tuple[Callable[[Maker, Draft, int], None], ...] = (
    an_extension,
    an_extension_less,
    an_extension_twice,
    names_beside_constraints,
    a_name,
    a_pair_of_names,
    the_validity,
    the_time_asked_about,
    the_serial_number,
    the_version,
    unique_identifiers,
    the_algorithms,
    the_signer,
    the_key,
    the_signature,
    the_der,
    a_certificate_less,
    another_order,
    more_certificates,
    another_name_asked_for,
)
WEIGHTS = (12, 4, 3, 12, 4, 4, 3, 1, 2, 2, 1, 2, 3, 4, 2, 16, 2, 3, 4, 4)


def mutant(seed: int, number: int) -> Mutant:
    """The `number`th of `seed`: always the same."""
    return Maker(seed, number).make()
