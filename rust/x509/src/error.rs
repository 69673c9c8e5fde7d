//! Every reason for which a chain is refused: its code, its values, its text, its rank, where it is written, what would mend it.

use std::fmt;

use crate::der::{DerFault, Malformed};
use crate::policy::Purpose;
use crate::revocation::RevocationReason;
use crate::signature::PublicKeyAlgorithm;
use crate::time::UnixSeconds;

/// One cause. Codes are stable; texts may improve. Sections are RFC 5280's unless named.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// A root that restricts what it is for, which a web root must not, BR §7.1.2.1.
    AnchorExtendedKeyUsage,
    /// An authority key identifier without a key identifier, or with only one of issuer and serial number, §4.2.1.1.
    AuthorityKeyIdentifierIncomplete,
    /// A certificate that has a subject key identifier, but does not say whose key signed it, §4.2.1.1.
    AuthorityKeyIdentifierMissing,
    /// A root's authority key identifier that is more, or other, than its own key identifier, BR §7.1.2.1.3.
    AuthorityKeyIdentifierNotOwn,
    /// The signature does not verify under the issuer's key, §6.1.3 (a)(1).
    BadSignature,
    /// The chain needs more work than an unauthenticated peer may cause (`trust.md` §1.8).
    BudgetExceeded {
        /// Which bound: `signature units`, `candidates`, `steps` …
        what: &'static str,
        /// The bound.
        limit: u32,
    },
    /// The end entity is a CA, or may sign certificates (T05).
    CaUsedAsEndEntity,
    /// Somebody has closed the certificate (`trust.md` §5.1).
    CertificateClosed,
    /// A revocation list names the certificate, §6.3.3.
    CertificateRevoked {
        /// Why.
        reason: RevocationReason,
        /// Since when.
        since: UnixSeconds,
    },
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
    /// A server's common name that is not one of its alternative names, letter for letter, BR §7.1.4.3.
    CommonNameNotInSubjectAltName,
    /// A common name kept for possession proofs (`trust.md` §4.1).
    CommonNameReserved,
    /// A common name longer than a device id may be.
    CommonNameTooLong {
        /// Characters found.
        found: usize,
        /// Characters allowed.
        limit: usize,
    },
    /// The revocation list's signature does not verify under its issuer's key, §6.3.3 (g).
    CrlBadSignature,
    /// A delta without the complete list that it builds on, §5.2.4.
    CrlDeltaBaseMissing,
    /// A revocation list past its next update, §6.3.3 (a).
    CrlExpired {
        /// When it was used.
        time: UnixSeconds,
        /// When its successor was due.
        next_update: UnixSeconds,
    },
    /// No revocation list of the certificate's issuer was given, §6.3.3.
    CrlMissing {
        /// The issuer, RFC 4514.
        issuer: String,
    },
    /// A revocation list without a next update, §5.1.2.5.
    CrlNextUpdateMissing,
    /// A revocation list from the future, §5.1.2.4.
    CrlNotYetValid {
        /// When it was used.
        time: UnixSeconds,
        /// When it was issued.
        this_update: UnixSeconds,
    },
    /// A CRL number that is marked critical, §5.2.3.
    CrlNumberCritical,
    /// A revocation list without a number, §5.2.3.
    CrlNumberMissing,
    /// The revocation lists of the issuer do not cover every reason, §6.3.3.
    CrlReasonsIncomplete,
    /// The revocation lists of the issuer do not speak for this certificate, §6.3.3 (b).
    CrlScopeMismatch,
    /// The revocation list's issuer may not sign revocation lists, §6.3.3 (f).
    CrlSignerNotAllowed,
    /// The certificate of the revocation list's separate signer is revoked, of unknown status, out of date, or not signed by a CA above,
    /// §6.3.3 (f).
    CrlSignerNotTrusted,
    /// A revocation list, or an entry of it, with a critical extension that is not understood, §5.2, §5.3.
    CrlUnknownCriticalExtension {
        /// Its object identifier, dotted.
        oid: String,
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
    /// A policy occurs twice, §4.2.1.4.
    DuplicatePolicy,
    /// There is no certificate in the chain.
    EmptyChain,
    /// Past the end of its validity, §6.1.3 (a)(2).
    Expired {
        /// When it was judged.
        time: UnixSeconds,
        /// Its last second.
        not_after: UnixSeconds,
    },
    /// A curve described by its parameters instead of its name, RFC 5480 §2.1.1 (S04).
    ExplicitCurveParameters,
    /// No extended key usage, where the policy wants one.
    ExtendedKeyUsageMissing,
    /// Extended key usage does not include the purpose asked for, §4.2.1.12.
    ExtendedKeyUsageNotAllowed {
        /// The purpose.
        wanted: Purpose,
    },
    /// An extension that must be critical is not.
    ExtensionMustBeCritical {
        /// Which.
        extension: &'static str,
    },
    /// An extension that must not be critical is.
    ExtensionMustNotBeCritical {
        /// Which.
        extension: &'static str,
    },
    /// Extensions in a version 1 or 2 certificate, §4.1.2.9.
    ExtensionsNotAllowed,
    /// A name in no form that its kind allows, where a constraint or a peer's name depends on it, §4.2.1.6.
    GeneralNameInvalid {
        /// The name.
        name: String,
    },
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
    /// Somebody has closed the key (`trust.md` §5.1).
    KeyClosed,
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
    /// A constraint in no form that its kind allows, §4.2.1.10.
    NameConstraintInvalid {
        /// The constraint.
        constraint: String,
    },
    /// A constraint on a kind of name that is not understood, and a name of that kind, §4.2.1.10.
    NameConstraintUnsupported {
        /// The kind.
        form: &'static str,
    },
    /// Name constraints that constrain nothing, §4.2.1.10.
    NameConstraintsEmpty,
    /// Name constraints in an end entity, §4.2.1.10.
    NameConstraintsNotAllowed,
    /// A name that a CA above must not vouch for, §6.1.3 (c).
    NameExcluded {
        /// The name.
        name: String,
    },
    /// A name outside of those that a CA above may vouch for, §6.1.3 (b).
    NameNotPermitted {
        /// The name.
        name: String,
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
    /// A point that is not in the uncompressed form, RFC 5480 §2.2 (S05).
    PointFormNotSupported,
    /// A policy mapped to or from anyPolicy, §6.1.4 (a).
    PolicyMappingAnyPolicy,
    /// No policy is valid along the whole path, where one is wanted, §6.1.3 (f), §6.1.5 (g).
    PolicyNotValid,
    /// A key larger than an unauthenticated peer may make us use (P13).
    PublicKeyTooLarge {
        /// Size of the modulus.
        bits: usize,
    },
    /// The server's alternative names do not include the name asked for, RFC 9525 §6.
    ServerNameMismatch {
        /// The name asked for.
        wanted: String,
    },
    /// The signature algorithms inside and outside of the signed part differ, §4.1.1.2.
    SignatureAlgorithmMismatch,
    /// The signature algorithm does not fit the issuer's key.
    SignatureKeyMismatch,
    /// Neither a subject nor an alternative name, §4.1.2.6.
    SubjectEmpty,
    /// A CA that its subordinates point to by key identifier, and that has none, §4.2.1.2.
    SubjectKeyIdentifierMissing,
    /// More certificates than may be presented.
    TooManyCertificates {
        /// Certificates presented.
        found: usize,
        /// Certificates allowed.
        limit: usize,
    },
    /// More distribution points, or names of one, than a certificate may have.
    TooManyDistributionPoints {
        /// How many are allowed.
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
    /// A kind of key that is not supported.
    UnsupportedPublicKey,
    /// A signature algorithm that is not supported, or wrong parameters for it.
    UnsupportedSignatureAlgorithm,
    /// Not a version that is allowed here, §4.1.2.1.
    UnsupportedVersion,
    /// A modulus below 2048 bits, of odd size, even, or an exponent below 3.
    WeakPublicKey {
        /// Size of the modulus.
        bits: usize,
    },
    /// Signed with MD2, MD5 or SHA-1.
    WeakSignatureAlgorithm,
}

/// What is known of a cause beside its values.
struct About {
    code: &'static str,
    section: &'static str,
    mend: &'static str,
}

/// One entry for each cause: pattern, code, where the rule is written; what was found and wanted; what would mend it. The `match`es
/// made of it name every variant, so the list of codes is complete because this compiles.
macro_rules! causes {
    ($($pattern:pat => $code:literal, $section:literal $text:literal $(, $name:ident = $value:expr)? => $mend:literal;)*) => {
        impl Error {
            #[allow(unused_variables, reason = "the patterns bind what the texts show")]
            fn about(&self) -> About {
                match self {
                    $($pattern => About { code: $code, section: $section, mend: $mend },)*
                }
            }

            /// Every code there is, for the tables that must be complete.
            pub const CODES: &'static [&'static str] = &[$($code,)*];
            /// Every code with its section and its mend.
            pub const MENDS: &'static [(&'static str, &'static str, &'static str)] = &[$(($code, $section, $mend),)*];
        }

        impl fmt::Display for Error {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    $($pattern => write!(formatter, $text $(, $name = $value)?),)*
                }
            }
        }
    };
}

