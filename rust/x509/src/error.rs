//! Every reason for which a chain is refused: its code, its values, its rank.

use std::fmt;

use crate::der::DerFault;
use crate::signature::PublicKeyAlgorithm;
use crate::time::UnixSeconds;

/// One cause. Codes are stable; texts may improve. Sections are RFC 5280's unless named.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The signature does not verify under the issuer's key, §6.1.3 (a)(1).
    BadSignature,
    /// The chain needs more work than an unauthenticated peer may cause (`trust.md` §1.8).
    BudgetExceeded {
        /// Which bound: `signature units`, `candidates` or `steps`.
        what: &'static str,
        /// The bound.
        limit: u32,
    },
    /// The end entity is a CA, or may sign certificates (T05).
    CaUsedAsEndEntity,
    /// More bytes than may be presented.
    ChainTooLarge {
        /// Bytes presented.
        found: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// Several common names, or one that shares its RDN (`trust.md` §3.1).
    CommonNameAmbiguous,
    /// A common name that cannot be a device id (`trust.md` §3.1).
    CommonNameInvalid,
    /// No common name.
    CommonNameMissing,
    /// A common name kept for possession proofs (`trust.md` §4.1).
    CommonNameReserved,
    /// A common name longer than a device id may be.
    CommonNameTooLong {
        /// Characters found.
        found: usize,
        /// Characters allowed.
        limit: usize,
    },
    /// Not DER, or not the type expected (X.690).
    Der {
        /// What was being read.
        inside: &'static str,
        /// What is wrong with it.
        fault: DerFault,
    },
    /// An extension occurs twice, §4.2.
    DuplicateExtension,
    /// There is no certificate in the chain.
    EmptyChain,
    /// Past the end of its validity, §6.1.3 (a)(2).
    Expired {
        /// When it was judged.
        time: UnixSeconds,
        /// Its last second.
        not_after: UnixSeconds,
    },
    /// Extended key usage does not include the purpose asked for, §4.2.1.12.
    ExtendedKeyUsageNotAllowed,
    /// Extensions in a version 1 or 2 certificate, §4.1.2.9.
    ExtensionsNotAllowed,
    /// A serial number that is not positive, or longer than 20 octets, §4.1.2.2.
    InvalidSerialNumber,
    /// A time in no form that §4.1.2.5 allows.
    InvalidTime,
    /// A CA with an empty subject, §4.1.2.6.
    IssuerNameEmpty,
    /// The issuer is not the next certificate's subject, §6.1.3 (a)(4).
    IssuerNameMismatch,
    /// A kind of key that the policy leaves out.
    KeyAlgorithmNotAllowed {
        /// The kind.
        found: PublicKeyAlgorithm,
    },
    /// Key usage does not include what the certificate is used for, §6.1.4 (n), §4.2.1.3.
    KeyUsageNotAllowed {
        /// The bit wanted.
        wanted: &'static str,
    },
    /// More intermediates than the policy allows.
    MaxIntermediatesExceeded {
        /// How many it allows.
        limit: u32,
    },
    /// An issuer that is not a CA, §6.1.4 (k).
    NotACa,
    /// Before the start of its validity, §6.1.3 (a)(2).
    NotYetValid {
        /// When it was judged.
        time: UnixSeconds,
        /// Its first second.
        not_before: UnixSeconds,
    },
    /// More intermediates below a CA than it allows, §6.1.4 (l), (m).
    PathLenExceeded,
    /// A path length in a certificate that is not a CA, §4.2.1.9.
    PathLenWithoutCa,
    /// A key larger than an unauthenticated peer may make us use (P13).
    PublicKeyTooLarge {
        /// Size of the modulus.
        bits: usize,
    },
    /// The signature algorithms inside and outside of the signed part differ, §4.1.1.2.
    SignatureAlgorithmMismatch,
    /// The signature algorithm does not fit the issuer's key.
    SignatureKeyMismatch,
    /// More certificates than may be presented.
    TooManyCertificates {
        /// Certificates presented.
        found: usize,
        /// Certificates allowed.
        limit: usize,
    },
    /// More extensions than a certificate may carry.
    TooManyExtensions {
        /// Extensions allowed.
        limit: usize,
    },
    /// A unique identifier, which conforming CAs never write, §4.1.2.8.
    UniqueIdentifier,
    /// A critical extension that is not understood, §4.2, §6.1.4 (o), §6.1.5 (e).
    UnknownCriticalExtension {
        /// Its object identifier, dotted.
        oid: String,
    },
    /// No presented certificate or anchor has the issuer's name.
    UnknownIssuer {
        /// The name looked for, RFC 4514.
        issuer: String,
    },
    /// Critical certificate policies: not implemented yet, §4.2.1.4.
    UnsupportedCertificatePolicies,
    /// Name constraints: not implemented yet, §4.2.1.10.
    UnsupportedNameConstraints,
    /// Policy constraints, mappings or inhibitAnyPolicy: not implemented yet, §4.2.1.5, §4.2.1.11, §4.2.1.14.
    UnsupportedPolicyConstraints,
    /// A kind of key, or a form of it, that is not supported.
    UnsupportedPublicKey,
    /// A signature algorithm that is not supported, or wrong parameters for it.
    UnsupportedSignatureAlgorithm,
    /// Not a version 3 certificate, §4.1.2.1.
    UnsupportedVersion,
    /// A modulus below 2048 bits, of odd size, even, or an exponent below 3.
    WeakPublicKey {
        /// Size of the modulus.
        bits: usize,
    },
    /// Signed with MD2, MD5 or SHA-1.
    WeakSignatureAlgorithm,
}

