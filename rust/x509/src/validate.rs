//! Judges one ordered path, but for its signatures. RFC 5280 §6.1; variables and letters are those of the RFC.
//!
//! | input of §6.1.1 | here |
//! |---|---|
//! | (a) path | `path`, end entity first; the anchor apart |
//! | (b) time | `time` |
//! | (c) user-initial-policy-set | any-policy; therefore (e) (f) (g) are unset, and certificate policies have no effect |
//! | (d) trust anchor | `anchor`; Deviation: judged as a CA certificate, dates and all (`trust.md` §4.5) |
//! | (h) (i) name subtrees | not implemented: a certificate with name constraints is refused |
//!
//! Deviation: extended key usage in a CA narrows what stands below it, as browsers do (§4.2.1.12 speaks of end entities).
//! Deviation: a key usage that is present in an end entity must include digitalSignature, which TLS asks of it.

use crate::certificate::{Certificate, Version};
use crate::error::{Error, Refusal};
use crate::extension::AnyPurpose;
use crate::name::Oid;
use crate::policy::{Leniency, Policy};
use crate::signature::SignatureAlgorithm;
use crate::time::UnixSeconds;

/// §4.1.2.2.
const SERIAL_NUMBER_OCTETS_MAX: usize = 20;

/// Judges `path` (end entity first) under `anchor`; positions count from the end entity, the anchor's is `path.len()`.
///
/// Signatures are not looked at: see `SignatureJob::of`.
pub(crate) fn validate_path(
    path: &[&Certificate<'_>],
    anchor: &Certificate<'_>,
    policy: &Policy,
    time: UnixSeconds,
) -> Result<(), Refusal> {
    let (end_entity, intermediates) = path.split_first().ok_or(Refusal::whole(Error::EmptyChain))?;
    let anchor_position = path.len();
    check_ca(anchor, policy, time).map_err(|error| Refusal::at(anchor_position, error))?;

    // §6.1.2 (k) max_path_length: the anchor's own constraint (§6.2 lets an anchor constrain); `None` is n, no limit.
    let mut max_path_length = path_len(anchor).map_err(|error| Refusal::at(anchor_position, error))?;
    // §6.1.2 (j) working_issuer_name.
    let mut working_issuer_name = anchor.subject;
    let mut intermediates_left = policy.max_intermediates;

    for (position, certificate) in (1..=intermediates.len()).rev().zip(intermediates.iter().rev()) {
        let refused = |error| Refusal::at(position, error);
        // §6.1.3 (a)(1) is a SignatureJob; (a)(2), and §6.1.4 (k), (n), (o) are in check_ca; (a)(3) revocation: not implemented,
        // a policy that asks for it is refused before the search.
        check_ca(certificate, policy, time).map_err(refused)?;
        // §6.1.3 (a)(4)
        if certificate.issuer != working_issuer_name {
            return Err(refused(Error::IssuerNameMismatch));
        }
        // §6.1.3 (b)–(f), §6.1.4 (a), (b), (g)–(j): names and policies, refused in check_known_extensions.
        // §6.1.4 (c)
        working_issuer_name = certificate.subject;
        // §6.1.4 (d)–(f): the working key is the issuer's, in SignatureJob::of; keys never inherit parameters here.
        // §6.1.4 (l)
        if !certificate.self_issued() {
            max_path_length = match max_path_length {
                Some(0) => return Err(refused(Error::PathLenExceeded)),
                left => left.map(|left| left.saturating_sub(1)),
            };
            let limit = policy.max_intermediates;
            intermediates_left =
                intermediates_left.checked_sub(1).ok_or_else(|| refused(Error::MaxIntermediatesExceeded { limit }))?;
        }
        // §6.1.4 (m)
        max_path_length = match (max_path_length, path_len(certificate).map_err(refused)?) {
            (Some(left), Some(own)) => Some(left.min(own)),
            (left, own) => left.or(own),
        };
    }

    // §6.1.3 for the end entity and §6.1.5 wrap-up: (a), (b), (g) policies as above; (c)–(e) the key is the caller's.
    if end_entity.issuer != working_issuer_name {
        return Err(Refusal::at(0, Error::IssuerNameMismatch));
    }
    check_end_entity(end_entity, policy, time).map_err(|error| Refusal::at(0, error))
}

/// Whether `certificate` could ever be an anchor at `time`: the judgement that each path under it will repeat.
///
/// # Errors
/// The first rule that would refuse every path: see [`Error`].
pub fn check_anchor(certificate: &Certificate<'_>, policy: &Policy, time: UnixSeconds) -> Result<(), Error> {
    check_ca(certificate, policy, time)?;
    // An anchor's signature is never used, but a weak one says that the CA's practice is (S08).
    SignatureAlgorithm::of(&certificate.signature_algorithm).map(|_| ())
}

/// Everything about one CA certificate that does not depend on its place in a path.
pub(crate) fn check_ca(certificate: &Certificate<'_>, policy: &Policy, time: UnixSeconds) -> Result<(), Error> {
    check_in_date(certificate, time)?;
    if certificate.version != Version::V3 {
        return Err(Error::UnsupportedVersion);
    }
    check_common(certificate, policy)?;
    // §6.1.4 (k)
    if !certificate.extensions.basic_constraints()?.ca {
        return Err(Error::NotACa);
    }
    // §6.1.4 (n); absent key usage allows every use.
    if certificate.extensions.key_usage()?.is_some_and(|usage| !usage.key_cert_sign()) {
        return Err(Error::KeyUsageNotAllowed { wanted: "keyCertSign" });
    }
    // §4.1.2.6: a CA has a non-empty subject, and no name chains to an empty one.
    if certificate.subject.is_empty() {
        return Err(Error::IssuerNameEmpty);
    }
    check_purpose(certificate, policy, AnyPurpose::Counts)
}

/// Everything about the end entity's certificate.
pub(crate) fn check_end_entity(certificate: &Certificate<'_>, policy: &Policy, time: UnixSeconds) -> Result<(), Error> {
    let skew = policy.lenient_not_before_skew_seconds.clamp(0, Policy::NOT_BEFORE_SKEW_SECONDS_MAX);
    let ahead = certificate.validity.not_before.0.saturating_sub(time.0);
    // Leniency moves `not_before` only, never `not_after`.
    check_in_date(certificate, if (1..=skew).contains(&ahead) { certificate.validity.not_before } else { time })?;
    match certificate.version {
        Version::V3 => {}
        Version::V1 if policy.lenient_v1_leaf == Leniency::Allow => {}
        Version::V1 | Version::V2 => return Err(Error::UnsupportedVersion),
    }
    check_common(certificate, policy)?;
    let usage = certificate.extensions.key_usage()?;
    let signs_certificates = usage.is_some_and(crate::extension::KeyUsage::key_cert_sign);
    if policy.lenient_ca_leaf == Leniency::Refuse
        && (certificate.extensions.basic_constraints()?.ca || signs_certificates)
    {
        return Err(Error::CaUsedAsEndEntity);
    }
    if usage.is_some_and(|usage| !usage.digital_signature()) {
        return Err(Error::KeyUsageNotAllowed { wanted: "digitalSignature" });
    }
    // anyExtendedKeyUsage in an end entity is refused: it would make a code-signing or mail key a device.
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

/// What holds for every certificate of a path: serial number, extensions, key, signature algorithm.
fn check_common(certificate: &Certificate<'_>, policy: &Policy) -> Result<(), Error> {
    let serial_number = certificate.serial_number;
    // §4.1.2.2: positive, at most 20 octets. Deviation: the RFC asks users to handle zero and negative ones gracefully.
    let positive = serial_number.first().is_some_and(|first| first & 0x80 == 0) && serial_number != [0];
    if !positive || serial_number.len() > SERIAL_NUMBER_OCTETS_MAX {
        return Err(Error::InvalidSerialNumber);
    }
    check_known_extensions(certificate)?;
    policy.key_algorithms.check(certificate.spki.public_key_algorithm()?)
}

/// §6.1.4 (o), §6.1.5 (e), and by name what is not implemented yet.
fn check_known_extensions(certificate: &Certificate<'_>) -> Result<(), Error> {
    let extensions = &certificate.extensions;
    if let Some(oid) = extensions.unknown_critical {
        return Err(Error::UnknownCriticalExtension { oid: Oid(oid).to_string() });
    }
    if extensions.name_constraints.is_some() {
        return Err(Error::UnsupportedNameConstraints);
    }
    if extensions.policy_constraints.is_some()
        || extensions.policy_mappings.is_some()
        || extensions.inhibit_any_policy.is_some()
    {
        return Err(Error::UnsupportedPolicyConstraints);
    }
    // Without policy constraints and with any-policy as the initial set, policies that are not critical change no verdict.
    if extensions.certificate_policies.is_some_and(|extension| extension.critical) {
        return Err(Error::UnsupportedCertificatePolicies);
    }
    Ok(())
}

fn check_purpose(certificate: &Certificate<'_>, policy: &Policy, any: AnyPurpose) -> Result<(), Error> {
    if certificate.extensions.allows_purpose(policy.purpose.oid(), any)? {
        Ok(())
    } else {
        Err(Error::ExtendedKeyUsageNotAllowed)
    }
}

fn path_len(certificate: &Certificate<'_>) -> Result<Option<u32>, Error> {
    certificate.extensions.basic_constraints().map(|constraints| constraints.path_len)
}
