"""What an uploaded file is: one CA certificate, or one proof. What is or hides a private key is refused (F01).

Nothing of a refused file is kept, and no message quotes it. PEM or DER is told by content, never by name. A file says
one thing: several certificates, other blocks or text beside the certificate are refused, never "the first one wins".
But for a file that only names a certificate: there a chain is its first one's, and nothing else is (docs/decisions.md).
"""

from __future__ import annotations

import base64
import binascii
import re
from itertools import pairwise

from holdfast._holdfast import Certificate
from holdfast.errors import LimitExceededError, RegistrationError, VerificationError
from holdfast.files import BYTE_ORDER_MARK
from holdfast.possession import IssuanceProof, SignatureProof

UPLOAD_BYTES_MAX = 64 * 1024
"""Sixteen times a large CA certificate."""
# How deep an encoding may be wrapped in another (a key in base64 in an extension) and still be looked for.
WRAPPINGS_MAX = 3

# Keys that say what they are: any PEM kind ("ENCRYPTED PRIVATE KEY", "OPENSSH PRIVATE KEY" …), PuTTY, OpenSSH's and
# Java's own formats.
SPOKEN = re.compile(
    rb"PRIVATE KEY|PuTTY-User-Key-File|openssh-key-v1\x00|(?:\xfe\xed\xfe\xed|\xce\xce\xce\xce)\x00\x00\x00[\x01\x02]"
)
# A JSON Web Key's private members, RFC 7518 §6.2.2, §6.3.2, §6.4.1.
JWK = b'"kty"'
JWK_PRIVATE = re.compile(rb'"(?:d|p|q|dp|dq|qi|oth|k|priv)"\s{0,16}:')
# DER, wherever it stands. `LENGTH` is any definite length.
LENGTH = rb"(?:[\x00-\x7f]|\x81.|\x82..|\x83...)"
DER = re.compile(
    # PrivateKeyInfo, RFC 5958 §2: version, then a key's algorithm (rsaEncryption, id-ecPublicKey, dsa, X25519, X448).
    # In a certificate a number is followed by the algorithm of a signature.
    rb"\x02\x01[\x00\x01]\x30" + LENGTH + rb"\x06"
    rb"(?:\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01|\x07\x2a\x86\x48\xce(?:\x3d\x02|\x38\x04)\x01|\x03\x2b\x65[\x6e\x6f])"
    # The same where key and signature have one name (Ed25519, Ed448, ML-DSA and its like; RSASSA-PSS): the secret's
    # OCTET STRING follows.
    rb"|\x02\x01[\x00\x01]\x30[\x05\x0b]\x06(?:\x03\x2b\x65[\x70\x71]|\x09\x60\x86\x48\x01\x65\x03\x04[\x03\x04].)\x04"
    rb"|\x02\x01[\x00\x01]\x30[\x00-\x7f]\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0a.{0,96}?\x04\x82..\x30\x82"
    # ECPrivateKey, RFC 5915 §3: version 1, then the octets of the secret for curves of 160 to 521 bits.
    rb"|\x30" + LENGTH + rb"\x02\x01\x01\x04[\x14-\x42]"
    # RSAPrivateKey, RFC 8017 §A.1.2: version 0 or 1, then a modulus of 512 bits or more.
    rb"|\x30" + LENGTH + rb"\x02\x01[\x00\x01]\x02(?:[\x40-\x7f]|\x81.|\x82..)"
    # EncryptedPrivateKeyInfo and the bags of PKCS #12: PBES2, or PBE of PKCS #12 or PKCS #5.
    rb"|\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x05[\x01-\x0d]|\x06.\x2a\x86\x48\x86\xf7\x0d\x01\x0c[\x01\x0a]"
    # PFX, RFC 7292 §4: version 3, then a content type of PKCS #7.
    rb"|\A\x30" + LENGTH + rb"\x02\x01\x03\x30" + LENGTH + rb"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07",
    re.DOTALL,
)
BASE64 = re.compile(rb"[A-Za-z0-9+/_-]{32,}(?:\s+[A-Za-z0-9+/_-]+)*={0,2}")
BLOCK = re.compile(
    rb"\s*-----BEGIN (?P<label>[A-Z0-9 ]{1,64})-----\s(?P<body>[A-Za-z0-9+/=\s]*)-----END (?P=label)-----\s*"
)


def read_ca_certificate(upload: bytes) -> Certificate:
    """The certificate in `upload`: PEM with exactly one `CERTIFICATE` block and nothing else, or DER.

    Cost: linear in the upload, which is at most `UPLOAD_BYTES_MAX` bytes. Whether the certificate is fit to be a CA is
    the caller's question.

    Raises:
        LimitExceededError: `upload_too_large`.
        RegistrationError: `private_key_in_upload`, `empty_upload`, `not_a_certificate`, `bad_pem`,
            `unexpected_pem_block`, `text_outside_pem`, `several_certificates`, or the parser's own code.
    """
    _check_harmless(upload)
    ders = _ders(upload)
    if len(ders) > 1:
        message = f"the file holds {len(ders)} certificates, wanted is the CA's own alone"
        raise RegistrationError("several_certificates", message)
    return _certificate(ders[0])


