"""What a certificate of each kind carries, and what its request may ask for. RFC 5280 §4.2.1, RFC 2986 §4.

A request is somebody else's text: nothing is copied from it but subject and key. What it asks for is only compared with
what is given here, so that nobody believes to have got more (E09).
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from holdfast.errors import IssuanceError

if TYPE_CHECKING:
    from holdfast.authority.issuer import Issuer
    from holdfast.authority.keys import PublicKey

_KEY_USES: Final = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
)


class Profile(enum.Enum):
    """The kinds of certificates that are issued on request."""

    CA = "ca"
    DEVICE = "device"

    def extensions(self, *, path_len: int | None = None) -> list[tuple[x509.ExtensionType, bool]]:
        """What makes a certificate of this kind, and what its request says; each extension with its criticality."""
        if self is Profile.CA:
            basic, usage = x509.BasicConstraints(ca=True, path_length=path_len), _key_usage(*_CA_USES)
            return [(basic, True), (usage, True)]
        return [*end_entity_extensions(), (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), False)]

    def not_granted(self, asked: x509.Extensions) -> list[str]:
        """What is asked for beyond what a certificate of this kind has, each by name and object identifier.

        Raises:
            IssuanceError: `request_asks_for_ca`, `request_asks_for_device`: it is a request of the other kind.
        """
        refused = []
        for extension in asked:
            value = extension.value
            if isinstance(value, x509.BasicConstraints):
                if value.ca != (self is Profile.CA):
                    raise self._other_kind()
            elif isinstance(value, x509.KeyUsage):
                uses = {name for name in _KEY_USES if getattr(value, name)}
                if self is Profile.DEVICE and uses & {*_CA_USES}:
                    raise self._other_kind()
                if not uses <= {*(_CA_USES if self is Profile.CA else _DEVICE_USES)}:
                    refused.append(_named(extension.oid, value))
            elif isinstance(value, x509.ExtendedKeyUsage) and self is Profile.DEVICE:
                if [*value] != [ExtendedKeyUsageOID.CLIENT_AUTH]:
                    refused.append(_named(extension.oid, value))
            elif not isinstance(value, x509.SubjectKeyIdentifier):  # a label that the issuer derives from the key
                refused.append(_named(extension.oid, value))
        return refused

    def _other_kind(self) -> IssuanceError:
        if self is Profile.CA:
            message = "the request says that it is no CA's"
            return IssuanceError(
                "request_asks_for_device", message, hint="Devices are issued: holdfast authority issue."
            )
        message = "the request asks to become a CA, a device was to be issued"
        return IssuanceError("request_asks_for_ca", message, hint="Intermediates are signed: holdfast authority sign.")


def end_entity_extensions() -> list[tuple[x509.ExtensionType, bool]]:
    """What says that a certificate is no CA's and that its key may sign, each with its criticality."""
    return [(x509.BasicConstraints(ca=False, path_length=None), True), (_key_usage(*_DEVICE_USES), True)]


def key_identifiers(public_key: PublicKey, issuer: Issuer) -> list[tuple[x509.ExtensionType, bool]]:
    """The labels by which tools find the issuer, RFC 5280 §4.2.1.1, §4.2.1.2; none below a CA that has none itself.

    A label that points at a CA without one leads nowhere, and the engine refuses it.
    """
    try:
        own = issuer.parsed.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    except x509.ExtensionNotFound:
        return []
    above = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own)
    return [(x509.SubjectKeyIdentifier.from_public_key(public_key), False), (above, False)]


_CA_USES: Final = ("key_cert_sign", "crl_sign")
_DEVICE_USES: Final = ("digital_signature",)


def _key_usage(*uses: str) -> x509.KeyUsage:
    flags = {name: name in uses for name in _KEY_USES}
    return x509.KeyUsage(**flags, encipher_only=False, decipher_only=False)


def _named(oid: x509.ObjectIdentifier, value: x509.ExtensionType) -> str:
    if isinstance(value, x509.UnrecognizedExtension):
        return oid.dotted_string
    return f"{type(value).__name__} ({oid.dotted_string})"
