//! Judges one ordered path, but for its signatures and revocation. RFC 5280 §6.1; variables and letters are those of the RFC.
//!
//! | input of §6.1.1 | here |
//! |---|---|
//! | (a) path | `path`, end entity first; the anchor apart |
//! | (b) time | `time` |
//! | (c), (e), (f), (g) policies | `policy.policies` |
//! | (d) trust anchor | `anchor`; Deviation: judged as a CA certificate, dates, names and all (`trust.md` §4.5) |
//! | (h), (i) initial subtrees | unset: everything is permitted, nothing excluded |
//!
//! Each rule is named ([`Rule`]) and handed to a [`Sink`], which stops at the first that is broken, or notes all of them for people.
//!
//! Deviation: extended key usage in a CA narrows what stands below it, as browsers do (§4.2.1.12 speaks of end entities).
//! Deviation: a key usage that is present in an end entity must include digitalSignature, which TLS asks of it.
//! Deviation: what §4 asks of issuers is asked of certificates too, unless `lenient_issuance`. Key identifiers are an exception: a
//! certificate that has neither is let through, as OpenSSL 3.0 makes them by default.

use crate::budget::{Budget, Counter};
use crate::certificate::{Certificate, Version};
use crate::error::{Error, Refusal};
use crate::extension::{AnyPurpose, Known};
use crate::name::Oid;
use crate::name_constraints::{CommonName, NameConstraints};
use crate::policies::{Demand, PolicyState};
use crate::policy::{ExtendedKeyUsage, Leniency, Policy, Purpose};
use crate::signature::SignatureAlgorithm;
use crate::time::UnixSeconds;
use crate::web;

/// §4.1.2.2.
const SERIAL_NUMBER_OCTETS_MAX: usize = 20;

/// Everything that is asked of a certificate in a path, in the order asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Rule {
    /// Neither it nor its key is closed by whoever judges.
    Open,
    /// It is in date.
    Validity,
    /// It is of version 3.
    Version,
    /// Times, identifiers and criticality are what §4 asks of issuers.
    Issuance,
    /// The serial number is positive and of at most 20 octets.
    SerialNumber,
    /// No critical extension is unknown.
    CriticalExtensions,
    /// Its key is of an allowed kind, form and size.
    PublicKey,
    /// It has a name.
    Subject,
    /// It is a CA exactly where one is needed.
    BasicConstraints,
    /// Its key may be used as it is here.
    KeyUsage,
    /// It may be used for the purpose.
    ExtendedKeyUsage,
    /// Its issuer is the certificate above.
    IssuerName,
    /// It has the key identifier that the certificate below points to.
    KeyIdentifiers,
    /// The signature is that of the certificate above.
    Signature,
    /// Every CA above allows as many intermediates.
    PathLength,
    /// Every CA above permits its names.
    NameConstraints,
    /// A policy is valid along the path.
    CertificatePolicies,
    /// It is what a web server, or its root, must be.
    WebProfile,
    /// It shows the name asked for.
    ServerName,
    /// It is not revoked.
    Revocation,
}

