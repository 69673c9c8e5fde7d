"""Who a certificate is about: subjects of CAs, and device ids."""

from __future__ import annotations

from typing import Final

from cryptography import x509
from cryptography.x509.oid import NameOID

from holdfast._holdfast import POSSESSION_PREFIX
from holdfast._holdfast import check_device_id as check_by_engine
from holdfast.authority.verdict import refusing
from holdfast.errors import IssuanceError

# A subject stands in every chain below: eight CAs with such names and the largest keys still fit into what a hub takes.
_SUBJECT_BYTES_MAX: Final = 1024


def subject_named(common_name: str) -> x509.Name:
    """A subject that is one common name of 1 to 64 characters.

    Raises:
        IssuanceError: `subject_invalid`, `common_name_reserved`.
    """
    try:
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    except ValueError as error:
        message = f"a name of 1 to 64 characters is wanted, this has {len(common_name)}"
        raise IssuanceError("subject_invalid", message) from error
    check_subject(subject)
    return subject


def parse_subject(text: str) -> x509.Name:
    """A subject as RFC 4514 writes it: `CN=Company-X Root,O=Company-X,C=DE`.

    Raises:
        IssuanceError: `subject_invalid`, `common_name_reserved`.
    """
    try:
        subject = x509.Name.from_rfc4514_string(text)
    except ValueError as error:
        hint = "As in CN=Company-X Root,O=Company-X,C=DE; a comma in a value is written \\,"
        message = f"not a distinguished name in the form of RFC 4514{f': {error}' if str(error) else ''}"
        raise IssuanceError("subject_invalid", message, hint=hint) from error
    if not subject.rdns:
        message = "a CA needs a name"
        raise IssuanceError("subject_invalid", message)
    check_subject(subject)
    return subject


def check_subject(subject: x509.Name) -> None:
    """Refuse a subject that could not be shown safely (D06), or that would answer a possession challenge (O04).

    Raises:
        IssuanceError: `subject_invalid`, `common_name_reserved`.
    """
    if (size := len(subject.public_bytes())) > _SUBJECT_BYTES_MAX:
        message = f"a subject of {size} bytes, at most {_SUBJECT_BYTES_MAX} are allowed"
        raise IssuanceError("subject_invalid", message)
    for attribute in subject:
        if not isinstance(attribute.value, str) or not attribute.value.isprintable():
            message = f"the subject's attribute {attribute.oid.dotted_string} has characters that cannot be printed"
            raise IssuanceError("subject_invalid", message)
        if attribute.value.strip().casefold().startswith(POSSESSION_PREFIX.casefold()):
            message = f"names beginning with {POSSESSION_PREFIX} are kept for possession proofs"
            hint = "Such a name is signed only by: holdfast authority prove --hub H --tenant T"
            raise IssuanceError("common_name_reserved", message, hint=hint)


def device_id_of(subject: x509.Name) -> str:
    """The one common name of a device's subject, whatever else the subject holds.

    Raises:
        IssuanceError: `common_name_missing`, `common_name_ambiguous`, and those of `check_device_id`.
    """
    names = subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    if not names:
        message = "the subject has no common name"
        raise IssuanceError("common_name_missing", message)
    if len(names) > 1:
        message = "the subject has more than one common name"
        raise IssuanceError("common_name_ambiguous", message)
    device_id = str(names[0].value)
    check_device_id(device_id)
    return device_id


def check_device_id(device_id: str) -> None:
    """Refuse what the hub would refuse as a device's identity (`trust.md` §3.1).

    Raises:
        IssuanceError: `common_name_invalid`, `common_name_reserved`, `common_name_too_long`.
    """
    if not device_id.isascii():
        message = f"device id {device_id[:80]!a}: a character that is not ASCII"
        raise IssuanceError("common_name_invalid", message)
    with refusing(f"device id {device_id[:80]!r}"):
        check_by_engine(device_id)


class DeviceIds:
    """Ids seen so far, so that none is given out twice (E02)."""

    def __init__(self) -> None:
        self._seen: set[str] = set()

    def add(self, device_id: str) -> None:
        """Check one id and remember it.

        Raises:
            IssuanceError: `duplicate_device_id`: another but for upper and lower case; those of `check_device_id`.
        """
        check_device_id(device_id)
        folded = device_id.lower()
        if folded in self._seen:
            message = f"device id {device_id!r} occurs twice, upper and lower case taken as the same"
            raise IssuanceError("duplicate_device_id", message)
        self._seen.add(folded)
