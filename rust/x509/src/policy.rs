//! The profile that a path is judged by, and every limit with its ancestry.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use crate::error::Error;
use crate::policies::PolicyInputs;
use crate::revocation::RevocationLists;
use crate::server_name::ServerName;
use crate::signature::PublicKeyAlgorithm;

/// What the end entity is to be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Purpose {
    /// id-kp-clientAuth: a device.
    ClientAuth,
    /// id-kp-serverAuth: a server; what the CA/Browser Forum's Baseline Requirements ask is asked too (`web.rs`).
    ServerAuth,
}

impl Purpose {
    /// Contents of the purpose's object identifier, RFC 5280 §4.2.1.12.
    pub(crate) fn oid(self) -> &'static [u8] {
        match self {
            Self::ClientAuth => &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x02],
            Self::ServerAuth => &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x01],
        }
    }
}

impl fmt::Display for Purpose {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::ClientAuth => "clientAuth",
            Self::ServerAuth => "serverAuth",
        })
    }
}

/// Which kinds of keys may occur in a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyAlgorithms(u8);

impl KeyAlgorithms {
    /// ECDSA on P-256.
    pub const ECDSA_P256: Self = Self(1);
    /// ECDSA on P-384.
    pub const ECDSA_P384: Self = Self(1 << 1);
    /// RSA, 2048–4096 bits; PKCS #1 v1.5 and PSS.
    pub const RSA: Self = Self(1 << 2);
    /// ECDSA on P-521.
    pub const ECDSA_P521: Self = Self(1 << 3);
    /// Ed25519.
    pub const ED25519: Self = Self(1 << 4);
    /// ML-DSA-44, -65 and -87.
    pub const ML_DSA: Self = Self(1 << 5);
    /// None; add to it with [`KeyAlgorithms::with`].
    pub const NONE: Self = Self(0);
    /// Every kind in general use: all but ML-DSA, which has to be asked for.
    pub const DEFAULT: Self = Self(0b1_1111);

    /// Both.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(crate) fn check(self, found: PublicKeyAlgorithm) -> Result<(), Error> {
        let bit = match found {
            PublicKeyAlgorithm::EcdsaP256 => Self::ECDSA_P256,
            PublicKeyAlgorithm::EcdsaP384 => Self::ECDSA_P384,
            PublicKeyAlgorithm::EcdsaP521 => Self::ECDSA_P521,
            PublicKeyAlgorithm::Ed25519 => Self::ED25519,
            PublicKeyAlgorithm::MlDsa44 | PublicKeyAlgorithm::MlDsa65 | PublicKeyAlgorithm::MlDsa87 => Self::ML_DSA,
            PublicKeyAlgorithm::Rsa { .. } | PublicKeyAlgorithm::RsaPss { .. } => Self::RSA,
        };
        if self.0 & bit.0 == 0 { Err(Error::KeyAlgorithmNotAllowed { found }) } else { Ok(()) }
    }
}

/// Bounds on the work that one chain may cause. `benches/test_units.py` turns each into milliseconds; together they stay under 5.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Certificates presented. 10: one end entity, eight intermediates, a root; webpki allows six intermediates.
    pub certificates_count_max: usize,
    /// Bytes of DER presented. 32 KiB, half of what a TLS certificate message may carry in rustls.
    pub chain_bytes_max: usize,
    /// Complete paths tried. 64, as in `design.md` §3.
    pub candidates_count_max: u32,
    /// Names compared with constraints, and policies followed. Go stops at 250,000 and so does webpki, after OpenSSL's 2017 case of
    /// 2,048 names against 2,048 constraints; a quarter of that is still a hundred names under hundreds of constraints.
    pub comparisons_count_max: u32,
    /// Signatures that revocation asks for once a path's own hold, in verifications on P-256. They are over lists that the operator
    /// gave, and the engine remembers them, so they are counted apart: a list for each of eight intermediates on P-384.
    pub revocation_units_max: u32,
    /// Signatures, in verifications on P-256. 16 (`trust.md` §1.8); webpki allows 100, which is 5–25 ms.
    pub signature_units_max: u32,
    /// Steps of the search. A step costs at most one certificate's checks, well under a microsecond, so the whole search
    /// stays under a millisecond.
    pub steps_count_max: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            certificates_count_max: 10,
            chain_bytes_max: 32 * 1024,
            candidates_count_max: 64,
            comparisons_count_max: 65_536,
            revocation_units_max: 64,
            signature_units_max: 16,
            steps_count_max: 512,
        }
    }
}

/// Whether a departure from the profile is let through (`trust.md` §9); each is off unless asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Leniency {
    /// Refuse, as the profile says.
    Refuse,
    /// Let it through.
    Allow,
}

/// Whether the end entity must say what it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExtendedKeyUsage {
    /// Without extended key usage it may be used for anything, §4.2.1.12.
    Optional,
    /// It must name the purpose, as in the web PKI.
    Required,
}