impl Rule {
    /// A few words for people.
    pub fn title(self) -> &'static str {
        match self {
            Self::Open => "not closed",
            Self::Validity => "in date",
            Self::Version => "version 3",
            Self::Issuance => "issued by the book",
            Self::SerialNumber => "serial number",
            Self::CriticalExtensions => "critical extensions understood",
            Self::PublicKey => "public key",
            Self::Subject => "subject",
            Self::BasicConstraints => "basic constraints",
            Self::KeyUsage => "key usage",
            Self::ExtendedKeyUsage => "extended key usage",
            Self::IssuerName => "issuer name",
            Self::KeyIdentifiers => "key identifiers",
            Self::Signature => "signature",
            Self::PathLength => "path length",
            Self::NameConstraints => "name constraints",
            Self::CertificatePolicies => "certificate policies",
            Self::WebProfile => "web profile",
            Self::ServerName => "server name",
            Self::Revocation => "not revoked",
        }
    }

    /// What must be so.
    pub fn demand(self) -> &'static str {
        match self {
            Self::Open => "neither it nor its key is among those that whoever judges has closed",
            Self::Validity => "the time asked about lies inside of its validity, both ends included",
            Self::Version => "it is of version 3",
            Self::Issuance => "times, identifiers and criticality are as the standard asks of issuers",
            Self::SerialNumber => "its serial number is positive and of at most 20 octets",
            Self::CriticalExtensions => "every critical extension is known, and what is known is well-formed",
            Self::PublicKey => "its key is of an allowed kind, form and size",
            Self::Subject => "it has a name that can be chained to, or by which a device is known",
            Self::BasicConstraints => "it is a CA where it issues, and none where it does not",
            Self::KeyUsage => {
                "its key may be used so: keyCertSign in a CA, digitalSignature in an end entity, if it says anything"
            }
            Self::ExtendedKeyUsage => "it may be used for the purpose asked about, if it names purposes",
            Self::IssuerName => "its issuer is the subject of a certificate presented or trusted",
            Self::KeyIdentifiers => "it has the key identifier that the certificate below points to",
            Self::Signature => "its signature is that of the key above, by an algorithm that is not broken",
            Self::PathLength => "every CA above, and the policy, allow as many intermediates",
            Self::NameConstraints => "every CA above permits its names, and none excludes one",
            Self::CertificatePolicies => "a policy is valid along the path, where one is asked for",
            Self::WebProfile => "it is what the Baseline Requirements ask of a web server, or of its root",
            Self::ServerName => "its alternative names include the one asked for",
            Self::Revocation => "a list of its issuer that is in date says that it is not revoked",
        }
    }

    /// Where the rule is written.
    pub fn section(self) -> &'static str {
        match self {
            Self::Open => "holdfast: Policy.closed_keys",
            Self::Validity => "RFC 5280 §6.1.3 (a)(2)",
            Self::Version => "RFC 5280 §4.1.2.1",
            Self::Issuance => "RFC 5280 §4.1, §4.2",
            Self::SerialNumber => "RFC 5280 §4.1.2.2",
            Self::CriticalExtensions => "RFC 5280 §6.1.4 (o)",
            Self::PublicKey => "RFC 5280 §4.1.2.7",
            Self::Subject => "RFC 5280 §4.1.2.6",
            Self::BasicConstraints => "RFC 5280 §6.1.4 (k)",
            Self::KeyUsage => "RFC 5280 §6.1.4 (n)",
            Self::ExtendedKeyUsage => "RFC 5280 §4.2.1.12",
            Self::IssuerName => "RFC 5280 §6.1.3 (a)(4)",
            Self::KeyIdentifiers => "RFC 5280 §4.2.1.2",
            Self::Signature => "RFC 5280 §6.1.3 (a)(1)",
            Self::PathLength => "RFC 5280 §6.1.4 (l), (m)",
            Self::NameConstraints => "RFC 5280 §6.1.3 (b), (c)",
            Self::CertificatePolicies => "RFC 5280 §6.1.3 (d)–(f)",
            Self::WebProfile => "CA/B BR §7.1",
            Self::ServerName => "RFC 9525 §6",
            Self::Revocation => "RFC 5280 §6.3",
        }
    }
}

/// What becomes of each rule's verdict.
pub(crate) trait Sink {
    /// Takes what was found; an error ends the judgement.
    fn take(&mut self, position: usize, rule: Rule, found: Result<(), Error>) -> Result<(), Error>;
}

/// The first rule broken ends it.
pub(crate) struct First;

impl Sink for First {
    fn take(&mut self, _: usize, _: Rule, found: Result<(), Error>) -> Result<(), Error> {
        found
    }
}