impl Error {
    /// The stable slug.
    pub fn code(&self) -> &'static str {
        match self {
            Self::BadSignature => "bad_signature",
            Self::BudgetExceeded { .. } => "budget_exceeded",
            Self::CaUsedAsEndEntity => "ca_used_as_end_entity",
            Self::ChainTooLarge { .. } => "chain_too_large",
            Self::CommonNameAmbiguous => "common_name_ambiguous",
            Self::CommonNameInvalid => "common_name_invalid",
            Self::CommonNameMissing => "common_name_missing",
            Self::CommonNameReserved => "common_name_reserved",
            Self::CommonNameTooLong { .. } => "common_name_too_long",
            Self::Der { fault: DerFault::BadLength, .. } => "der_bad_length",
            Self::Der { fault: DerFault::BadValue, .. } => "der_bad_value",
            Self::Der { fault: DerFault::TrailingData, .. } => "der_trailing_data",
            Self::Der { fault: DerFault::Truncated, .. } => "der_truncated",
            Self::Der { fault: DerFault::UnexpectedTag, .. } => "der_unexpected_tag",
            Self::DuplicateExtension => "duplicate_extension",
            Self::EmptyChain => "empty_chain",
            Self::Expired { .. } => "expired",
            Self::ExtendedKeyUsageNotAllowed => "extended_key_usage_not_allowed",
            Self::ExtensionsNotAllowed => "extensions_not_allowed",
            Self::InvalidSerialNumber => "invalid_serial_number",
            Self::InvalidTime => "invalid_time",
            Self::IssuerNameEmpty => "issuer_name_empty",
            Self::IssuerNameMismatch => "issuer_name_mismatch",
            Self::KeyAlgorithmNotAllowed { .. } => "key_algorithm_not_allowed",
            Self::KeyUsageNotAllowed { .. } => "key_usage_not_allowed",
            Self::MaxIntermediatesExceeded { .. } => "max_intermediates_exceeded",
            Self::NotACa => "not_a_ca",
            Self::NotYetValid { .. } => "not_yet_valid",
            Self::PathLenExceeded => "path_len_exceeded",
            Self::PathLenWithoutCa => "path_len_without_ca",
            Self::PublicKeyTooLarge { .. } => "public_key_too_large",
            Self::SignatureAlgorithmMismatch => "signature_algorithm_mismatch",
            Self::SignatureKeyMismatch => "signature_key_mismatch",
            Self::TooManyCertificates { .. } => "too_many_certificates",
            Self::TooManyExtensions { .. } => "too_many_extensions",
            Self::UniqueIdentifier => "unique_identifier",
            Self::UnknownCriticalExtension { .. } => "unknown_critical_extension",
            Self::UnknownIssuer { .. } => "unknown_issuer",
            Self::UnsupportedCertificatePolicies => "unsupported_certificate_policies",
            Self::UnsupportedNameConstraints => "unsupported_name_constraints",
            Self::UnsupportedPolicyConstraints => "unsupported_policy_constraints",
            Self::UnsupportedPublicKey => "unsupported_public_key",
            Self::UnsupportedSignatureAlgorithm => "unsupported_signature_algorithm",
            Self::UnsupportedVersion => "unsupported_version",
            Self::WeakPublicKey { .. } => "weak_public_key",
            Self::WeakSignatureAlgorithm => "weak_signature_algorithm",
        }
    }

    /// Every code there is, for the tables that must be complete. The `match` in [`Error::code`] and the test beside this
    /// list keep it so.
    pub const CODES: &'static [&'static str] = &[
        "bad_signature",
        "budget_exceeded",
        "ca_used_as_end_entity",
        "chain_too_large",
        "common_name_ambiguous",
        "common_name_invalid",
        "common_name_missing",
        "common_name_reserved",
        "common_name_too_long",
        "der_bad_length",
        "der_bad_value",
        "der_trailing_data",
        "der_truncated",
        "der_unexpected_tag",
        "duplicate_extension",
        "empty_chain",
        "expired",
        "extended_key_usage_not_allowed",
        "extensions_not_allowed",
        "invalid_serial_number",
        "invalid_time",
        "issuer_name_empty",
        "issuer_name_mismatch",
        "key_algorithm_not_allowed",
        "key_usage_not_allowed",
        "max_intermediates_exceeded",
        "not_a_ca",
        "not_yet_valid",
        "path_len_exceeded",
        "path_len_without_ca",
        "public_key_too_large",
        "signature_algorithm_mismatch",
        "signature_key_mismatch",
        "too_many_certificates",
        "too_many_extensions",
        "unique_identifier",
        "unknown_critical_extension",
        "unknown_issuer",
        "unsupported_certificate_policies",
        "unsupported_name_constraints",
        "unsupported_policy_constraints",
        "unsupported_public_key",
        "unsupported_signature_algorithm",
        "unsupported_version",
        "weak_public_key",
        "weak_signature_algorithm",
    ];

    /// How much the reason helps a person when several paths failed; the highest is reported.
    pub(crate) fn rank(&self) -> u8 {
        let one_fact_short = matches!(
            self,
            Self::Expired { .. }
                | Self::NotYetValid { .. }
                | Self::PathLenExceeded
                | Self::MaxIntermediatesExceeded { .. }
        );
        if one_fact_short {
            return 3;
        }
        // A name that fits beside a key that does not is usually another CA of that name.
        let another_ca = matches!(self, Self::BadSignature | Self::SignatureKeyMismatch);
        if another_ca { 1 } else { 2 }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadSignature => formatter.write_str("the signature does not verify under the issuer's key"),
            Self::BudgetExceeded { what, limit } => write!(formatter, "the chain needs more than {limit} {what}"),
            Self::CaUsedAsEndEntity => formatter.write_str("the end entity is a CA or may sign certificates"),
            Self::ChainTooLarge { found, limit } => write!(formatter, "the chain has {found} bytes, {limit} are allowed"),
            Self::CommonNameAmbiguous => formatter.write_str("the subject has more than one common name, or one in a multi-valued RDN"),
            Self::CommonNameInvalid => formatter.write_str(
                "the common name is not a device id: printable ASCII without space, '#', '+' and '/', not starting with '$', is wanted",
            ),
            Self::CommonNameMissing => formatter.write_str("the subject has no common name"),
            Self::CommonNameReserved => formatter.write_str("the common name is kept for possession proofs"),
            Self::CommonNameTooLong { found, limit } => {
                write!(formatter, "the common name has {found} characters, {limit} are allowed")
            }
            Self::Der { inside, fault } => {
                let what = match fault {
                    DerFault::BadLength => "a length is not in DER's one form",
                    DerFault::BadValue => "a value breaks DER's rules",
                    DerFault::TrailingData => "octets are left over",
                    DerFault::Truncated => "the input ends too early",
                    DerFault::UnexpectedTag => "another type was expected",
                };
                write!(formatter, "{inside}: {what}")
            }
            Self::DuplicateExtension => formatter.write_str("an extension occurs twice"),
            Self::EmptyChain => formatter.write_str("there is no certificate"),
            Self::Expired { time, not_after } => {
                let seconds = time.0.saturating_sub(not_after.0);
                write!(formatter, "expired: judged at {time}, ended at {not_after}, {seconds} s before")
            }
            Self::ExtendedKeyUsageNotAllowed => formatter.write_str("extended key usage does not include the purpose asked for"),
            Self::ExtensionsNotAllowed => formatter.write_str("extensions in a certificate that is not of version 3"),
            Self::InvalidSerialNumber => formatter.write_str("the serial number is not a positive integer of at most 20 octets"),
            Self::InvalidTime => formatter.write_str("a time is not in a form that RFC 5280 allows"),
            Self::IssuerNameEmpty => formatter.write_str("a CA with an empty subject"),
            Self::IssuerNameMismatch => formatter.write_str("the issuer's name is not the subject of the certificate above"),
            Self::KeyAlgorithmNotAllowed { found } => write!(formatter, "the policy does not allow {found} keys"),
            Self::KeyUsageNotAllowed { wanted } => write!(formatter, "key usage does not include {wanted}"),
            Self::MaxIntermediatesExceeded { limit } => write!(formatter, "more than {limit} intermediates"),
            Self::NotACa => formatter.write_str("the issuer's basic constraints do not make it a CA"),
            Self::NotYetValid { time, not_before } => {
                let seconds = not_before.0.saturating_sub(time.0);
                write!(formatter, "not yet valid: judged at {time}, begins at {not_before}, in {seconds} s")
            }
            Self::PathLenExceeded => formatter.write_str("more intermediates than a CA's path length allows"),
            Self::PathLenWithoutCa => formatter.write_str("a path length in a certificate that is not a CA"),
            Self::PublicKeyTooLarge { bits } => {
                write!(formatter, "an RSA key of {bits} bits, or with a public exponent above 32 bits, is too large")
            }
            Self::SignatureAlgorithmMismatch => {
                formatter.write_str("the signature algorithms inside and outside of the signed part differ")
            }
            Self::SignatureKeyMismatch => formatter.write_str("the signature algorithm does not fit the issuer's key"),
            Self::TooManyCertificates { found, limit } => write!(formatter, "{found} certificates, {limit} are allowed"),
            Self::TooManyExtensions { limit } => write!(formatter, "more than {limit} extensions"),
            Self::UniqueIdentifier => formatter.write_str("the certificate carries a unique identifier"),
            Self::UnknownCriticalExtension { oid } => write!(formatter, "critical extension {oid} is not understood"),
            Self::UnknownIssuer { issuer } => write!(formatter, "no presented certificate and no anchor has the name '{issuer}'"),
            Self::UnsupportedCertificatePolicies => formatter.write_str("critical certificate policies are not supported yet"),
            Self::UnsupportedNameConstraints => formatter.write_str("name constraints are not supported yet"),
            Self::UnsupportedPolicyConstraints => {
                formatter.write_str("policy constraints, policy mappings and inhibitAnyPolicy are not supported yet")
            }
            Self::UnsupportedPublicKey => {
                formatter.write_str("the public key is not an uncompressed point on P-256 or P-384, nor an RSA key")
            }
            Self::UnsupportedSignatureAlgorithm => {
                formatter.write_str("the signature algorithm is not ECDSA or RSA PKCS #1 v1.5 with SHA-256 or SHA-384")
            }
            Self::UnsupportedVersion => formatter.write_str("the certificate is not of version 3"),
            Self::WeakPublicKey { bits } => write!(formatter, "an RSA key of {bits} bits is weak or malformed, 2048 or more are wanted"),
            Self::WeakSignatureAlgorithm => formatter.write_str("signed with MD2, MD5 or SHA-1"),
        }
    }
}

impl std::error::Error for Error {}

/// Why a chain was refused, and which certificate of the path tried is at fault (0 = end entity).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The cause.
    pub error: Error,
    /// Index in the path tried; `None` when no certificate is at fault.
    pub position: Option<usize>,
}

impl Refusal {
    /// Of the certificate at `position`.
    pub fn at(position: usize, error: Error) -> Self {
        Self { error, position: Some(position) }
    }

    /// Of no certificate in particular.
    pub fn whole(error: Error) -> Self {
        Self { error, position: None }
    }

    /// The stable slug of the cause.
    pub fn code(&self) -> &'static str {
        self.error.code()
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.position {
            Some(position) => write!(formatter, "certificate {position}: {}", self.error),
            None => self.error.fmt(formatter),
        }
    }
}

impl std::error::Error for Refusal {}