/// How the status of a path's certificates is asked, §6.3.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Revocation {
    /// The only lists that are asked.
    pub lists: Arc<RevocationLists>,
    /// Whose status is asked.
    pub depth: RevocationDepth,
    /// What becomes of a certificate whose status no list tells.
    pub unknown_status: UnknownStatus,
    /// What becomes of a list past its next update.
    pub stale_lists: StaleLists,
}

impl Revocation {
    /// The whole path, by fresh lists, unknown status refused.
    pub fn new(lists: Arc<RevocationLists>) -> Self {
        Self {
            lists,
            depth: RevocationDepth::Path,
            unknown_status: UnknownStatus::Refuse,
            stale_lists: StaleLists::Refuse,
        }
    }
}

/// Whose status is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RevocationDepth {
    /// The end entity's alone.
    EndEntity,
    /// Every certificate's but the anchor's.
    Path,
}

/// What becomes of a certificate whose status no list tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum UnknownStatus {
    /// It is let through.
    Allow,
    /// It is refused.
    Refuse,
}

/// What becomes of a list past its next update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StaleLists {
    /// It is asked all the same: what it names is revoked, what it does not name may have been revoked since.
    Use,
    /// It tells nothing.
    Refuse,
}

/// What may stand in no path, whoever vouches for it (`trust.md` §5.1). Whoever judges hashes: this crate does no arithmetic.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "a closure names a key or a certificate, never a subject")]
pub struct Closures {
    /// SHA-256 of each closed `SubjectPublicKeyInfo`: of anchors, intermediates and end entities.
    pub keys: HashSet<[u8; 32]>,
    /// SHA-256 of each closed certificate.
    pub certificates: HashSet<[u8; 32]>,
}

impl Closures {
    /// Whether nothing is closed.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.certificates.is_empty()
    }

    /// What is closed of a certificate with these hashes.
    pub fn find(&self, spki_sha256: &[u8; 32], fingerprint: &[u8; 32]) -> Option<Closed> {
        if self.keys.contains(spki_sha256) {
            return Some(Closed::Key);
        }
        self.certificates.contains(fingerprint).then_some(Closed::Certificate)
    }
}

/// What is closed of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a closure names a key or a certificate, never a subject")]
pub enum Closed {
    /// Its key, in whatever certificate.
    Key,
    /// The certificate itself.
    Certificate,
}

impl From<Closed> for Error {
    fn from(closed: Closed) -> Self {
        match closed {
            Closed::Key => Self::KeyClosed,
            Closed::Certificate => Self::CertificateClosed,
        }
    }
}

/// What a path must be.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Policy {
    /// What the end entity is used for.
    pub purpose: Purpose,
    /// The name that a server must show; asked whenever it is there.
    pub server_name: Option<ServerName>,
    /// Intermediates between end entity and anchor, self-issued ones not counted.
    pub max_intermediates: u32,
    /// Which keys may occur.
    pub key_algorithms: KeyAlgorithms,
    /// Whether the end entity must say what it is for.
    pub extended_key_usage: ExtendedKeyUsage,
    /// Which certificate policies are acceptable, and whether one must be valid.
    pub policies: PolicyInputs,
    /// How revocation is asked; `None`: not at all.
    pub revocation: Option<Revocation>,
    /// What may stand in no path.
    pub closures: Arc<Closures>,
    /// Bounds on the work.
    pub limits: Limits,
    /// Version 1 end entities, as old tools make them.
    pub lenient_v1_leaf: Leniency,
    /// End entities that are CAs, as some edge tooling makes them.
    pub lenient_ca_leaf: Leniency,
    /// What RFC 5280 §4 and §5 ask of the *issuer* and §6, the validation, does not: key identifiers, criticality of basic, name and
    /// policy constraints, form of serial numbers and times, unique identifiers, numbers of revocation lists.
    pub lenient_issuance: Leniency,
    /// How far the end entity's `not_before` may lie ahead, at most [`Policy::NOT_BEFORE_SKEW_SECONDS_MAX`].
    pub lenient_not_before_skew_seconds: i64,
}

impl Policy {
    /// `trust.md` §9: five minutes.
    pub const NOT_BEFORE_SKEW_SECONDS_MAX: i64 = 300;

    /// Devices: nothing lenient, eight intermediates, every kind of key in general use, revocation not asked.
    pub fn client_auth() -> Self {
        Self {
            purpose: Purpose::ClientAuth,
            server_name: None,
            max_intermediates: 8,
            key_algorithms: KeyAlgorithms::DEFAULT,
            extended_key_usage: ExtendedKeyUsage::Optional,
            policies: PolicyInputs::default(),
            revocation: None,
            closures: Arc::default(),
            limits: Limits::default(),
            lenient_v1_leaf: Leniency::Refuse,
            lenient_ca_leaf: Leniency::Refuse,
            lenient_issuance: Leniency::Refuse,
            lenient_not_before_skew_seconds: 0,
        }
    }

    /// A server that shows `name`; all else as for devices, but that the chain may be a bag of up to 64 certificates.
    pub fn server_auth(name: ServerName) -> Self {
        let limits = Limits { certificates_count_max: 64, ..Limits::default() };
        Self { purpose: Purpose::ServerAuth, server_name: Some(name), limits, ..Self::client_auth() }
    }
}
