//! The profile that a path is judged by, and every limit with its ancestry.

use crate::error::Error;
use crate::signature::PublicKeyAlgorithm;

/// What the end entity is to be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Purpose {
    /// id-kp-clientAuth: a device.
    ClientAuth,
    /// id-kp-serverAuth: a server.
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

/// Which kinds of keys may occur in a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyAlgorithms(u8);

impl KeyAlgorithms {
    /// ECDSA on P-256.
    pub const ECDSA_P256: Self = Self(1);
    /// ECDSA on P-384.
    pub const ECDSA_P384: Self = Self(2);
    /// RSA, 2048–4096 bits.
    pub const RSA: Self = Self(4);
    /// None; add to it with [`KeyAlgorithms::with`].
    pub const NONE: Self = Self(0);
    /// Every kind that is implemented.
    pub const ALL: Self = Self(7);

    /// Both.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(crate) fn check(self, found: PublicKeyAlgorithm) -> Result<(), Error> {
        let bit = match found {
            PublicKeyAlgorithm::EcdsaP256 => Self::ECDSA_P256,
            PublicKeyAlgorithm::EcdsaP384 => Self::ECDSA_P384,
            PublicKeyAlgorithm::Rsa { .. } => Self::RSA,
        };
        if self.0 & bit.0 == 0 { Err(Error::KeyAlgorithmNotAllowed { found }) } else { Ok(()) }
    }
}

/// Bounds on the work that one chain may cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Certificates presented. 10: one end entity, eight intermediates, a root; webpki allows six intermediates.
    pub certificates_count_max: usize,
    /// Bytes of DER presented. 32 KiB, half of what a TLS certificate message may carry in rustls.
    pub chain_bytes_max: usize,
    /// Complete paths tried. 64, as in `design.md` §3.
    pub candidates_count_max: u32,
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

/// What a path must be.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Policy {
    /// What the end entity is used for.
    pub purpose: Purpose,
    /// Intermediates between end entity and anchor, self-issued ones not counted.
    pub max_intermediates: u32,
    /// Which keys may occur.
    pub key_algorithms: KeyAlgorithms,
    /// Bounds on the work.
    pub limits: Limits,
    /// Version 1 end entities, as old tools make them.
    pub lenient_v1_leaf: Leniency,
    /// End entities that are CAs, as some edge tooling makes them.
    pub lenient_ca_leaf: Leniency,
    /// How far the end entity's `not_before` may lie ahead, at most [`Policy::NOT_BEFORE_SKEW_SECONDS_MAX`].
    pub lenient_not_before_skew_seconds: i64,
}

impl Policy {
    /// `trust.md` §9: five minutes.
    pub const NOT_BEFORE_SKEW_SECONDS_MAX: i64 = 300;

    /// Devices: nothing lenient, eight intermediates, every kind of key.
    pub fn client_auth() -> Self {
        Self {
            purpose: Purpose::ClientAuth,
            max_intermediates: 8,
            key_algorithms: KeyAlgorithms::ALL,
            limits: Limits::default(),
            lenient_v1_leaf: Leniency::Refuse,
            lenient_ca_leaf: Leniency::Refuse,
            lenient_not_before_skew_seconds: 0,
        }
    }
}
