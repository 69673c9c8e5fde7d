"""Everybody's verdict on one chain, and why another's refusal of what we accept need not worry us."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from cryptography import x509

from ..support import der, forge, peers
from .mutate import mutant

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from ..support.peers import Question

    Condition = Callable[[Question], bool]


@dataclass(frozen=True)
class Certificate:
    """As much of one as the explanations ask about, read without judging it."""

    serial_number: bytes
    issuer: bytes
    validity: bytes
    subject: bytes
    unique_identifiers: bool
    extensions: tuple[tuple[bytes, bool, bytes], ...]

    @classmethod
    def read(cls, encoded: bytes) -> Self:
        fields = der.inside(der.inside(encoded)[0][2])
        tagged = {tag: contents for tag, contents, _ in fields if tag & 0x80}
        plain = [whole for tag, _, whole in fields if not tag & 0x80]
        listed = [der.inside(one) for _, _, one in der.inside(tagged[0xA3])] if 0xA3 in tagged else []
        return cls(
            serial_number=fields[int(0xA0 in tagged)][1],
            issuer=plain[2],
            validity=plain[3],
            subject=plain[4],
            unique_identifiers=bool({0x81, 0x82} & set(tagged)),
            extensions=tuple((one[0][1], one[1][0] == der.BOOLEAN, one[-1][1]) for one in listed),
        )

    def values(self, arc: str) -> list[bytes]:
        return [value for own, _, value in self.extensions if own == der.oid_octets(arc)]


POLICY_EXTENSIONS = {"2.5.29.32", "2.5.29.33", "2.5.29.36", "2.5.29.54"}
# NumericString, PrintableString, TeletexString, IA5String, VisibleString, UniversalString, BMPString, UTF8String.
STRINGS = {0x0C, 0x12, 0x13, 0x14, 0x16, 0x1A, 0x1C, 0x1E}
KEY_IDENTIFIERS = {"2.5.29.14", "2.5.29.35"}


def certificates(question: Question) -> Iterator[Certificate]:
    for encoded in (*question.chain, *question.roots):
        yield Certificate.read(encoded)


def extensions(question: Question, *arcs: str) -> Iterator[tuple[bool, bytes]]:
    """Whether it is critical, and its value, of each extension of these kinds."""
    wanted = {der.oid_octets(arc) for arc in arcs}
    for certificate in certificates(question):
        yield from ((critical, value) for arc, critical, value in certificate.extensions if arc in wanted)


def bases(question: Question) -> Iterator[tuple[int, bytes]]:
    """Tag and contents of each name that constrains."""
    for _, value in extensions(question, forge.NAME_CONSTRAINTS):
        for _, subtrees, _ in der.inside(value):
            for _, subtree, _ in der.children(subtrees):
                yield next(der.children(subtree))[:2]


def constrains_more_than_hosts(question: Question) -> bool:
    """Whether there are constraints on forms other than DNS names and addresses."""
    return bool({tag for tag, _ in bases(question)} - {0x82, 0x87})


def constrains_by_the_empty_name(question: Question) -> bool:
    return (0x82, b"") in bases(question)


def constrains_its_own_names(question: Question) -> bool:
    """Whether some CA has constraints and alternative names."""
    return any(one.values(forge.NAME_CONSTRAINTS) and one.values(forge.SAN) for one in certificates(question))


def says_any_purpose(question: Question) -> bool:
    return any(der.oid(forge.EKU + ".0") in value for _, value in extensions(question, forge.EKU))


def has_critical(*arcs: str) -> Condition:
    return lambda question: any(critical for critical, _ in extensions(question, *arcs))


def has_long_path_length(question: Question) -> bool:
    constraints = (der.inside(value) for _, value in extensions(question, forge.BASIC))
    return any(len(contents) > 1 for fields in constraints for tag, contents, _ in fields if tag == der.INTEGER)


def lacks_key_usage(question: Question) -> bool:
    return len(list(extensions(question, forge.KEY_USAGE))) < len(question.chain) + len(question.roots)


def has_odd_serial_number(question: Question) -> bool:
    numbers = [int.from_bytes(certificate.serial_number, signed=True) for certificate in certificates(question)]
    return not all(0 < number < 1 << 159 for number in numbers)


def has_unique_identifier(question: Question) -> bool:
    return any(certificate.unique_identifiers for certificate in certificates(question))


def ends_this_second(question: Question) -> bool:
    at = forge.time(question.at)
    return any(certificate.validity.endswith(at) for certificate in certificates(question))


def several_of_a_name(question: Question) -> bool:
    """Whether two certificates are of one subject, so that a verifier that tries one of them only may stray."""
    names = [certificate.subject for certificate in certificates(question)]
    return len(set(names)) < len(names)


def writes_a_name_in_two_ways(question: Question) -> bool:
    """Whether some issuer is named by other bytes than any CA has."""
    _, *authorities = listed = list(certificates(question))
    return any(one.issuer not in {other.subject for other in authorities if other is not one} for one in listed[:-1])


def names_itself(question: Question) -> bool:
    """Whether the end entity's issuer has its own name, as OpenSSL folds it."""
    end_entity = next(certificates(question))
    return end_entity.issuer.replace(b" ", b"").lower()[-8:] == end_entity.subject.replace(b" ", b"").lower()[-8:]