causes! {
    Self::AnchorExtendedKeyUsage => "anchor_extended_key_usage", "CA/B BR §7.1.2.1"
        "a web root carries extended key usage"
        => "Trust a root without extended key usage, or judge the chain as a client's";
    Self::AuthorityKeyIdentifierIncomplete => "authority_key_identifier_incomplete", "RFC 5280 §4.2.1.1"
        "the authority key identifier has no key identifier, or only one of issuer and serial number"
        => "Issue it again with authorityKeyIdentifier=keyid";
    Self::AuthorityKeyIdentifierMissing => "authority_key_identifier_missing", "RFC 5280 §4.2.1.1"
        "the certificate has a subject key identifier, but no authority key identifier"
        => "Issue it again with authorityKeyIdentifier=keyid";
    Self::AuthorityKeyIdentifierNotOwn => "authority_key_identifier_not_own", "CA/B BR §7.1.2.1.3"
        "a web root's authority key identifier is not exactly its own key identifier"
        => "Trust a root whose authority key identifier is its own key identifier and nothing else";
    Self::BadSignature => "bad_signature", "RFC 5280 §6.1.3 (a)(1)"
        "the signature does not verify under the issuer's key"
        => "Present the certificate of the key that really signed it; two CAs of one name are often mixed up, and a certificate changed by hand never verifies";
    Self::BudgetExceeded { what, limit } => "budget_exceeded", "holdfast: work limits"
        "the chain needs more than {limit} {what}"
        => "Present only the certificates of the path, end entity first, each once";
    Self::CaUsedAsEndEntity => "ca_used_as_end_entity", "RFC 5280 §4.2.1.9"
        "the end entity is a CA or may sign certificates"
        => "Issue the device a certificate without CA:TRUE and without keyCertSign";
    Self::CertificateClosed => "certificate_closed", "holdfast: Policy.closed_certificates"
        "the certificate is closed"
        => "Issue from another one, or open it again (`holdfast branch open`) if it was closed by mistake";
    Self::CertificateRevoked { reason, since } => "certificate_revoked", "RFC 5280 §6.3.3"
        "revoked since {since}, reason {reason}"
        => "Issue a new certificate under a new key; a revocation is never undone";
    Self::ChainTooLarge { found, limit } => "chain_too_large", "holdfast: work limits"
        "the chain has {found} bytes, {limit} are allowed"
        => "Present only the certificates of the path, without the root";
    Self::CommonNameAmbiguous => "common_name_ambiguous", "holdfast: device ids"
        "the subject has more than one common name, or one in a multi-valued RDN"
        => "Issue it again with exactly one common name, in an RDN of its own";
    Self::CommonNameInvalid => "common_name_invalid", "holdfast: device ids"
        "the common name is not a device id: printable ASCII without space, '#', '+' and '/', not starting with '$', is wanted"
        => "Issue it again with the device id as common name: printable ASCII without space, '#', '+' and '/'";
    Self::CommonNameMissing => "common_name_missing", "holdfast: device ids"
        "the subject has no common name"
        => "Issue it again with the device id as common name";
    Self::CommonNameNotInSubjectAltName => "common_name_not_in_subject_alt_name", "CA/B BR §7.1.4.3"
        "the common name is not, letter for letter, one of the subject alternative names"
        => "Issue it again with the common name repeated, letter for letter, as a subject alternative name";
    Self::CommonNameReserved => "common_name_reserved", "holdfast: device ids"
        "the common name is kept for possession proofs"
        => "Issue the device a certificate under its own id; this prefix answers possession challenges";
    Self::CommonNameTooLong { found, limit } => "common_name_too_long", "RFC 5280 appendix A"
        "the common name has {found} characters, {limit} are allowed"
        => "Issue it again with a shorter common name";
    Self::CrlBadSignature => "crl_bad_signature", "RFC 5280 §6.3.3 (g)"
        "the revocation list's signature does not verify under the issuer's key"
        => "Fetch the revocation list of this CA key again; a list signed by an older key of the CA needs that key's certificate in the chain";
    Self::CrlDeltaBaseMissing => "crl_delta_base_missing", "RFC 5280 §5.2.4"
        "a delta revocation list builds on a complete one that was not given"
        => "Add the complete revocation list that the delta builds on, or a newer one";
    Self::CrlExpired { time, next_update } => "crl_expired", "RFC 5280 §6.3.3 (a)"
        "the revocation list is stale: used at {time}, next update was due at {next_update}, {seconds} s before", seconds = time.0.saturating_sub(next_update.0)
        => "Fetch a newer revocation list from the CA";
    Self::CrlMissing { issuer } => "crl_missing", "RFC 5280 §6.3.3"
        "no revocation list of '{issuer}' was given"
        => "Add the revocation list of this issuer, or say in the policy that an unknown status is allowed";
    Self::CrlNextUpdateMissing => "crl_next_update_missing", "RFC 5280 §5.1.2.5"
        "the revocation list does not say when the next one comes"
        => "Ask the CA for a revocation list that says when the next one comes";
    Self::CrlNotYetValid { time, this_update } => "crl_not_yet_valid", "RFC 5280 §5.1.2.4"
        "the revocation list is from the future: used at {time}, issued at {this_update}, in {seconds} s", seconds = this_update.0.saturating_sub(time.0)
        => "Set the clock, or wait until the revocation list is in force";
    Self::CrlNumberCritical => "crl_number_critical", "RFC 5280 §5.2.3"
        "the revocation list's number is marked critical"
        => "Ask the CA for a revocation list whose number is not critical";
    Self::CrlNumberMissing => "crl_number_missing", "RFC 5280 §5.2.3"
        "the revocation list has no number"
        => "Ask the CA for a version 2 revocation list with a number";
    Self::CrlReasonsIncomplete => "crl_reasons_incomplete", "RFC 5280 §6.3.3"
        "the revocation lists given do not cover every reason for revocation"
        => "Add the issuer's revocation lists for the remaining reasons";
    Self::CrlScopeMismatch => "crl_scope_mismatch", "RFC 5280 §6.3.3 (b)"
        "the revocation lists of the issuer do not speak for this certificate"
        => "Add the revocation list that the certificate's distribution point names";
    Self::CrlSignerNotAllowed => "crl_signer_not_allowed", "RFC 5280 §6.3.3 (f)"
        "the key usage of the revocation list's issuer does not include cRLSign"
        => "Issue the CA a certificate whose key usage includes cRLSign, or present the one of its separate CRL key";
    Self::CrlSignerNotTrusted => "crl_signer_not_trusted", "RFC 5280 §6.3.3 (f)"
        "the certificate of the revocation list's separate signer is revoked, of unknown status, or not valid"
        => "Issue the revocation list's signer a new certificate, and add the lists that tell its status";
    Self::CrlUnknownCriticalExtension { oid } => "crl_unknown_critical_extension", "RFC 5280 §5.2, §5.3"
        "critical extension {oid} of the revocation list is not understood"
        => "Ask the CA for a revocation list without it";
    Self::Der { inside, fault: DerFault::BadLength } => "der_bad_length", "X.690 §10.1"
        "{inside}: a length is not in DER's one form"
        => "Encode it again in DER: lengths definite and in their shortest form";
    Self::Der { inside, fault: DerFault::BadValue } => "der_bad_value", "X.690 §8, §11"
        "{inside}: a value breaks DER's rules"
        => "Encode it again in DER: this value is not in its one form";
    Self::Der { inside, fault: DerFault::TrailingData } => "der_trailing_data", "X.690 §8.1"
        "{inside}: octets are left over"
        => "Remove what follows the value; one file may hold one certificate";
    Self::Der { inside, fault: DerFault::Truncated } => "der_truncated", "X.690 §8.1"
        "{inside}: the input ends too early"
        => "Send the whole certificate";
    Self::Der { inside, fault: DerFault::UnexpectedTag } => "der_unexpected_tag", "X.690 §8.1"
        "{inside}: another type was expected"
        => "Check that this is a certificate in DER, not a request, a key or text";
    Self::DuplicateExtension => "duplicate_extension", "RFC 5280 §4.2"
        "an extension occurs twice"
        => "Issue it again with each extension once";
    Self::DuplicatePolicy => "duplicate_policy", "RFC 5280 §4.2.1.4"
        "a certificate policy occurs twice"
        => "Issue it again with each policy once";
    Self::EmptyChain => "empty_chain", "RFC 5280 §6.1.1 (a)"
        "there is no certificate"
        => "Present at least the end entity's certificate";
    Self::Expired { time, not_after } => "expired", "RFC 5280 §6.1.3 (a)(2)"
        "expired: judged at {time}, ended at {not_after}, {seconds} s before", seconds = time.0.saturating_sub(not_after.0)
        => "Renew it; if it should still be valid, check the clock";
    Self::ExplicitCurveParameters => "explicit_curve_parameters", "RFC 5480 §2.1.1"
        "the public key describes its curve by parameters, a named curve is wanted"
        => "Make the key on a named curve (P-256, P-384 or P-521)";
    Self::ExtendedKeyUsageMissing => "extended_key_usage_missing", "RFC 5280 §4.2.1.12"
        "there is no extended key usage"
        => "Issue it again with the extended key usage that the policy asks for";
    Self::ExtendedKeyUsageNotAllowed { wanted } => "extended_key_usage_not_allowed", "RFC 5280 §4.2.1.12"
        "extended key usage does not include {wanted}"
        => "Issue it again with the purpose in its extended key usage; a CA either names the purpose too or has none";
    Self::ExtensionMustBeCritical { extension } => "extension_must_be_critical", "RFC 5280 §4.2.1"
        "{extension} is not marked critical, as it must be"
        => "Issue it again with the extension marked critical, or allow it with lenient_issuance";
    Self::ExtensionMustNotBeCritical { extension } => "extension_must_not_be_critical", "RFC 5280 §4.2.1, §4.2.2"
        "{extension} is marked critical, which it must not be"
        => "Issue it again with the extension not marked critical, or allow it with lenient_issuance";
    Self::ExtensionsNotAllowed => "extensions_not_allowed", "RFC 5280 §4.1.2.9"
        "extensions in a certificate that is not of version 3"
        => "Issue it again as version 3";
    Self::GeneralNameInvalid { name } => "general_name_invalid", "RFC 5280 §4.2.1.6"
        "the alternative name {name} is not well-formed"
        => "Issue it again with a well-formed subject alternative name";
    Self::InvalidSerialNumber => "invalid_serial_number", "RFC 5280 §4.1.2.2"
        "the serial number is not a positive integer of at most 20 octets"
        => "Issue it again with a positive serial number of at most 20 octets, or allow it with lenient_issuance";
    Self::InvalidTime => "invalid_time", "RFC 5280 §4.1.2.5"
        "a time is not in a form that RFC 5280 allows"
        => "Issue it again with UTCTime through 2049 and GeneralizedTime from 2050, to the second, ending in Z";
    Self::IssuerNameEmpty => "issuer_name_empty", "RFC 5280 §4.1.2.6"
        "a CA with an empty subject"
        => "Issue the CA a certificate with a subject";
    Self::IssuerNameMismatch => "issuer_name_mismatch", "RFC 5280 §6.1.3 (a)(4)"
        "the issuer's name is not the subject of the certificate above"
        => "Present the certificate of the issuer that is named";
    Self::KeyAlgorithmNotAllowed { found } => "key_algorithm_not_allowed", "holdfast: Policy.key_algorithms"
        "the policy does not allow {found} keys"
        => "Use a key of a kind that the policy allows, or allow this kind";
    Self::KeyClosed => "key_closed", "holdfast: Policy.closed_keys"
        "the key is closed, in whatever certificate"
        => "Issue under another key, or open it again (`holdfast branch open`) if it was closed by mistake";
    Self::KeyUsageNotAllowed { wanted } => "key_usage_not_allowed", "RFC 5280 §4.2.1.3"
        "key usage does not include {wanted}"
        => "Issue it again with the key usage that its place in the chain needs";
    Self::MaxIntermediatesExceeded { limit } => "max_intermediates_exceeded", "holdfast: Policy.max_intermediates"
        "more than {limit} intermediates"
        => "Shorten the chain, or raise max_intermediates";
    Self::NameConstraintInvalid { constraint } => "name_constraint_invalid", "RFC 5280 §4.2.1.10"
        "the name constraint {constraint} is not well-formed"
        => "Issue the CA a certificate with well-formed name constraints: a DNS constraint has neither '*' nor a leading '.'";
    Self::NameConstraintUnsupported { form } => "name_constraint_unsupported", "RFC 5280 §4.2.1.10"
        "a CA above constrains names of kind {form}, which is not understood, and there is one"
        => "Leave names of that kind out, or constrain only DNS names, addresses, mailboxes, URIs and directory names";
    Self::NameConstraintsEmpty => "name_constraints_empty", "RFC 5280 §4.2.1.10"
        "name constraints without any subtree"
        => "Issue the CA a certificate without the extension, or with at least one subtree in it";
    Self::NameConstraintsNotAllowed => "name_constraints_not_allowed", "RFC 5280 §4.2.1.10"
        "name constraints in an end entity"
        => "Issue the end entity a certificate without name constraints";
    Self::NameExcluded { name } => "name_excluded", "RFC 5280 §6.1.3 (c)"
        "a CA above excludes the name {name}"
        => "Leave the name out, or have another CA vouch for it";
    Self::NameNotPermitted { name } => "name_not_permitted", "RFC 5280 §6.1.3 (b)"
        "the name {name} is outside of what a CA above may vouch for"
        => "Use a name inside of the CA's permitted subtrees, or have another CA vouch for it";
    Self::NotACa => "not_a_ca", "RFC 5280 §6.1.4 (k)"
        "the issuer's basic constraints do not make it a CA"
        => "Sign with a CA; if this is one, issue it a certificate with basicConstraints=critical,CA:TRUE";
    Self::NotYetValid { time, not_before } => "not_yet_valid", "RFC 5280 §6.1.3 (a)(2)"
        "not yet valid: judged at {time}, begins at {not_before}, in {seconds} s", seconds = not_before.0.saturating_sub(time.0)
        => "Set the clock, or wait";
    Self::PathLenExceeded => "path_len_exceeded", "RFC 5280 §6.1.4 (l), (m)"
        "more intermediates than a CA's path length allows"
        => "Have a CA higher up sign this one, or issue the CA above a certificate with a larger pathlen";
    Self::PathLenWithoutCa => "path_len_without_ca", "RFC 5280 §4.2.1.9"
        "a path length in a certificate that is not a CA"
        => "Issue it again without pathlen, or with CA:TRUE";
    Self::PointFormNotSupported => "point_form_not_supported", "RFC 5480 §2.2"
        "the public key is not an uncompressed point of its curve's size"
        => "Encode the public key as an uncompressed point";
    Self::PolicyMappingAnyPolicy => "policy_mapping_any_policy", "RFC 5280 §6.1.4 (a)"
        "a policy is mapped to or from anyPolicy"
        => "Issue the CA a certificate that maps no policy to or from anyPolicy";
    Self::PolicyNotValid => "policy_not_valid", "RFC 5280 §6.1.3 (f), §6.1.5 (g)"
        "no acceptable policy is valid along the whole path"
        => "Issue every certificate of the path under one of the policies asked for";
    Self::PublicKeyTooLarge { bits } => "public_key_too_large", "holdfast: work limits"
        "an RSA key of {bits} bits, or with a public exponent above 32 bits, is too large"
        => "Use an RSA key of at most 4096 bits with exponent 65537";
    Self::ServerNameMismatch { wanted } => "server_name_mismatch", "RFC 9525 §6"
        "the subject alternative names do not include {wanted}"
        => "Issue the server a certificate with this name as a subject alternative name";
    Self::SignatureAlgorithmMismatch => "signature_algorithm_mismatch", "RFC 5280 §4.1.1.2"
        "the signature algorithms inside and outside of the signed part differ"
        => "Issue it again; the two copies of the algorithm must be equal, parameters included";
    Self::SignatureKeyMismatch => "signature_key_mismatch", "RFC 5280 §6.1.3 (a)(1)"
        "the signature algorithm does not fit the issuer's key"
        => "Present the certificate of the key that really signed it";
    Self::SubjectEmpty => "subject_empty", "RFC 5280 §4.1.2.6"
        "neither a subject nor a subject alternative name"
        => "Issue it again with a subject, or with a critical subject alternative name";
    Self::SubjectKeyIdentifierMissing => "subject_key_identifier_missing", "RFC 5280 §4.2.1.2"
        "the certificate below points to this CA by key identifier, and the CA has none"
        => "Issue the CA a certificate with subjectKeyIdentifier=hash, or allow it with lenient_issuance";
    Self::TooManyCertificates { found, limit } => "too_many_certificates", "holdfast: work limits"
        "{found} certificates, {limit} are allowed"
        => "Present only the certificates of the path";
    Self::TooManyDistributionPoints { limit } => "too_many_distribution_points", "holdfast: work limits"
        "more than {limit} distribution points, or names of one"
        => "Issue it again with fewer distribution points";
    Self::TooManyExtensions { limit } => "too_many_extensions", "holdfast: work limits"
        "more than {limit} extensions"
        => "Issue it again with fewer extensions";
    Self::UniqueIdentifier => "unique_identifier", "RFC 5280 §4.1.2.8"
        "the certificate carries a unique identifier"
        => "Issue it again without unique identifiers, or allow them with lenient_issuance";
    Self::UnknownCriticalExtension { oid } => "unknown_critical_extension", "RFC 5280 §6.1.4 (o), §6.1.5 (e)"
        "critical extension {oid} is not understood"
        => "Issue it again without the extension, or with it not marked critical";
    Self::UnknownIssuer { issuer } => "unknown_issuer", "RFC 5280 §6.1.1 (d)"
        "no presented certificate and no anchor has the name '{issuer}'"
        => "Present the missing intermediate, or trust it or the root above it, in a hub by proving it (holdfast ca add)";
    Self::UnsupportedPublicKey => "unsupported_public_key", "RFC 5480, RFC 8410, RFC 9881"
        "the kind of public key is not supported"
        => "Use a key on P-256, P-384, P-521 or Ed25519, an RSA key of 2048 to 4096 bits, or ML-DSA";
    Self::UnsupportedSignatureAlgorithm => "unsupported_signature_algorithm", "RFC 5758, RFC 4055, RFC 8410, RFC 9881"
        "the signature algorithm, or its parameters, are not supported"
        => "Sign with ECDSA or RSA and SHA-256, SHA-384 or SHA-512, with Ed25519, or with ML-DSA";
    Self::UnsupportedVersion => "unsupported_version", "RFC 5280 §4.1.2.1"
        "the certificate is not of version 3"
        => "Issue it again as version 3; `openssl x509 -req` needs an -extfile for that";
    Self::WeakPublicKey { bits } => "weak_public_key", "NIST SP 800-131A"
        "an RSA key of {bits} bits is weak or malformed, 2048 or more are wanted"
        => "Make a new RSA key of at least 2048 bits, or one on P-256";
    Self::WeakSignatureAlgorithm => "weak_signature_algorithm", "NIST SP 800-131A"
        "signed with MD2, MD5 or SHA-1"
        => "Issue it again, signed with SHA-256 or better";
}

