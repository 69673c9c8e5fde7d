"""Certificates and revocation lists field by field, each replaceable by any bytes; fixed keys, so bytes never change.

Signatures are real and deterministic (RFC 6979). Nothing here knows what is allowed: that is what the tests are about.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, padding, rsa

from . import der
from .der import explicit, implicit, sequence

if TYPE_CHECKING:
    from collections.abc import Sequence

BEGIN, END = datetime(2020, 1, 1, tzinfo=UTC), datetime(2049, 12, 31, 23, 59, 59, tzinfo=UTC)
AT = datetime(2026, 11, 23, 12, tzinfo=UTC)

ECDSA_SHA256 = sequence(der.oid("1.2.840.10045.4.3.2"))
CE = "2.5.29."
SKI, KEY_USAGE, SAN, BASIC, NAME_CONSTRAINTS, CRL_POINTS = (CE + arc for arc in ("14", "15", "17", "19", "30", "31"))
POLICIES, MAPPINGS, AKI, POLICY_CONSTRAINTS, EKU, INHIBIT_ANY = (
    CE + arc for arc in ("32", "33", "35", "36", "37", "54")
)
AIA = "1.3.6.1.5.5.7.1.1"
CLIENT_AUTH, SERVER_AUTH = "1.3.6.1.5.5.7.3.2", "1.3.6.1.5.5.7.3.1"
DIGITAL_SIGNATURE, KEY_CERT_SIGN, CRL_SIGN = 0, 5, 6


class Key:
    """A key pair with the `AlgorithmIdentifier` it signs under."""

    def __init__(self, private: Any, algorithm: bytes = ECDSA_SHA256, scheme: Any = None) -> None:
        self.private, self.algorithm, self._scheme = private, algorithm, scheme
        public = private.public_key()
        self.spki: bytes = public.public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )

    @property
    def identifier(self) -> bytes:
        """SHA-1 of the key's bits, RFC 5280 §4.2.1.2 (1)."""
        return hashlib.sha1(der.inside(self.spki)[1][1][1:], usedforsecurity=False).digest()

    def sign(self, message: bytes) -> bytes:
        if self._scheme is not None:
            signature: bytes = self.private.sign(message, *self._scheme)
        elif isinstance(self.private, ec.EllipticCurvePrivateKey):
            signature = self.private.sign(message, ec.ECDSA(hashes.SHA256(), deterministic_signing=True))
        else:
            signature = self.private.sign(message)
        return signature


@cache
def p256(seed: str) -> Key:
    secret = int.from_bytes(hashlib.sha256(seed.encode()).digest()) >> 1 | 1
    return Key(ec.derive_private_key(secret, ec.SECP256R1()))


def ecdsa(curve: ec.EllipticCurve, digest: hashes.HashAlgorithm, arc: int) -> Key:
    algorithm = sequence(der.oid(f"1.2.840.10045.4.3.{arc}"))
    return Key(ec.generate_private_key(curve), algorithm, [ec.ECDSA(digest)])


def ed25519_key() -> Key:
    return Key(ed25519.Ed25519PrivateKey.generate(), sequence(der.oid("1.3.101.112")))


def ml_dsa(kind: int) -> Key:
    """ML-DSA-44, -65 or -87, RFC 9881."""
    classes = {44: mldsa.MLDSA44PrivateKey, 65: mldsa.MLDSA65PrivateKey, 87: mldsa.MLDSA87PrivateKey}
    arc = {44: 17, 65: 18, 87: 19}[kind]
    return Key(classes[kind].generate(), sequence(der.oid(f"2.16.840.1.101.3.4.3.{arc}")))


@cache
def rsa_private(bits: int = 2048) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, bits)


def rsa_pkcs1(digest: hashes.HashAlgorithm, arc: int, bits: int = 2048) -> Key:
    algorithm = sequence(der.oid(f"1.2.840.113549.1.1.{arc}"), der.element(der.NULL))
    return Key(rsa_private(bits), algorithm, [padding.PKCS1v15(), digest])