/// Judges the rules that depend on the whole path (end entity first, under `anchor`): those of each certificate alone are
/// [`check_ca`]'s, [`check_anchor_in_path`]'s and [`check_end_entity`]'s. The anchor's position is `path.len()`.
pub(crate) fn check_path(
    path: &[&Certificate<'_>],
    anchor: &Certificate<'_>,
    policy: &Policy,
    budget: &mut Budget,
    sink: &mut impl Sink,
) -> Result<(), Refusal> {
    let anchor_position = path.len();
    let at = |position: usize| move |error: Error| Refusal::at(position, error);

    // §6.1.2 (a), (d)–(f). Where no certificate says anything about policies and none is asked for, none can be missing.
    let with_policies = policy.policies.explicit == Demand::Always
        || path.iter().any(|certificate| certificate.extensions.has_policies())
        || anchor.extensions.has_policies();
    let mut policies = if with_policies {
        Some(PolicyState::new(&policy.policies, path.len(), &anchor.extensions).map_err(at(anchor_position))?)
    } else {
        None
    };
    // §6.1.2 (j) working_issuer_name.
    let mut working_issuer = anchor;
    // §6.1.2 (k) max_path_length: the anchor's own constraint (§6.2 lets an anchor constrain); `None` is n, no limit.
    let mut max_path_length = path_len(anchor).map_err(at(anchor_position))?;

    for (position, &certificate) in path.iter().enumerate().rev() {
        let last = position == 0;
        // §6.1.3 (a)(1) is a SignatureJob, (a)(3) is in status.rs; (a)(2), and §6.1.4 (k), (n), (o), are of the certificate alone.
        // §6.1.3 (a)(4): the search joins certificates by their names and by nothing else, so the names are known to match.
        sink.take(position, Rule::IssuerName, Ok(())).map_err(at(position))?;
        let above = position.saturating_add(1);
        let identified = check_key_identifiers(certificate, working_issuer, policy);
        sink.take(above, Rule::KeyIdentifiers, identified).map_err(at(above))?;

        // §6.1.4 (l) of every certificate but the last.
        if !last && !certificate.self_issued() {
            let room = if max_path_length == Some(0) { Err(Error::PathLenExceeded) } else { Ok(()) };
            sink.take(position, Rule::PathLength, room).map_err(at(position))?;
            max_path_length = max_path_length.map(|left| left.saturating_sub(1));
        }

        // §6.1.3 (b), (c): self-issued certificates are exempt, but for the end entity.
        if last || !certificate.self_issued() {
            let above = path.iter().skip(position.saturating_add(1)).copied().chain([anchor]);
            let identity = last && policy.purpose == Purpose::ClientAuth;
            let common_name = if identity { CommonName::Identity } else { CommonName::Label };
            if let Some(found) = check_names(certificate, above, common_name, budget) {
                sink.take(position, Rule::NameConstraints, found).map_err(at(position))?;
            }
        }

        // §6.1.3 (d)–(f), §6.1.4 (a), (b), (h)–(j), §6.1.5 (a), (b), (g)
        if let Some(state) = &mut policies {
            let found = state.process(certificate, last, budget).and_then(|()| {
                if last { state.wrap_up(certificate, &policy.policies) } else { state.prepare(certificate, budget) }
            });
            sink.take(position, Rule::CertificatePolicies, found).map_err(at(position))?;
        }

        // §6.1.4 (c)–(f): the working key is the issuer's, in SignatureJob::of; keys never inherit parameters here.
        working_issuer = certificate;
        // §6.1.4 (m)
        if !last {
            max_path_length = match (max_path_length, path_len(certificate).map_err(at(position))?) {
                (Some(left), Some(own)) => Some(left.min(own)),
                (left, own) => left.or(own),
            };
        }
    }
    Ok(())
}

/// The names of `certificate` against the constraints of every CA above it; `None` when there are none.
fn check_names<'a>(
    certificate: &Certificate<'_>,
    above: impl Iterator<Item = &'a Certificate<'a>>,
    common_name: CommonName,
    budget: &mut Budget,
) -> Option<Result<(), Error>> {
    let mut found = None;
    for value in above.filter_map(|ca| ca.extensions.name_constraints) {
        let checked = NameConstraints::parse(value).and_then(|constraints| {
            // Reading them anew for each certificate is paid as well.
            budget.spend(Counter::Comparisons, constraints.len().div_euclid(8))?;
            constraints.check(certificate, common_name, budget)
        });
        if checked.is_err() {
            return Some(checked);
        }
        found = Some(Ok(()));
    }
    found
}

/// §4.2.1.1, §4.2.1.2: where key identifiers are used at all, they are complete.
fn check_key_identifiers(
    certificate: &Certificate<'_>,
    issuer: &Certificate<'_>,
    policy: &Policy,
) -> Result<(), Error> {
    if policy.lenient_issuance == Leniency::Allow {
        return Ok(());
    }
    let points_to_key =
        certificate.extensions.authority_key_identifier()?.is_some_and(|id| id.key_identifier.is_some());
    if points_to_key && issuer.extensions.subject_key_identifier.is_none() {
        return Err(Error::SubjectKeyIdentifierMissing);
    }
    Ok(())
}

/// Whether `certificate` could ever be an anchor at `time`: the judgement that each path under it will repeat.
///
/// # Errors
/// The first rule that would refuse every path: see [`Error`].
pub fn check_anchor(certificate: &Certificate<'_>, policy: &Policy, time: UnixSeconds) -> Result<(), Error> {
    check_anchor_in_path(certificate, 0, policy, time, &mut First)?;
    // An anchor's serial number and signature are never used, but what is wrong with them says what the CA's practice is (D02, S08).
    check_serial_number(certificate)?;
    SignatureAlgorithm::of(&certificate.signature_algorithm).map(|_| ())
}

