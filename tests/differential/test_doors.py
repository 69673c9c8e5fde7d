"""Whatever is given to a door that Python opens: its answer, or an error of ours with a code; never anything else.

What is mutated is what the door expects: requests (signed again, so that what is behind the signature is reached),
certificates, keys, challenges, proofs, PEM, bundles. Each mutant follows from its door and its number;
`HOLDFAST_MUTANTS=n` asks for more of them (`make deep` for twenty thousand).
"""

from __future__ import annotations

import base64
import json
import os
import random
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from holdfast import HoldfastError, Policy, TrustStore, Verifier
from holdfast._holdfast import Certificate
from holdfast.authority import (
    Profile,
    issue_devices,
    key_to_pem,
    load_issuer,
    make_request,
    make_root,
    read_key,
    read_request,
    sign_intermediate,
    subject_named,
)
from holdfast.cli.bundles import read_certificates
from holdfast.cli.shown import certificate_record
from holdfast.possession import Challenge, SignatureProof
from holdfast.registry.upload import read_ca_certificate, read_proof

from ..support import der, forge
from ..support.forge import AT, honest, p256
from .tree import Tree

if TYPE_CHECKING:
    from collections.abc import Callable

MUTANTS = int(os.environ.get("HOLDFAST_MUTANTS", "400"))
KEY, DEVICE_KEY = p256("root"), p256("widget")
ROOT = make_root(subject=subject_named("Company-X Root"), key=KEY.private, at=AT)
CHAIN = honest().encode()
LIST = forge.crl("Technician-Z", p256("technician"), forge.Revoked(7, 1))
CHALLENGE = {
    "format": "holdfast-possession-challenge",
    "hub": "hub.test",
    "tenant": "default",
    "ca": "company-x",
    "certificate_sha256": "0" * 64,
    "spki_sha256": "1" * 64,
    "etag": "2" * 64,
    "challenge_id": "3" * 32,
    "code": "HFPOP1-" + "A" * 52,
    "nonce": "4" * 64,
    "expires_at": "2026-12-01T00:00:00Z",
}


def requested(profile: Profile) -> bytes:
    pem = make_request(subject=subject_named("widget-1"), key=DEVICE_KEY.private, profile=profile)
    return x509.load_pem_x509_csr(pem).public_bytes(serialization.Encoding.DER)


def mutated(encoded: bytes, chosen: random.Random) -> bytes:
    tree = Tree.parse(encoded)
    for _ in range(chosen.choice((1, 1, 2, 3))):
        tree.mutate(chosen)
    return tree.encode()


def torn(data: bytes, chosen: random.Random) -> bytes:
    """Bytes changed anywhere, a piece left out, a piece twice."""
    at, end = sorted(chosen.randrange(len(data) + 1) for _ in range(2))
    kinds = (
        data[:at] + data[end:],
        data[:end] + data[at:],
        data[:at] + bytes([chosen.randrange(256)]) + data[at + 1 :],
        data[:at],
    )
    return chosen.choice(kinds)


def a_request(chosen: random.Random, profile: Profile) -> bytes:
    information, algorithm, _ = (whole for _, _, whole in der.inside(requested(profile)))
    changed = mutated(information, chosen)
    return der.sequence(changed, algorithm, der.bits(DEVICE_KEY.sign(changed)))


def a_certificate(chosen: random.Random) -> bytes:
    """Of a root that signs itself, anything in it."""
    _, _, root = CHAIN[1:]
    tbs, algorithm, _ = (whole for _, _, whole in der.inside(root))
    changed = mutated(tbs, chosen)
    return der.sequence(changed, algorithm, der.bits(KEY.sign(changed)))


def a_text(chosen: random.Random) -> bytes:
    blocks = [pem("CERTIFICATE", a_certificate(chosen)), pem("X509 CRL", mutated(LIST, chosen))]
    blocks += [pem("PKCS7", chosen.randbytes(20)), b"text\n"]
    text = b"".join(chosen.choices(blocks, k=chosen.randrange(1, 4)))
    return torn(text, chosen) if chosen.random() < 0.5 else text


def pem(label: str, contents: bytes) -> bytes:
    return f"-----BEGIN {label}-----\n{base64.encodebytes(contents).decode()}-----END {label}-----\n".encode()


def a_document(chosen: random.Random) -> bytes:
    fields = dict(CHALLENGE)
    name = chosen.choice(list(fields))
    odd = (None, 1, "", "x" * 5000, "\u202e", [], {}, True, "2026-12-01T00:00:00+01:00", "9999-99-99T99:99:99Z", 1e400)
    fields[name] = chosen.choice(odd)  # type: ignore[assignment]
    text = json.dumps(fields).encode()
    return torn(text, chosen) if chosen.random() < 0.5 else text


def issue_for(chosen: random.Random) -> None:
    list(issue_devices(ROOT, [read_request(a_request(chosen, Profile.DEVICE))], at=AT))


def sign_for(chosen: random.Random) -> None:
    sign_intermediate(ROOT, read_request(a_request(chosen, Profile.CA)), at=AT)


def sign_under(chosen: random.Random) -> None:
    issuer = load_issuer(certificates=a_certificate(chosen), key=KEY.private, at=AT)
    sign_intermediate(issuer, read_request(requested(Profile.CA)), at=AT)


def trust(chosen: random.Random) -> None:
    Verifier(TrustStore([a_certificate(chosen)]), Policy()).explain(CHAIN[:3], AT)


def bundle(chosen: random.Random, place: Path = Path("bundle")) -> None:
    place.write_bytes(a_text(chosen))
    for one in read_certificates(place):
        certificate_record(one, AT)


def a_key(chosen: random.Random) -> None:
    text = key_to_pem(KEY.private)
    plain = serialization.load_pem_private_key(text, None).private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    read_key(pem("PRIVATE KEY", mutated(plain, chosen)) if chosen.random() < 0.5 else torn(text, chosen), b"x")


DOORS: dict[str, Callable[[random.Random], object]] = {
    "a request for a device": issue_for,
    "a request for a CA": sign_for,
    "a CA to sign with": sign_under,
    "a CA's key": a_key,
    "anchors": trust,
    "anchors in PEM": lambda chosen: TrustStore.from_pem(a_text(chosen)),
    "revocation lists": lambda chosen: Verifier(TrustStore([]), Policy(crls=(mutated(LIST, chosen),))),
    "a certificate": lambda chosen: Certificate(a_certificate(chosen)).check_anchor(AT),
    "an upload": lambda chosen: read_ca_certificate(a_text(chosen)),
    "an upload in DER": lambda chosen: read_ca_certificate(a_certificate(chosen)),
    "a proof": lambda chosen: read_proof(a_document(chosen)),
    "a challenge": lambda chosen: Challenge.from_json(a_document(chosen)),
    "a signature": lambda chosen: SignatureProof.from_json(a_document(chosen)),
    "a bundle": bundle,
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("door", DOORS)
def test_a_door_answers_or_refuses_with_a_code(door: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    answered = refused = 0
    for number in range(MUTANTS):
        try:
            DOORS[door](random.Random(f"{door}:{number}"))
            answered += 1
        except HoldfastError as error:
            assert re.fullmatch(r"[a-z0-9_]+", error.code), number
            refused += 1
        except Exception as error:
            error.add_note(f"{door}, number {number}")
            raise
    assert refused > MUTANTS / 20
    assert answered + refused == MUTANTS