def pss_parameters(hash_arc: int, mask_arc: int, salt: int, *more: bytes) -> bytes:
    """`RSASSA-PSS-params`; arcs 1 to 3 are SHA-256, SHA-384, SHA-512."""
    digest = [sequence(der.oid(f"2.16.840.1.101.3.4.2.{arc}")) for arc in (hash_arc, mask_arc)]
    mask = sequence(der.oid("1.2.840.113549.1.1.8"), digest[1])
    return sequence(explicit(0, digest[0]), explicit(1, mask), explicit(2, der.integer(salt)), *more)


def rsa_pss(digest: hashes.HashAlgorithm, parameters: bytes, salt: int | None = None) -> Key:
    algorithm = sequence(der.oid("1.2.840.113549.1.1.10"), parameters)
    scheme = padding.PSS(padding.MGF1(digest), digest.digest_size if salt is None else salt)
    return Key(rsa_private(), algorithm, [scheme, digest])


# ── names and extensions ───────────────────────────────────────────────────────────────────────────────────────────


def attribute(arc: str, value: str, tag: int = der.UTF8) -> bytes:
    return sequence(der.oid(arc), der.text(value, tag))


def name(common_name: str, *before: bytes, tag: int = der.UTF8) -> bytes:
    """A name of one common name, after the RDNs in `before`."""
    return sequence(*before, der.set_of(attribute("2.5.4.3", common_name, tag)))


def organization(value: str, tag: int = der.UTF8) -> bytes:
    """An RDN of one organization name."""
    return der.set_of(attribute("2.5.4.10", value, tag))


def time(at: datetime) -> bytes:
    if at.year < 2050:
        return der.text(at.strftime("%y%m%d%H%M%SZ"), der.UTC_TIME)
    return der.text(f"{at.year:04}" + at.strftime("%m%d%H%M%SZ"), der.GENERALIZED_TIME)


@dataclass(frozen=True)
class Extension:
    arc: str
    value: bytes
    critical: bool = False

    def encode(self) -> bytes:
        return sequence(der.oid(self.arc), der.TRUE if self.critical else b"", der.octets(self.value))


def basic(ca: bool, path_len: int | None = None, *, critical: bool = True) -> Extension:  # noqa: FBT001 (its own name)
    length = b"" if path_len is None else der.integer(path_len)
    return Extension(BASIC, sequence(der.TRUE if ca else b"", length), critical)


def key_usage(*numbers: int, critical: bool = True) -> Extension:
    return Extension(KEY_USAGE, der.named_bits(*numbers), critical)


def eku(*arcs: str, critical: bool = False) -> Extension:
    return Extension(EKU, sequence(*map(der.oid, arcs)), critical)


def ski(key: Key, *, critical: bool = False) -> Extension:
    return Extension(SKI, der.octets(key.identifier), critical)


def aki(key: Key, *more: bytes, critical: bool = False) -> Extension:
    return Extension(AKI, sequence(implicit(0, key.identifier), *more), critical)


def dns(value: str | bytes) -> bytes:
    return implicit(2, value.encode() if isinstance(value, str) else value)


def email(value: str) -> bytes:
    return implicit(1, value.encode())


def uri(value: str) -> bytes:
    return implicit(6, value.encode())


def ip(*octets: int) -> bytes:
    return implicit(7, bytes(octets))


def directory(value: bytes) -> bytes:
    return explicit(4, value)


def other_name() -> bytes:
    return explicit(0, der.oid("1.3.6.1.4.1.55738.666.1"), explicit(0, der.text("x")))


def san(*names: bytes, critical: bool = False) -> Extension:
    return Extension(SAN, sequence(*names), critical)


def constraints(permitted: Sequence[bytes] = (), excluded: Sequence[bytes] = (), *, critical: bool = True) -> Extension:
    lists = [explicit(number, *map(sequence, names)) for number, names in enumerate((permitted, excluded)) if names]
    return Extension(NAME_CONSTRAINTS, sequence(*lists), critical)


def policies(*arcs: str, critical: bool = False) -> Extension:
    return Extension(POLICIES, sequence(*(sequence(der.oid(arc)) for arc in arcs)), critical)