impl Error {
    /// The stable slug.
    pub fn code(&self) -> &'static str {
        self.about().code
    }

    /// Where the rule is written.
    pub fn section(&self) -> &'static str {
        self.about().section
    }

    /// What would mend it, as advice to whoever issued the certificate or runs the device.
    pub fn mend(&self) -> &'static str {
        self.about().mend
    }

    /// How much the reason helps a person when several paths failed; the highest is reported.
    pub(crate) fn rank(&self) -> u8 {
        // Everything held but this one fact.
        if matches!(self, Self::CertificateRevoked { .. }) {
            return 5;
        }
        // Revocation is asked only of paths whose signatures hold.
        if self.code().starts_with("crl_") {
            return 4;
        }
        let one_fact_short = matches!(
            self,
            Self::Expired { .. }
                | Self::CertificateClosed
                | Self::KeyClosed
                | Self::NotYetValid { .. }
                | Self::PathLenExceeded
                | Self::MaxIntermediatesExceeded { .. }
                | Self::NameExcluded { .. }
                | Self::NameNotPermitted { .. }
        );
        if one_fact_short {
            return 3;
        }
        // A name that fits beside a key that does not is usually another CA of that name.
        let another_ca = matches!(self, Self::BadSignature | Self::SignatureKeyMismatch);
        if another_ca { 1 } else { 2 }
    }

    /// Whether it ends the whole search, whatever other paths there are.
    pub(crate) fn is_final(&self) -> bool {
        matches!(self, Self::BudgetExceeded { .. })
    }
}

impl From<Malformed> for Error {
    fn from(Malformed { inside, fault }: Malformed) -> Self {
        Self::Der { inside, fault }
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
        // A spent budget is nobody's fault in particular.
        Self { position: (!error.is_final()).then_some(position), error }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_slugs_and_each_occurs_once() {
        let mut sorted = Error::CODES.to_vec();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(Error::CODES.len(), sorted.len());
        assert!(sorted.iter().all(|code| code.bytes().all(|octet| octet.is_ascii_lowercase() || octet == b'_')));
    }

    #[test]
    fn every_cause_says_where_it_is_written_and_what_would_mend_it() {
        assert!(Error::MENDS.iter().all(|(_, section, mend)| !section.is_empty() && !mend.is_empty()));
        let is_a_hint = |mend: &str| !mend.ends_with('.') && mend.starts_with(char::is_uppercase);
        assert!(Error::MENDS.iter().all(|(_, _, mend)| is_a_hint(mend)));
    }
}
