"""Certificates made: roots, intermediates, devices. What our own engine would not accept does not leave this file."""

from __future__ import annotations

import enum
from datetime import datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Final

from cryptography import x509

from holdfast.authority.certificate import BACKDATE, Issued, make_certificate
from holdfast.authority.issuer import Issuer
from holdfast.authority.names import DeviceIds, check_subject, device_id_of
from holdfast.authority.profile import Profile, key_identifiers
from holdfast.authority.verdict import about, refusing
from holdfast.errors import IssuanceError
from holdfast.verify import Policy

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from holdfast._holdfast import Certificate
    from holdfast.authority.keys import PrivateKey
    from holdfast.authority.requests import Request

ROOT_VALIDITY: Final = timedelta(days=7300)
INTERMEDIATE_VALIDITY: Final = timedelta(days=3650)
DEVICE_VALIDITY: Final = timedelta(days=1825)

_BATCH_DEVICES: Final = 128
_MAX_INTERMEDIATES: Final = Policy().max_intermediates


class Extras(enum.Enum):
    """What becomes of extensions that a request asks for beyond what it gets."""

    REFUSE = "refuse"
    """The request is refused."""
    IGNORE = "ignore"
    """They are left out, and named in `Issued.ignored`."""


def make_root(
    *,
    subject: x509.Name,
    key: PrivateKey,
    at: datetime,
    validity: timedelta = ROOT_VALIDITY,
    path_len: int | None = None,
) -> Issuer:
    """A self-signed CA certificate. `path_len`: how many CAs may follow below one another; `None` is without limit.

    Raises:
        IssuanceError: `subject_invalid`, `common_name_reserved`, `validity_out_of_range`, or the engine's reason
            against such a root (`weak_public_key` …).
    """
    check_subject(subject)
    at = at.replace(microsecond=0)
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    certificate = make_certificate(
        subject=subject,
        public_key=key.public_key(),
        issuer=subject,
        issuer_key=key,
        not_before=at - BACKDATE,
        not_after=_end(at, validity),
        extensions=[*Profile.CA.extensions(path_len=path_len), (identifier, False)],
    )
    with refusing("the root would be refused"):
        certificate.check_anchor(at)
        certificate.check_issued_by(certificate)
    return Issuer.of([certificate], key)


def sign_intermediate(
    issuer: Issuer,
    request: Request,
    *,
    at: datetime,
    path_len: int = 0,
    validity: timedelta | None = None,
    extras: Extras = Extras.REFUSE,
) -> Issued:
    """A CA certificate for the key that `request` shows to be held.

    `path_len`: how many CAs may follow below the new one; 0 lets it sign devices only. `validity`: `None` is ten years,
    or as long as the chain above lasts; one that is asked for and would outlast it is refused.

    Raises:
        IssuanceError: `path_len_exceeded`, `max_intermediates_exceeded` (the hub accepts no deeper chain),
            `validity_exceeds_issuer`, `validity_out_of_range`, `expired`, `request_asks_for_device`,
            `extension_not_granted`, `subject_taken` (a CA above has that name), `subject_invalid`,
            `common_name_reserved`, or the engine's reason against the result (`weak_public_key`,
            `unsupported_public_key`, `issuer_name_empty` …).
    """
    check_subject(request.subject)
    if issuer.path_len is not None and path_len >= issuer.path_len:
        name = issuer.certificate.subject
        if issuer.path_len == 0:
            message = f"'{name}' has path length 0: it may sign devices, and no CA"
            raise IssuanceError("path_len_exceeded", message, hint="Have it signed with a larger path length.")
        message = f"path length {path_len} does not fit below '{name}', which has {issuer.path_len}"
        raise IssuanceError("path_len_exceeded", message, hint=f"At most {issuer.path_len - 1} does.")
    if (above := len(issuer.presented)) >= _MAX_INTERMEDIATES:
        message = f"the new CA would stand below {above} others in a chain, where {_MAX_INTERMEDIATES} CAs are allowed"
        raise IssuanceError("max_intermediates_exceeded", message)
    ignored = _ungranted(Profile.CA, request, extras)
    at = at.replace(microsecond=0)
    window = _window(issuer, at, validity, INTERMEDIATE_VALIDITY)
    certificate = _issue(issuer, request, window, Profile.CA.extensions(path_len=path_len))
    with refusing("the certificate would be refused"):
        certificate.check_anchor(at)
        certificate.check_issued_by(issuer.certificate)
    return Issued(certificate=certificate, chain=(certificate.der, *issuer.presented), ignored=ignored)