/// Everything about an anchor's certificate that does not depend on the path below it.
pub(crate) fn check_anchor_in_path(
    certificate: &Certificate<'_>,
    position: usize,
    policy: &Policy,
    time: UnixSeconds,
    sink: &mut impl Sink,
) -> Result<(), Error> {
    check_any_ca(certificate, position, policy, time, sink)?;
    if policy.purpose == Purpose::ServerAuth && policy.lenient_issuance == Leniency::Refuse {
        sink.take(position, Rule::WebProfile, web::check_anchor(certificate))?;
    }
    Ok(())
}

/// Everything about one intermediate's certificate that does not depend on its place in a path.
pub(crate) fn check_ca(
    certificate: &Certificate<'_>,
    position: usize,
    policy: &Policy,
    time: UnixSeconds,
    sink: &mut impl Sink,
) -> Result<(), Error> {
    check_any_ca(certificate, position, policy, time, sink)?;
    if policy.lenient_issuance == Leniency::Refuse {
        sink.take(position, Rule::SerialNumber, check_serial_number(certificate))?;
    }
    Ok(())
}

/// What holds for intermediates and anchors.
fn check_any_ca(
    certificate: &Certificate<'_>,
    position: usize,
    policy: &Policy,
    time: UnixSeconds,
    sink: &mut impl Sink,
) -> Result<(), Error> {
    sink.take(position, Rule::Validity, check_in_date(certificate, time))?;
    let version = if certificate.version == Version::V3 { Ok(()) } else { Err(Error::UnsupportedVersion) };
    sink.take(position, Rule::Version, version)?;
    check_common(certificate, position, policy, sink)?;
    // §4.1.2.6: a CA has a non-empty subject, and no name chains to an empty one.
    let subject = if certificate.subject.is_empty() { Err(Error::IssuerNameEmpty) } else { Ok(()) };
    sink.take(position, Rule::Subject, subject)?;
    sink.take(position, Rule::BasicConstraints, check_is_ca(certificate, policy))?;
    sink.take(position, Rule::KeyUsage, check_may_sign_certificates(certificate))?;
    sink.take(position, Rule::ExtendedKeyUsage, check_purpose(certificate, policy, AnyPurpose::Counts))?;
    // §4.2.1.10: malformed constraints make a CA unusable whatever stands below it.
    if let Some(value) = certificate.extensions.name_constraints {
        sink.take(position, Rule::NameConstraints, NameConstraints::parse(value).map(|_| ()))?;
    }
    Ok(())
}

/// §6.1.4 (k)
fn check_is_ca(certificate: &Certificate<'_>, policy: &Policy) -> Result<(), Error> {
    if !certificate.extensions.basic_constraints()?.ca {
        return Err(Error::NotACa);
    }
    // §4.2.1.9
    if policy.lenient_issuance == Leniency::Refuse && !certificate.extensions.is_critical(Known::BASIC_CONSTRAINTS) {
        return Err(Error::ExtensionMustBeCritical { extension: "basicConstraints" });
    }
    Ok(())
}

/// §6.1.4 (n); absent key usage allows every use.
fn check_may_sign_certificates(certificate: &Certificate<'_>) -> Result<(), Error> {
    if certificate.extensions.key_usage()?.is_some_and(|usage| !usage.key_cert_sign()) {
        return Err(Error::KeyUsageNotAllowed { wanted: "keyCertSign" });
    }
    Ok(())
}

