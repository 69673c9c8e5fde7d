"""The ways up from the CAs that vouch for devices, as far as the registry knows: what a preview judges by.

A device's row has the path of its first admission. Later it may come by any other that its issuer's key allows: by a
certificate that another CA has signed, to an anchor that was registered since. So what counts is who has signed whom:
every CA certificate that is registered, or has stood in the path of anybody who was let in. Name, signature and, where
it is asked, dates are looked at; whatever else could refuse a path is the judge's.
"""

from __future__ import annotations

from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from holdfast.errors import VerificationError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from datetime import datetime

    from holdfast._holdfast import Certificate

Signer = tuple[str, bytes]
"""Name and key: every certificate of both can stand above what one of them has signed."""


@dataclass(frozen=True, slots=True)
class _Ca:
    certificate: Certificate
    key: bytes
    signer: Signer


class Ways:
    """What has signed what."""

    def __init__(
        self, certificates: Mapping[bytes, Certificate], paths: Iterable[Sequence[bytes]], anchors: Collection[bytes]
    ) -> None:
        """`certificates` by fingerprint; `paths` and `anchors` name some of them.

        Cost: what stands in a path says who has signed it; the signatures of the others, which operators have named,
        are checked against each key of their issuer's name.
        """
        self._cas = {fingerprint: _read(certificate) for fingerprint, certificate in certificates.items()}
        self._anchors = self._cas.keys() & set(anchors)
        issuers = {below: self._cas[above].signer for path in paths for below, above in pairwise(path)}
        named: defaultdict[str, dict[Signer, Certificate]] = defaultdict(dict)
        for ca in self._cas.values():
            named[ca.signer[0]][ca.signer] = ca.certificate
        self._signed: defaultdict[Signer, list[bytes]] = defaultdict(list)
        for fingerprint, ca in self._cas.items():
            issuer = issuers.get(fingerprint) or _issuer(ca.certificate, named[_folded(ca.certificate.issuer)])
            if issuer is not None:
                self._signed[issuer].append(fingerprint)

    def open_to(
        self, keys: Collection[bytes], fingerprints: Collection[bytes], *, at: datetime | None = None
    ) -> set[bytes]:
        """The certificates from which an anchor is reached by none of these; with `at` by none that is not in date."""

        def stands(fingerprint: bytes) -> bool:
            ca = self._cas[fingerprint]
            in_date = at is None or ca.certificate.not_before <= at <= ca.certificate.not_after
            return in_date and ca.key not in keys and fingerprint not in fingerprints

        within = {fingerprint for fingerprint in self._cas if stands(fingerprint)}
        return set(self.below(self._anchors & within, within=within))

    def below(self, above: Iterable[bytes], *, within: Collection[bytes] | None = None) -> Sequence[bytes]:
        """The certificates `above`, and all that are signed by one of their keys, or below that; nearest first."""
        found = dict.fromkeys(above)
        ahead = list(found)
        walked = set[Signer]()
        for fingerprint in ahead:
            signer = self._cas[fingerprint].signer
            if signer in walked:  # a key may have as many certificates as its owner likes
                continue
            walked.add(signer)
            for signed in self._signed[signer]:
                if signed not in found and (within is None or signed in within):
                    found[signed] = None
                    ahead.append(signed)
        return ahead

    def of(self, keys: Collection[bytes]) -> set[bytes]:
        """The certificates of these keys."""
        return {fingerprint for fingerprint, ca in self._cas.items() if ca.key in keys}

    def keys(self, fingerprints: Iterable[bytes] | None = None) -> Sequence[bytes]:
        """The keys of these certificates, or of all, in their order, each once."""
        some = self._cas if fingerprints is None else fingerprints
        return list(dict.fromkeys(self._cas[fingerprint].key for fingerprint in some))


def _read(certificate: Certificate) -> _Ca:
    key = bytes.fromhex(certificate.spki_sha256)
    return _Ca(certificate, key, (_folded(certificate.subject), key))


def _issuer(certificate: Certificate, candidates: Mapping[Signer, Certificate]) -> Signer | None:
    for signer, candidate in candidates.items():
        with suppress(VerificationError):
            certificate.check_issued_by(candidate)
            return signer
    return None


def _folded(name: str) -> str:
    """Near enough to how names are compared in a path: whatever their case and white space. The signature decides."""
    return " ".join(name.split()).casefold()