def issue_devices(
    issuer: Issuer,
    requests: Iterable[Request],
    *,
    at: datetime,
    validity: timedelta | None = None,
    extras: Extras = Extras.REFUSE,
) -> Iterator[Issued]:
    """A certificate for each device, as they come: its one common name is its identity.

    `validity`: `None` is five years, or as long as the chain above lasts. `requests` is read 128 ahead; nothing is held
    but the ids.

    Raises:
        IssuanceError: `duplicate_device_id`, `common_name_…` (see `device_id_of`), `validity_exceeds_issuer`,
            `validity_out_of_range`, `expired`, `request_asks_for_ca`, `extension_not_granted`, `subject_taken`,
            `subject_invalid`, or the engine's reason against a result. Those before it have been issued.
    """
    at = at.replace(microsecond=0)
    window = _window(issuer, at, validity, DEVICE_VALIDITY)
    extensions = Profile.DEVICE.extensions()
    verifier, ids, waiting = issuer.verifier(), DeviceIds(), iter(requests)

    def issue(request: Request) -> Issued:
        check_subject(request.subject)
        ids.add(device_id_of(request.subject))
        ignored = _ungranted(Profile.DEVICE, request, extras)
        certificate = _issue(issuer, request, window, extensions)
        with refusing("the certificate would be refused"):
            _ = certificate.device_id
        return Issued(certificate=certificate, chain=(certificate.der, *issuer.presented), ignored=ignored)

    while batch := list(islice(waiting, _BATCH_DEVICES)):
        issued: list[Issued] = []
        for request in batch:
            with about(f"request for {request.subject.rfc4514_string()[:80]!a}"):
                issued.append(issue(request))
        outcomes = verifier.verify_many([device.chain for device in issued], at)
        for device, outcome in zip(issued, outcomes, strict=True):
            if not outcome.ok:
                message = f"the chain of '{device.certificate.subject}' would be refused: {outcome.message}"
                raise IssuanceError(str(outcome.code), message)
            yield device


def _ungranted(profile: Profile, request: Request, extras: Extras) -> tuple[str, ...]:
    names = profile.not_granted(request.extensions)
    if names and extras is Extras.REFUSE:
        message = f"the request asks for what a {profile.value} certificate does not get: {', '.join(names)}"
        hint = "It can be issued without: --ignore-extensions."
        raise IssuanceError("extension_not_granted", message, hint=hint)
    return tuple(names)


def _end(at: datetime, validity: timedelta) -> datetime:
    message = f"a validity of {validity.total_seconds():.0f} s from {at} is none that a certificate can have"
    if validity <= timedelta(0):
        raise IssuanceError("validity_out_of_range", message)
    try:
        return (at + validity).replace(microsecond=0)
    except OverflowError as error:
        raise IssuanceError("validity_out_of_range", message) from error


def _window(issuer: Issuer, at: datetime, asked: timedelta | None, default: timedelta) -> tuple[datetime, datetime]:
    """From a little before `at` to as asked, inside of what the issuer's chain lasts."""
    issuer.check_in_date(at)
    end = issuer.not_after if asked is None else _end(at, asked)
    if end > issuer.not_after:
        message = f"a validity to {end} would outlast the issuer's chain, which ends at {issuer.not_after}"
        hint = f"At most {(issuer.not_after - at).days} days."
        raise IssuanceError("validity_exceeds_issuer", message, hint=hint)
    if asked is None:
        end = min(end, _end(at, default))
    return max(at - BACKDATE, issuer.certificate.not_before), end


def _issue(
    issuer: Issuer,
    request: Request,
    window: tuple[datetime, datetime],
    extensions: Sequence[tuple[x509.ExtensionType, bool]],
) -> Certificate:
    """Sign, and refuse a subject by which the new certificate would pass for a CA above it."""
    certificate = make_certificate(
        subject=request.subject,
        public_key=request.public_key,
        issuer=issuer.parsed.subject,
        issuer_key=issuer.key,
        not_before=window[0],
        not_after=window[1],
        extensions=[*extensions, *key_identifiers(request.public_key, issuer)],
    )
    # A CA of its issuer's name would be self-issued, which path lengths do not count (RFC 5280 §6.1.4 (l)).
    taken = {name.casefold() for other in issuer.chain for name in (other.subject, other.issuer)}
    if certificate.subject.casefold() in taken:
        message = f"the subject '{certificate.subject}' is that of a CA above"
        raise IssuanceError("subject_taken", message)
    return certificate