/// Everything about the end entity's certificate that does not depend on the path above it.
pub(crate) fn check_end_entity(
    certificate: &Certificate<'_>,
    policy: &Policy,
    time: UnixSeconds,
    sink: &mut impl Sink,
) -> Result<(), Error> {
    let skew = policy.lenient_not_before_skew_seconds.clamp(0, Policy::NOT_BEFORE_SKEW_SECONDS_MAX);
    let ahead = certificate.validity.not_before.0.saturating_sub(time.0);
    // Leniency moves `not_before` only, never `not_after`.
    let time = if (1..=skew).contains(&ahead) { certificate.validity.not_before } else { time };
    sink.take(0, Rule::Validity, check_in_date(certificate, time))?;
    let version = match certificate.version {
        Version::V3 => Ok(()),
        Version::V1 if policy.lenient_v1_leaf == Leniency::Allow => Ok(()),
        Version::V1 | Version::V2 => Err(Error::UnsupportedVersion),
    };
    sink.take(0, Rule::Version, version)?;
    check_common(certificate, 0, policy, sink)?;
    if policy.lenient_issuance == Leniency::Refuse {
        sink.take(0, Rule::SerialNumber, check_serial_number(certificate))?;
    }
    sink.take(0, Rule::Subject, check_end_entity_subject(certificate, policy))?;
    sink.take(0, Rule::BasicConstraints, check_is_no_ca(certificate, policy))?;
    let usage = certificate.extensions.key_usage();
    let signs = match usage {
        Ok(Some(usage)) if !usage.digital_signature() => Err(Error::KeyUsageNotAllowed { wanted: "digitalSignature" }),
        Ok(_) => Ok(()),
        Err(error) => Err(error),
    };
    sink.take(0, Rule::KeyUsage, signs)?;
    // anyExtendedKeyUsage in an end entity is refused: it would make a code-signing or mail key a device.
    sink.take(0, Rule::ExtendedKeyUsage, check_end_entity_purpose(certificate, policy))?;
    // §4.2.1.10: name constraints are for CA certificates only.
    if certificate.extensions.name_constraints.is_some() && !is_lenient_ca(certificate, policy) {
        sink.take(0, Rule::NameConstraints, Err(Error::NameConstraintsNotAllowed))?;
    }
    if policy.purpose == Purpose::ServerAuth && policy.lenient_issuance == Leniency::Refuse {
        sink.take(0, Rule::WebProfile, web::check_end_entity(certificate))?;
    }
    if let Some(name) = &policy.server_name {
        sink.take(0, Rule::ServerName, name.check(certificate))?;
    }
    Ok(())
}

/// §4.1.2.6, §4.2.1.6: an empty subject wants alternative names, and those critical.
fn check_end_entity_subject(certificate: &Certificate<'_>, policy: &Policy) -> Result<(), Error> {
    if !certificate.subject.is_empty() {
        return Ok(());
    }
    if certificate.extensions.subject_alt_name.is_none() {
        return Err(Error::SubjectEmpty);
    }
    if policy.lenient_issuance == Leniency::Refuse && !certificate.extensions.is_critical(Known::SUBJECT_ALT_NAME) {
        return Err(Error::ExtensionMustBeCritical { extension: "subjectAltName" });
    }
    Ok(())
}

fn check_is_no_ca(certificate: &Certificate<'_>, policy: &Policy) -> Result<(), Error> {
    let usage = certificate.extensions.key_usage()?;
    let signs_certificates = usage.is_some_and(crate::extension::KeyUsage::key_cert_sign);
    if policy.lenient_ca_leaf == Leniency::Refuse
        && (certificate.extensions.basic_constraints()?.ca || signs_certificates)
    {
        return Err(Error::CaUsedAsEndEntity);
    }
    Ok(())
}

/// Whether the end entity is a CA, and that is let through.
fn is_lenient_ca(certificate: &Certificate<'_>, policy: &Policy) -> bool {
    policy.lenient_ca_leaf == Leniency::Allow
        && certificate.extensions.basic_constraints().is_ok_and(|constraints| constraints.ca)
}

fn check_end_entity_purpose(certificate: &Certificate<'_>, policy: &Policy) -> Result<(), Error> {
    if policy.extended_key_usage == ExtendedKeyUsage::Required && certificate.extensions.extended_key_usage.is_none() {
        return Err(Error::ExtendedKeyUsageMissing);
    }
    check_purpose(certificate, policy, AnyPurpose::DoesNotCount)
}

/// §6.1.3 (a)(2); both ends of the validity are inside.
///
/// # Errors
/// `NotYetValid`, `Expired`.
pub fn check_in_date(certificate: &Certificate<'_>, time: UnixSeconds) -> Result<(), Error> {
    let validity = certificate.validity;
    if time < validity.not_before {
        return Err(Error::NotYetValid { time, not_before: validity.not_before });
    }
    if time > validity.not_after {
        return Err(Error::Expired { time, not_after: validity.not_after });
    }
    Ok(())
}

/// What holds for every certificate of a path.
fn check_common(
    certificate: &Certificate<'_>,
    position: usize,
    policy: &Policy,
    sink: &mut impl Sink,
) -> Result<(), Error> {
    if policy.lenient_issuance == Leniency::Refuse {
        sink.take(position, Rule::Issuance, check_issuance(certificate))?;
    }
    sink.take(position, Rule::CriticalExtensions, check_critical_extensions(certificate, policy))?;
    let key = certificate.spki.public_key_algorithm().and_then(|found| policy.key_algorithms.check(found));
    sink.take(position, Rule::PublicKey, key)
}