def points_at_another_key(question: Question) -> bool:
    """Whether some authority key identifier says more than the key's, or no certificate of the issuer's name has it."""
    own = {(one.subject, value[2:]) for one in certificates(question) for value in one.values(forge.SKI)}
    authorities = [(one.issuer, der.inside(value)) for one in certificates(question) for value in one.values(forge.AKI)]
    return any(len(fields) > 1 or (issuer, fields[0][1]) not in own for issuer, fields in authorities)


def is_plain(question: Question) -> bool:
    """Whether there is nothing about the chain that `cryptography` or rustls-webpki refuses for not knowing it."""
    odd = (
        constrains_more_than_hosts,
        has_critical(*POLICY_EXTENSIONS, *KEY_IDENTIFIERS, forge.EKU),
        lacks_key_usage,
        says_any_purpose,
        writes_a_name_in_two_ways,
    )
    return not any(condition(question) for condition in odd)


def lacks_key_identifiers(question: Question) -> bool:
    """Whether some certificate below the root does not point to its issuer's key."""
    return any(not one.values(forge.AKI) for one in list(certificates(question))[:-1])


def has_a_name_that_is_no_string(question: Question) -> bool:
    """Whether the end entity's subject has a value of a type that no name has; to us it is as good as any other."""
    subject = next(certificates(question)).subject
    attributes = (der.inside(whole) for _, rdn, _ in der.inside(subject) for _, _, whole in der.children(rdn))
    return any(fields[1][0] not in STRINGS for fields in attributes)


def has_an_unreadable_root(question: Question) -> bool:
    """Whether `cryptography` cannot read a root, whose signature algorithm nobody needs."""
    try:
        for root in question.roots:
            x509.load_der_x509_certificate(root)
    except ValueError:
        return True
    return False


