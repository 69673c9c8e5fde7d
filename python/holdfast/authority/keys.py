"""Private keys: made, read, written; nothing here shows one."""

from __future__ import annotations

import enum
import os
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, padding, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC

from holdfast.authority.pem import elements, to_pem
from holdfast.errors import IssuanceError

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
"""What signs. Both are abstract: a key that lives in hardware can stand in for one in memory."""

PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey
"""What is certified."""

# OWASP's figure of 2023 for PBKDF2 with HMAC-SHA-256. `cryptography` and OpenSSL write 2,048 rounds, which a passphrase
# that a person can remember does not survive. scrypt would be better still, but OpenSSL's tools refuse more than 32 MiB
# of memory for it.
PASSPHRASE_ROUNDS: Final = 600_000

_DER, _PKCS8 = serialization.Encoding.DER, serialization.PrivateFormat.PKCS8
_PRIVATE_KEY: Final = "PRIVATE KEY"
_ENCRYPTED_PRIVATE_KEY: Final = "ENCRYPTED PRIVATE KEY"
_KEY_LABELS: Final = {_PRIVATE_KEY, _ENCRYPTED_PRIVATE_KEY, "EC PRIVATE KEY", "RSA PRIVATE KEY"}
# `openssl ecparam -genkey` writes the curve's name before the key.
_BESIDE_A_KEY: Final = {"EC PARAMETERS"}


class KeyAlgorithm(enum.Enum):
    """Keys that are made here; the values are the engine's names."""

    ECDSA_P256 = "ecdsa-p256"
    ECDSA_P384 = "ecdsa-p384"
    RSA_2048 = "rsa-2048"
    RSA_3072 = "rsa-3072"
    RSA_4096 = "rsa-4096"


def generate_key(algorithm: KeyAlgorithm = KeyAlgorithm.ECDSA_P256) -> PrivateKey:
    """A new key. Cost: 15 µs for P-256, up to a second for RSA."""
    match algorithm:
        case KeyAlgorithm.ECDSA_P256:
            return ec.generate_private_key(ec.SECP256R1())
        case KeyAlgorithm.ECDSA_P384:
            return ec.generate_private_key(ec.SECP384R1())
        case KeyAlgorithm.RSA_2048 | KeyAlgorithm.RSA_3072 | KeyAlgorithm.RSA_4096:
            return rsa.generate_private_key(65537, int(algorithm.value.removeprefix("rsa-")))


def read_key(data: bytes, passphrase: bytes | None = None) -> PrivateKey:
    """The one private key in `data`: PKCS #8, SEC 1 or PKCS #1, in PEM or DER.

    Raises:
        IssuanceError: `bad_pem`, `no_private_key`, `several_private_keys`, `bad_private_key`,
            `unsupported_private_key` (neither ECDSA on P-256 or P-384 nor RSA), `passphrase_needed`,
            `wrong_passphrase`, `key_not_encrypted`.
    """
    blocks = [block for block in elements(data, _PRIVATE_KEY) if block.label not in _BESIDE_A_KEY]
    if not blocks or any(block.label not in _KEY_LABELS for block in blocks):
        message = "there is no private key, or something beside it, where one in PEM or DER is expected"
        raise IssuanceError("no_private_key", message)
    if len(blocks) > 1:
        message = f"there are {len(blocks)} private keys where one is expected"
        raise IssuanceError("several_private_keys", message)
    key = _load(blocks[0].der, passphrase)
    if not isinstance(key, PrivateKey) or (
        isinstance(key, ec.EllipticCurvePrivateKey) and not isinstance(key.curve, ec.SECP256R1 | ec.SECP384R1)
    ):
        message = "the private key is neither ECDSA on P-256 or P-384 nor RSA"
        raise IssuanceError("unsupported_private_key", message)
    return key


