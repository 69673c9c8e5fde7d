"""NIST PKITS: its certificates and lists come with `cryptography_vectors`; `pkits.json` is what NIST says of each."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import cryptography_vectors

from holdfast import HoldfastError, Policy, TrustStore, VerificationError, Verifier

from ..support import der

HERE = Path(__file__).parent
DATA = Path(cryptography_vectors.__file__).parent / "x509" / "PKITS_data"
ANCHOR = "TrustAnchorRootCertificate"
# The suite's certificates run from 2010 to 2030.
AT = datetime(2026, 11, 23, tzinfo=UTC)
POLICY = "2.16.840.1.101.3.2.1.48.{}"
# The suite tests RFC 5280's validation, §6, with certificates that break §4 in places, and end entities that are CAs.
VALIDATION = {"lenient_issuance": True, "lenient_ca_leaf": True}


@dataclass(frozen=True)
class Test:
    """One test, or one of its parts: which end entity, under which inputs, whether the path is valid, and our code."""

    id: str
    end_entity: str
    inputs: dict[str, Any]
    valid: bool
    code: str | None

    @property
    def section(self) -> str:
        return ".".join(self.id.split(".")[:2])


def tests() -> list[Test]:
    return [Test(**row) for row in json.loads((HERE / "pkits.json").read_text())]


@cache
def certificates() -> dict[str, bytes]:
    return {path.stem: path.read_bytes() for path in sorted((DATA / "certs").glob("*.crt"))}


@cache
def lists() -> dict[str, bytes]:
    return {path.stem: path.read_bytes() for path in sorted((DATA / "crls").glob("*.crl"))}


Name = tuple[tuple[bytes, str], ...]


def folded(name: bytes) -> Name:
    """A name whatever the case, white space and type of its strings: enough to gather what belongs together."""
    return tuple(
        (der.inside(pair)[0][1], " ".join(der.inside(pair)[1][1].decode("latin-1").lower().split()))
        for _, rdn, _ in der.inside(name)
        for _, _, pair in der.children(rdn)
    )


def parts(signed: bytes) -> list[bytes]:
    """The elements of what is signed, without a version."""
    tbs = [whole for _, _, whole in der.inside(der.inside(signed)[0][2])]
    return tbs[1:] if tbs[0][0] == 0xA0 else tbs


@cache
def names() -> dict[str, tuple[Name, Name]]:
    """Issuer and subject of each certificate."""
    return {stem: (folded(parts(one)[2]), folded(parts(one)[4])) for stem, one in certificates().items()}


@cache
def list_issuers() -> dict[str, Name]:
    # Every list of the suite is of version 2, so its issuer is the third element.
    return {stem: folded(parts(one)[2]) for stem, one in lists().items()}


def material(end_entity: str) -> tuple[list[bytes], list[bytes]]:
    """Every certificate that could stand above the end entity or sign lists for it, and every list of all of those."""
    wanted, gathered = [names()[end_entity][0]], []
    seen: set[Name] = set()
    while wanted:
        subject = wanted.pop()
        if subject in seen:
            continue
        seen.add(subject)
        for stem, (issuer, own) in names().items():
            if own == subject and stem not in {ANCHOR, end_entity}:
                gathered.append(stem)
                wanted.append(issuer)
    # The tests of indirect lists name their issuers in distribution points.
    if any("indirectCRL" in stem or "cRLIssuer" in stem for stem in (end_entity, *gathered)):
        for stem, (_, own) in names().items():
            if stem.startswith("indirectCRLCA") and stem not in gathered:
                gathered.append(stem)
                seen.add(own)
    seen.add(names()[ANCHOR][1])
    return (
        [certificates()[stem] for stem in gathered],
        [one for stem, one in lists().items() if list_issuers()[stem] in seen],
    )


def judge(test: Test, **leniencies: bool) -> str | None:
    """`None` for a valid path, else the code that it is refused with."""
    bag, crls = material(test.end_entity)
    acceptable = test.inputs.get("acceptable")
    policy = Policy(
        crls=tuple(crls),
        certificate_policies=None if acceptable is None else tuple(POLICY.format(number) for number in acceptable),
        require_explicit_policy=test.inputs.get("explicit", False),
        inhibit_policy_mapping=test.inputs.get("inhibit_mapping", False),
        inhibit_any_policy=test.inputs.get("inhibit_any", False),
        chain_certificates_count_max=64,
        **leniencies,
    )
    try:
        verifier = Verifier(TrustStore([certificates()[ANCHOR]]), policy)
        verifier.verify([certificates()[test.end_entity], *bag], AT)
    except VerificationError as error:
        return error.code
    except HoldfastError as error:
        return error.code
    return None