# Whose refusal, what it says, in which circumstances, and why it is no reason for us to refuse.
EXPLAINED: tuple[tuple[str, str, Condition | None, str], ...] = (
    (
        "cryptography",
        r"unsupported (directoryName|name) constraint|unsatisfiable \w+ name constraint",
        constrains_more_than_hosts,
        "compares no directory names and URIs with constraints",
    ),
    ("cryptography", r"malformed DNS name constraint: $", constrains_by_the_empty_name, "knows no empty constraint"),
    (
        "cryptography",
        r"2\.5\.29\.(32|33|36|54): certificate contains unaccounted-for critical",
        has_critical(*POLICY_EXTENSIONS),
        "knows no certificate policies",
    ),
    (
        "cryptography",
        r"2\.5\.29\.(14|35|37): Certificate extension has incorrect criticality",
        has_critical("2.5.29.37", *KEY_IDENTIFIERS),
        "holds verifiers to what RFC 5280 asks of issuers: criticality",
    ),
    (
        "cryptography",
        r"serial number cannot be negative|serial between 1 and 20 octets",
        has_odd_serial_number,
        "holds verifiers to what RFC 5280 asks of issuers: serial numbers",
    ),
    (
        "cryptography",
        r"2\.5\.29\.15: Certificate is missing required extension",
        lacks_key_usage,
        "wants key usage in CAs, where RFC 5280 §6.1.4 (n) says: if present",
    ),
    (
        "cryptography",
        r"exhausted with no interior errors",
        writes_a_name_in_two_ways,
        "compares names byte by byte, not by RFC 5280 §7.1",
    ),
    (
        "cryptography",
        "no permitted name constraints matched|name constraint: malformed SAN",
        constrains_its_own_names,
        "holds a CA to the constraints that it sets for others",
    ),
    (
        "cryptography",
        r"TbsCertificate::(signature_alg|\w+_unique_id)",
        has_an_unreadable_root,
        "reads the algorithm of a root's signature",
    ),
    (
        "cryptography",
        r"UnexpectedTag .*location: \[\"subject\"\]",
        has_a_name_that_is_no_string,
        "reads values of names that it need not know",
    ),
    (
        "cryptography",
        r"2\.5\.29\.35: Certificate is missing required extension",
        lacks_key_identifiers,
        "wants key identifiers, which are hints for whoever builds paths (RFC 5280 §4.2.1.1)",
    ),
    (
        "OpenSSL",
        "Missing Authority Key Identifier",
        lacks_key_identifiers,
        "wants key identifiers, which are hints for whoever builds paths (RFC 5280 §4.2.1.1)",
    ),
    (
        "rustls-webpki",
        "NameConstraintViolation",
        constrains_more_than_hosts,
        "compares no mailboxes, URIs and directory names with constraints",
    ),
    (
        "rustls-webpki",
        "UnsupportedCriticalExtension",
        has_critical(*POLICY_EXTENSIONS, *KEY_IDENTIFIERS),
        "knows no policies and no key identifiers",
    ),
    ("rustls-webpki", "RequiredEkuNotFound", says_any_purpose, "does not know anyExtendedKeyUsage in CAs"),
    ("rustls-webpki", "TrailingData.CertificateExtensions", has_unique_identifier, "knows no unique identifiers"),
    ("rustls-webpki", "BadDer", has_long_path_length, "knows path lengths up to 255"),
    ("rustls-webpki", "UnknownIssuer", writes_a_name_in_two_ways, "compares names byte by byte, not by RFC 5280 §7.1"),
    (
        "cryptography",
        r"malformed SAN \S*_",
        None,
        "knows no underscores in host names, which devices have",
    ),
    (
        "OpenSSL",
        "unable to get (local )?issuer certificate|certificate signature failure|signature failure|self-signed",
        several_of_a_name,
        "tries one certificate of a name, and does not come back",
    ),
    (
        "OpenSSL",
        "unable to get (local )?issuer certificate",
        points_at_another_key,
        "takes authority key identifiers for more than hints (RFC 5280 §4.2.1.2)",
    ),
    (
        "OpenSSL",
        "unspecified certificate verification error",
        has_an_unreadable_root,
        "reads the algorithm of a root's signature",
    ),
    ("OpenSSL", "certificate has expired", ends_this_second, "ends a second early (RFC 5280 §4.1.2.5)"),
    (
        "OpenSSL",
        "does not include key usage extension|Path length given without key usage",
        lacks_key_usage,
        "wants key usage in CAs, where RFC 5280 §6.1.4 (n) says: if present",
    ),
    ("OpenSSL", "self-signed certificate", names_itself, "takes what is issued under its own name for self-signed"),
    ("OpenSSL", "unsuitable certificate purpose", says_any_purpose, "does not know anyExtendedKeyUsage in CAs"),
)
# What may be said of a chain that we refuse too, until `lenient_issuance` is asked for: RFC 5280 §4 asks it of issuers.
ISSUANCE = {
    "cryptography": (
        r"missing required extension|incorrect criticality|MUST (NOT )?be critical|non-empty Issuer|serial"
        r"|must contain key"
    ),
    "rustls-webpki": r"UnsupportedCriticalExtension",
    "OpenSSL": (
        r"Issuer name empty|Missing (Authority|Subject) Key Identifier|[Nn]ot (marked )?critical|unhandled critical"
    ),
}