/// §4.1.2.2: positive, at most 20 octets. The RFC asks users to handle zero and negative ones gracefully: that is the leniency.
fn check_serial_number(certificate: &Certificate<'_>) -> Result<(), Error> {
    let serial_number = certificate.serial_number;
    let positive = serial_number.first().is_some_and(|first| first & 0x80 == 0) && serial_number != [0];
    if positive && serial_number.len() <= SERIAL_NUMBER_OCTETS_MAX { Ok(()) } else { Err(Error::InvalidSerialNumber) }
}

/// What §4 asks of issuers beside that, and §6 does not.
fn check_issuance(certificate: &Certificate<'_>) -> Result<(), Error> {
    // §4.1.2.5: dates through 2049 are UTCTime, so a GeneralizedTime before 2050 gives one instant two encodings.
    if certificate.validity.early_generalized {
        return Err(Error::InvalidTime);
    }
    // §4.1.2.8: conforming CAs never make them, and nothing reads them; they could only hide something.
    if certificate.unique_identifiers {
        return Err(Error::UniqueIdentifier);
    }
    let extensions = &certificate.extensions;
    // §4.2.1.1, §4.2.1.2, §4.2.2.1
    for (extension, name) in [
        (Known::AUTHORITY_KEY_IDENTIFIER, "authorityKeyIdentifier"),
        (Known::SUBJECT_KEY_IDENTIFIER, "subjectKeyIdentifier"),
        (Known::AUTHORITY_INFO_ACCESS, "authorityInfoAccess"),
    ] {
        if extensions.is_critical(extension) {
            return Err(Error::ExtensionMustNotBeCritical { extension: name });
        }
    }
    // §4.2.1.10, §4.2.1.11, §4.2.1.14
    for (value, extension, name) in [
        (extensions.name_constraints, Known::NAME_CONSTRAINTS, "nameConstraints"),
        (extensions.policy_constraints, Known::POLICY_CONSTRAINTS, "policyConstraints"),
        (extensions.inhibit_any_policy, Known::INHIBIT_ANY_POLICY, "inhibitAnyPolicy"),
    ] {
        if value.is_some() && !extensions.is_critical(extension) {
            return Err(Error::ExtensionMustBeCritical { extension: name });
        }
    }
    // §4.2.1.1: the key identifier is always there; issuer and serial number go together.
    let authority = extensions.authority_key_identifier()?;
    if authority.is_some_and(|id| id.key_identifier.is_none() || id.issuer.is_some() != id.serial_number.is_some()) {
        return Err(Error::AuthorityKeyIdentifierIncomplete);
    }
    if extensions.subject_key_identifier()?.is_some() && authority.is_none() && !certificate.self_issued() {
        return Err(Error::AuthorityKeyIdentifierMissing);
    }
    extensions.check_authority_info_access()
}

/// §6.1.4 (o), §6.1.5 (e): every critical extension is understood, and those that are understood are well-formed.
fn check_critical_extensions(certificate: &Certificate<'_>, policy: &Policy) -> Result<(), Error> {
    let extensions = &certificate.extensions;
    if let Some(oid) = extensions.unknown_critical {
        return Err(Error::UnknownCriticalExtension { oid: Oid(oid).to_string() });
    }
    // §4.2.1.13: to understand distribution points is to ask for revocation.
    if extensions.is_critical(Known::CRL_DISTRIBUTION_POINTS) && policy.revocation.is_none() {
        return Err(Error::UnknownCriticalExtension { oid: "2.5.29.31".to_owned() });
    }
    extensions.check_subject_alt_names()?;
    // `check_issuance` has read these otherwise.
    if policy.lenient_issuance == Leniency::Allow {
        extensions.authority_key_identifier()?;
        extensions.subject_key_identifier()?;
        extensions.check_authority_info_access()?;
    }
    extensions.policies().map(|_| ())
}

fn check_purpose(certificate: &Certificate<'_>, policy: &Policy, any: AnyPurpose) -> Result<(), Error> {
    match certificate.extensions.allows_purpose(policy.purpose.oid(), any)? {
        None | Some(true) => Ok(()),
        Some(false) => Err(Error::ExtendedKeyUsageNotAllowed { wanted: policy.purpose }),
    }
}

fn path_len(certificate: &Certificate<'_>) -> Result<Option<u32>, Error> {
    certificate.extensions.basic_constraints().map(|constraints| constraints.path_len)
}