def _load(der: bytes, passphrase: bytes | None) -> object:
    try:
        return serialization.load_der_private_key(der, passphrase)
    except (TypeError, ValueError) as error:
        if passphrase is None and isinstance(error, TypeError):
            message = "the private key is encrypted and there is no passphrase"
            raise IssuanceError("passphrase_needed", message) from error
        # What opening it says does not tell: one wrong passphrase in 256 leaves padding that looks right.
        if passphrase is not None and _is_encrypted(der):
            message = "the passphrase does not open the private key"
            raise IssuanceError("wrong_passphrase", message) from error
        if isinstance(error, TypeError):
            message = "a passphrase was given, but the private key is not encrypted"
            raise IssuanceError("key_not_encrypted", message) from error
        message = "the private key cannot be read"
        raise IssuanceError("bad_private_key", message) from error
    except UnsupportedAlgorithm as error:
        message = "the private key is of a kind that is not known"
        raise IssuanceError("unsupported_private_key", message) from error


def _is_encrypted(der: bytes) -> bool:
    try:
        serialization.load_der_private_key(der, None)
    except TypeError:
        return True
    except (ValueError, UnsupportedAlgorithm):
        return False
    return False


def key_to_pem(key: PrivateKey, passphrase: bytes | None = None) -> bytes:
    """PKCS #8 in PEM, encrypted where there is a passphrase. Cost with one: a tenth of a second, on purpose.

    Raises:
        IssuanceError: `empty_passphrase`.
    """
    der = key.private_bytes(_DER, _PKCS8, serialization.NoEncryption())
    if passphrase is None:
        return to_pem(_PRIVATE_KEY, [der])
    if not passphrase:
        message = "an empty passphrase protects nothing"
        raise IssuanceError("empty_passphrase", message)
    return to_pem(_ENCRYPTED_PRIVATE_KEY, [_encrypt(der, passphrase)])


def spki(key: PrivateKey) -> bytes:
    """DER of the SubjectPublicKeyInfo."""
    return key.public_key().public_bytes(_DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def signature_hash(key: PrivateKey) -> hashes.SHA256 | hashes.SHA384:
    """The hash that goes with a key: the curve's (RFC 5480 §4), SHA-256 for RSA."""
    if isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, ec.SECP384R1):
        return hashes.SHA384()
    return hashes.SHA256()


def _encrypt(der: bytes, passphrase: bytes) -> bytes:
    """EncryptedPrivateKeyInfo by PBES2 with PBKDF2, HMAC-SHA-256 and AES-256-CBC. RFC 5958 §3, RFC 8018 appendix A."""
    salt, iv = os.urandom(16), os.urandom(16)
    key = PBKDF2HMAC(hashes.SHA256(), 32, salt, PASSPHRASE_ROUNDS).derive(passphrase)
    pad = padding.PKCS7(128).padder()
    cipher = Cipher(algorithms.AES256(key), modes.CBC(iv)).encryptor()
    encrypted = cipher.update(pad.update(der) + pad.finalize()) + cipher.finalize()
    pbkdf2 = _sequence(
        _OID_PBKDF2,
        _sequence(_tlv(0x04, salt), _tlv(0x02, PASSPHRASE_ROUNDS.to_bytes(3)), _sequence(_OID_HMAC_SHA256, _tlv(0x05))),
    )
    scheme = _sequence(_OID_PBES2, _sequence(pbkdf2, _sequence(_OID_AES256_CBC, _tlv(0x04, iv))))
    return _sequence(scheme, _tlv(0x04, encrypted))


def _sequence(*contents: bytes) -> bytes:
    return _tlv(0x30, *contents)


def _tlv(tag: int, *contents: bytes) -> bytes:
    value = b"".join(contents)
    length = len(value)
    if length < 0x80:
        return bytes([tag, length]) + value
    octets = length.to_bytes((length.bit_length() + 7) // 8)
    return bytes([tag, 0x80 | len(octets)]) + octets + value


_OID_PBES2: Final = bytes.fromhex("06092a864886f70d01050d")
_OID_PBKDF2: Final = bytes.fromhex("06092a864886f70d01050c")
_OID_HMAC_SHA256: Final = bytes.fromhex("06082a864886f70d0209")
_OID_AES256_CBC: Final = bytes.fromhex("060960864801650304012a")