# Our codes for what all the others accept, and why we do not.
STRICTER = {
    **dict.fromkeys(
        ("der_truncated", "der_trailing_data", "der_bad_value", "der_bad_length", "der_unexpected_tag"),
        "every extension that is known is read to its end, in every certificate",
    ),
    **dict.fromkeys(
        ("name_constraint_invalid", "name_constraints_empty", "general_name_invalid"),
        "names and constraints that are malformed refuse, whether or not anything is compared with them",
    ),
    **dict.fromkeys(
        (
            "authority_key_identifier_missing",
            "authority_key_identifier_incomplete",
            "subject_key_identifier_missing",
            "invalid_serial_number",
            "invalid_time",
            "extension_must_be_critical",
            "extension_must_not_be_critical",
            "unique_identifier",
        ),
        "RFC 5280 §4 asks it of issuers, and the others ask for a part of it",
    ),
    **dict.fromkeys(
        ("anchor_extended_key_usage", "authority_key_identifier_not_own", "extended_key_usage_missing"),
        "the Baseline Requirements, §7.1.2, ask it of servers and their roots",
    ),
    **dict.fromkeys(
        ("point_form_not_supported", "unsupported_public_key", "explicit_curve_parameters"),
        "an end entity's key is looked at although no signature is checked with it",
    ),
    **dict.fromkeys(
        ("policy_mapping_any_policy", "duplicate_policy"), "RFC 5280 §4.2.1.4, §4.2.1.5, which the others do not read"
    ),
    "key_usage_not_allowed": "an end entity that makes no signatures could not prove that it has its key",
    "extended_key_usage_not_allowed": "anyExtendedKeyUsage in an end entity is not our purpose",
    "path_len_without_ca": "RFC 5280 §4.2.1.9",
    "signature_algorithm_mismatch": "RFC 5280 §4.1.1.2, in every certificate that is presented",
    "extensions_not_allowed": "RFC 5280 §4.1.2.9",
    "duplicate_extension": "RFC 5280 §4.2, in every certificate that is presented",
    "subject_empty": "a device without a name is nobody",
    **dict.fromkeys(("common_name_ambiguous", "common_name_invalid"), "the common name could be read in two ways"),
    "common_name_not_in_subject_alt_name": "the Baseline Requirements, §7.1.4.3",
    **dict.fromkeys(
        ("name_excluded", "name_not_permitted"),
        "the code of a look-alike's path, which tells more than the right one's",
    ),
    "budget_exceeded": "P-384 costs five units, and with look-alikes sixteen are not enough for every chain",
}


def explained(peer: str, reason: str, question: Question, *, leniently: bool) -> str | None:
    """Why this refusal need not worry us, if we know."""
    if peer != "OpenSSL" and several_of_a_name(question) and (leniently or not is_plain(question)):
        return "names the last path's error, not that of the path that it does not understand"
    if leniently and re.search(ISSUANCE[peer], reason):
        return "asks of verifiers what we ask without lenient_issuance"
    for whose, pattern, condition, why in EXPLAINED:
        if whose == peer and re.search(pattern, reason) and (condition is None or condition(question)):
            return why
    return None


@dataclass
class Tally:
    """What came of many chains."""

    chains: int = 0
    accepted: Counter[str] = field(default_factory=Counter)
    explained: Counter[str] = field(default_factory=Counter)
    unexplained: list[str] = field(default_factory=list)
    alone: Counter[str] = field(default_factory=Counter)
    """Our codes for what all the others accept."""

    def add(self, other: Tally) -> None:
        self.chains += other.chains
        self.accepted += other.accepted
        self.explained += other.explained
        self.unexplained += other.unexplained
        self.alone += other.alone

    def surprises(self) -> list[str]:
        """What nobody has thought of yet: it should be empty."""
        return [*self.unexplained, *(f"we alone refuse: {code}" for code in self.alone if code not in STRICTER)]


def run(seed: int, numbers: Iterable[int], *, with_openssl: bool = False) -> Tally:
    """Asks everybody about these mutants.

    What we accept and two others refuse, one of them for a reason that is not explained, is named in `unexplained`.
    """
    tally, webpki = Tally(), peers.Webpki()
    try:
        for number in numbers:
            one(tally, seed, number, webpki, with_openssl=with_openssl)
    finally:
        webpki.close()
    return tally


def one(tally: Tally, seed: int, number: int, webpki: peers.Webpki, *, with_openssl: bool) -> None:
    made = mutant(seed, number)
    question = made.question
    code = peers.ours(question)
    verdicts = {
        "cryptography": peers.pyca(question, peers.DEVICE if question.server_name is None else None),
        "rustls-webpki": webpki(question),
    }
    if with_openssl:
        # Whatever is trusted is an anchor, self-signed or not, as it is to the others.
        verdicts["OpenSSL"] = peers.openssl(question, "-partial_chain")
    tally.chains += 1
    tally.accepted.update(peer for peer, reason in (("holdfast", code), *verdicts.items()) if reason is None)
    refusals = {peer: reason for peer, reason in verdicts.items() if reason is not None}
    if code is not None and not refusals:
        tally.alone[code] += 1
    # What issuers alone are held to is out of the way here: the others ask for some of it and not for the rest.
    if len(refusals) < 2 or (code is not None and peers.ours(question, lenient_issuance=True) is not None):
        return
    for peer, reason in refusals.items():
        why = explained(peer, reason, question, leniently=code is not None)
        if why is None:
            tally.unexplained.append(f"seed {seed} number {number} {'+'.join(made.done)}: {refusals}")
            return
        tally.explained[f"{peer}: {why}"] += 1