def read_named_certificate(file: bytes) -> Certificate:
    """The certificate that `file` is to name: its only one, or the first of a chain, as `authority sign` writes it.

    For commands that are told of a key or a certificate by its file. What is registered stands alone in its file, and
    so does a proof: those are `read_ca_certificate`'s.

    Raises:
        LimitExceededError, RegistrationError: as `read_ca_certificate`; `several_certificates` if they are no chain.
    """
    _check_harmless(file)
    certificates = [_certificate(der) for der in _ders(file)]
    for certificate, issuer in pairwise(certificates):
        try:
            certificate.check_issued_by(issuer)
        except VerificationError as error:
            message = (
                f"the file holds {len(certificates)} certificates, and '{issuer.subject}' is not the issuer of"
                f" '{certificate.subject}' before it"
            )
            raise RegistrationError(
                "several_certificates", message, hint="Name a file with the one that is meant"
            ) from error
    return certificates[0]


def read_proof(upload: bytes) -> IssuanceProof | SignatureProof:
    """The proof in `upload`: a verification certificate, PEM or DER, or the JSON of a signature.

    Raises:
        LimitExceededError: `upload_too_large`.
        RegistrationError: `private_key_in_upload`, `empty_upload`, or as `read_ca_certificate` refuses.
        PossessionError: `bad_proof`.
    """
    _check_harmless(upload)
    if upload.lstrip()[:1] != b"{":
        return IssuanceProof(read_ca_certificate(upload))
    return SignatureProof.from_json(upload)


def _check_harmless(upload: bytes) -> None:
    if len(upload) > UPLOAD_BYTES_MAX:
        message = f"the file has {len(upload)} bytes, {UPLOAD_BYTES_MAX} are allowed"
        raise LimitExceededError("upload_too_large", message)
    if holds_private_key(upload):
        raise RegistrationError(
            "private_key_in_upload",
            "the file holds a private key; nothing of it was kept",
            hint="Upload the certificate alone; if the file was ever sent to others, replace the key",
        )
    if not upload.strip():
        raise RegistrationError("empty_upload", "the file is empty")


def holds_private_key(data: bytes, wrappings: int = WRAPPINGS_MAX) -> bool:
    """Whether `data` is a private key in any common form, or holds one anywhere, also inside of base64."""
    if SPOKEN.search(data) or DER.search(data) or (JWK in data and JWK_PRIVATE.search(data)):
        return True
    if wrappings == 0:
        return False
    return any(holds_private_key(inside, wrappings - 1) for inside in _unwrapped(data))


def _unwrapped(data: bytes) -> list[bytes]:
    """What the runs of base64 in `data` stand for, in either alphabet; UTF-16 text as what it says."""
    inside = []
    for run in BASE64.finditer(data):
        text = b"".join(run[0].split()).rstrip(b"=").translate(bytes.maketrans(b"-_", b"+/"))
        try:
            inside.append(base64.b64decode(text[: len(text) - (len(text) % 4 == 1)] + b"=" * (-len(text) % 4)))
        except binascii.Error:
            continue
    if data[:2] in {b"\xff\xfe", b"\xfe\xff"}:
        inside.append(data[2:].replace(b"\x00", b""))
    return inside


def _certificate(der: bytes) -> Certificate:
    try:
        return Certificate(der)
    except VerificationError as error:
        raise RegistrationError(error.code, error.message) from error


def _ders(upload: bytes) -> list[bytes]:
    if b"-----BEGIN" not in upload:
        if upload[:1] != b"\x30":
            raise RegistrationError("not_a_certificate", "the file is neither PEM nor DER")
        return [upload]
    blocks = []
    position = len(BYTE_ORDER_MARK) if upload.startswith(BYTE_ORDER_MARK) else 0
    while position < len(upload):
        block = BLOCK.match(upload, position)
        if block is None:
            raise _not_pem(upload[position:])
        blocks.append(block)
        position = block.end()
    labels = {block["label"].decode() for block in blocks}
    if labels != {"CERTIFICATE"}:
        message = f"the file holds {', '.join(sorted(labels - {'CERTIFICATE'}))}, wanted is CERTIFICATE"
        raise RegistrationError("unexpected_pem_block", message)
    try:
        return [base64.b64decode(b"".join(block["body"].split()), validate=True) for block in blocks]
    except binascii.Error as error:
        raise RegistrationError("bad_pem", "the PEM block is not base64") from error


def _not_pem(rest: bytes) -> RegistrationError:
    if rest.lstrip().startswith(b"-----BEGIN"):
        return RegistrationError("bad_pem", "a PEM block has headers, does not end, or is not base64")
    return RegistrationError("text_outside_pem", "there is text outside of the PEM block")