def mappings(*pairs: tuple[str, str], critical: bool = True) -> Extension:
    return Extension(MAPPINGS, sequence(*(sequence(der.oid(one), der.oid(two)) for one, two in pairs)), critical)


def policy_constraints(explicit_policy: int | None = None, inhibit: int | None = None) -> Extension:
    values = ((0, explicit_policy), (1, inhibit))
    parts = [implicit(number, der.integer_octets(value)) for number, value in values if value is not None]
    return Extension(POLICY_CONSTRAINTS, sequence(*parts), critical=True)


def inhibit_any(skip: int) -> Extension:
    return Extension(INHIBIT_ANY, der.integer(skip), critical=True)


# ── certificates ───────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, kw_only=True)
class Tbs:
    """A certificate before its signature. Every field is DER; `extensions` may be None for none at all."""

    subject: bytes
    key: Key
    version: bytes = explicit(0, der.integer(2))
    serial: bytes = der.integer(0x1234_5678)
    algorithm: bytes | None = None
    issuer: bytes = b""
    validity: bytes = sequence(time(BEGIN), time(END))
    spki: bytes | None = None
    unique_identifiers: bytes = b""
    extensions: tuple[Extension, ...] | None = ()
    extensions_der: bytes | None = None
    more: bytes = b""

    def encode(self, algorithm: bytes) -> bytes:
        extensions = self.extensions_der
        if extensions is None:
            listed = None if self.extensions is None else sequence(*(one.encode() for one in self.extensions))
            extensions = b"" if listed is None else explicit(3, listed)
        return sequence(
            self.version,
            self.serial,
            self.algorithm or algorithm,
            self.issuer,
            self.validity,
            self.subject,
            self.spki or self.key.spki,
            self.unique_identifiers,
            extensions,
            self.more,
        )

    def with_extension(self, extension: Extension) -> Tbs:
        """The same with `extension` in place of the one of its kind, or added."""
        others = tuple(one for one in self.extensions or () if one.arc != extension.arc)
        return replace(self, extensions=(*others, extension))

    def without(self, *arcs: str) -> Tbs:
        return replace(self, extensions=tuple(one for one in self.extensions or () if one.arc not in arcs))


def sign(
    tbs: Tbs, signer: Key, *, algorithm: bytes | None = None, signature: bytes | None = None, more: bytes = b""
) -> bytes:
    """The certificate: `tbs` signed by `signer`; outer algorithm and signature may be something else."""
    encoded = tbs.encode(signer.algorithm)
    signed = signer.sign(encoded) if signature is None else signature
    return sequence(encoded, algorithm or signer.algorithm, der.bits(signed), more)


@dataclass(frozen=True)
class Chain:
    """An honest chain as parts that can be changed: end entity, Technician-Z, Factory-Y, root."""

    tbs: tuple[Tbs, ...]
    signers: tuple[Key, ...]
    """The key that signs each, in the same order; the root's own last."""
    odd: dict[int, dict[str, Any]] = field(default_factory=dict)

    def change(self, position: int, **fields: Any) -> Chain:
        tbs = list(self.tbs)
        tbs[position] = replace(tbs[position], **fields)
        return replace(self, tbs=tuple(tbs))

    def extend(self, position: int, *extensions: Extension) -> Chain:
        tbs = list(self.tbs)
        for extension in extensions:
            tbs[position] = tbs[position].with_extension(extension)
        return replace(self, tbs=tuple(tbs))

    def without(self, position: int, *arcs: str) -> Chain:
        tbs = list(self.tbs)
        tbs[position] = tbs[position].without(*arcs)
        return replace(self, tbs=tuple(tbs))

    def signed(self, position: int, **odd: Any) -> Chain:
        """Oddities of the outer part: `algorithm`, `signature`, `more`, or another `signer`."""
        return replace(self, odd={**self.odd, position: odd})

    def encode(self) -> list[bytes]:
        """DER, end entity first, root last."""
        out = []
        for position, (tbs, signer) in enumerate(zip(self.tbs, self.signers, strict=True)):
            odd = dict(self.odd.get(position, {}))
            out.append(sign(tbs, odd.pop("signer", signer), **odd))
        return out


def ca(common_name: str, key: Key, issuer: str, issuer_key: Key, path_len: int | None = None) -> Tbs:
    extensions = [basic(True, path_len), key_usage(KEY_CERT_SIGN, CRL_SIGN), ski(key)]
    if issuer != common_name:
        extensions.append(aki(issuer_key))
    return Tbs(subject=name(common_name), key=key, issuer=name(issuer), extensions=tuple(extensions))


def honest(purpose: str = CLIENT_AUTH, *leaf_extensions: Extension) -> Chain:
    """root → Factory-Y → Technician-Z → widget-1."""
    root, factory, technician, widget = map(p256, ("root", "factory", "technician", "widget"))
    leaf = Tbs(
        subject=name("widget-1"),
        key=widget,
        issuer=name("Technician-Z"),
        extensions=(
            basic(False),
            key_usage(DIGITAL_SIGNATURE),
            eku(purpose),
            ski(widget),
            aki(technician),
            *leaf_extensions,
        ),
    )
    return Chain(
        (
            leaf,
            ca("Technician-Z", technician, "Factory-Y", factory),
            ca("Factory-Y", factory, "Company-X Root", root),
            ca("Company-X Root", root, "Company-X Root", root),
        ),
        (technician, factory, root, root),
    )


# ── revocation lists ───────────────────────────────────────────────────────────────────────────────────────────────

CRL_NUMBER, DELTA, IDP, REASON, CERTIFICATE_ISSUER = (CE + arc for arc in ("20", "27", "28", "21", "29"))


@dataclass(frozen=True)
class Revoked:
    serial: int
    reason: int | None = None
    issuer: bytes | None = None
    extensions: tuple[Extension, ...] = ()

    def encode(self) -> bytes:
        extensions = list(self.extensions)
        if self.reason is not None:
            extensions.append(Extension(REASON, der.element(der.ENUMERATED, bytes([self.reason]))))
        if self.issuer is not None:
            extensions.append(Extension(CERTIFICATE_ISSUER, sequence(directory(self.issuer)), critical=True))
        listed = sequence(*(one.encode() for one in extensions)) if extensions else b""
        return sequence(der.integer(self.serial), time(datetime(2026, 1, 1, tzinfo=UTC)), listed)


def crl(
    issuer: str | bytes,
    key: Key,
    *revoked: Revoked,
    this_update: datetime = datetime(2026, 11, 1, tzinfo=UTC),
    next_update: datetime | None = datetime(2026, 12, 1, tzinfo=UTC),
    number: int | None = 7,
    extensions: Sequence[Extension] = (),
    version: bytes = der.integer(1),
) -> bytes:
    """A complete list of `issuer`, signed by `key`; `extensions` are added or take the place of the usual ones."""
    usual = [aki(key)]
    if number is not None:
        usual.append(Extension(CRL_NUMBER, der.integer(number)))
    kept = [one for one in usual if one.arc not in {other.arc for other in extensions}]
    listed = sequence(*(one.encode() for one in (*kept, *extensions)))
    tbs = sequence(
        version,
        key.algorithm,
        name(issuer) if isinstance(issuer, str) else issuer,
        time(this_update),
        b"" if next_update is None else time(next_update),
        sequence(*(one.encode() for one in revoked)) if revoked else b"",
        explicit(0, listed) if version else b"",
    )
    return sequence(tbs, key.algorithm, der.bits(key.sign(tbs)))


def idp(*parts: bytes) -> Extension:
    """An issuing distribution point of `parts`, critical."""
    return Extension(IDP, sequence(*parts), critical=True)


def full_name(*names: bytes) -> bytes:
    """`distributionPoint [0]` with full names."""
    return explicit(0, explicit(0, *names))


def points(*listed: bytes) -> Extension:
    """cRLDistributionPoints; each of `listed` is the contents of one."""
    return Extension(CRL_POINTS, sequence(*map(sequence, listed)))
