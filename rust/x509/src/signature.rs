//! A signature still to be checked, as a value, and the algorithms that may be. RFC 3279, RFC 4055, RFC 5480, RFC 5758.

use std::fmt;

use crate::certificate::{Certificate, SubjectPublicKeyInfo};
use crate::der::{self, Reader};
use crate::error::Error;

/// An `AlgorithmIdentifier`: object identifier and, untouched, its parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AlgorithmIdentifier<'a> {
    contents: &'a [u8],
    oid: &'a [u8],
    parameters: &'a [u8],
}

impl<'a> AlgorithmIdentifier<'a> {
    pub(crate) fn parse(reader: &mut Reader<'a>) -> Result<Self, Error> {
        let contents = reader.value(der::SEQUENCE)?;
        let mut inside = Reader::new(contents, "algorithmIdentifier");
        let oid = inside.oid()?;
        let parameters = if inside.is_empty() { &[] } else { inside.element()?.der };
        inside.finish()?;
        Ok(Self { contents, oid, parameters })
    }

    /// What stands inside the SEQUENCE.
    pub fn contents(&self) -> &'a [u8] {
        self.contents
    }
}

/// The DER of NULL, which RSA's parameters must be (RFC 4055 §1.2, §2.1).
const NULL: &[u8] = &[der::NULL, 0];

/// What kind of key, and how large.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PublicKeyAlgorithm {
    /// id-ecPublicKey on secp256r1, an uncompressed point.
    EcdsaP256,
    /// id-ecPublicKey on secp384r1, an uncompressed point.
    EcdsaP384,
    /// rsaEncryption, 2048–4096 bits.
    Rsa {
        /// Size of the modulus.
        bits: u16,
    },
}

/// Shorter moduli are refused (NIST SP 800-131A); longer ones cost an unauthenticated peer's verifier too much (P13).
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=4096;
/// aws-lc and webpki stop at 33 bits; every exponent in use fits in 32.
const RSA_EXPONENT_BYTES_MAX: usize = 4;

impl PublicKeyAlgorithm {
    pub(crate) fn of(spki: &SubjectPublicKeyInfo<'_>) -> Result<Self, Error> {
        let mut inside = Reader::new(spki.algorithm, "subjectPublicKeyInfo");
        let oid = inside.oid()?;
        let parameters = if inside.is_empty() { &[] } else { inside.element()?.der };
        match (oid, parameters) {
            // id-ecPublicKey 1.2.840.10045.2.1 with namedCurve (RFC 5480 §2.1.1: explicit parameters are not allowed).
            (
                [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01],
                [0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07],
            ) => uncompressed(spki.key, 65).map(|()| Self::EcdsaP256),
            ([0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01], [0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22]) => {
                uncompressed(spki.key, 97).map(|()| Self::EcdsaP384)
            }
            // rsaEncryption 1.2.840.113549.1.1.1
            ([0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01], NULL) => rsa(spki.key),
            _ => Err(Error::UnsupportedPublicKey),
        }
    }

    /// What a verification with this key costs, in verifications on P-256 (`trust.md` §1.8; benches/ has the times).
    pub fn cost_units(self) -> u32 {
        match self {
            Self::EcdsaP256 => 1,
            Self::EcdsaP384 => 5,
            Self::Rsa { bits } if bits <= 3072 => 1,
            Self::Rsa { .. } => 2,
        }
    }
}

impl fmt::Display for PublicKeyAlgorithm {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EcdsaP256 => formatter.write_str("ecdsa-p256"),
            Self::EcdsaP384 => formatter.write_str("ecdsa-p384"),
            Self::Rsa { bits } => write!(formatter, "rsa-{bits}"),
        }
    }
}

/// RFC 5480 §2.2: the uncompressed form is the one that must be supported; compressed and hybrid forms are refused.
fn uncompressed(point: &[u8], length: usize) -> Result<(), Error> {
    if point.len() == length && point.first() == Some(&0x04) { Ok(()) } else { Err(Error::UnsupportedPublicKey) }
}

/// `RSAPublicKey` (RFC 8017 §A.1.1): sizes and parity, so that no arithmetic is ever started on an absurd key.
fn rsa(key: &[u8]) -> Result<PublicKeyAlgorithm, Error> {
    let mut outer = Reader::new(key, "rsaPublicKey");
    let mut inside = outer.inside(der::SEQUENCE, "rsaPublicKey")?;
    outer.finish()?;
    let (modulus, exponent) = (inside.unsigned()?, inside.unsigned()?);
    inside.finish()?;
    let bits = modulus.len().saturating_mul(8).saturating_sub(leading_zero_bits(modulus));
    if bits > *RSA_BITS.end() || exponent.len() > RSA_EXPONENT_BYTES_MAX {
        return Err(Error::PublicKeyTooLarge { bits });
    }
    let odd = |number: &[u8]| number.last().is_some_and(|last| last & 1 == 1);
    if bits < *RSA_BITS.start() || bits % 8 != 0 || !odd(modulus) || !odd(exponent) || exponent == [1] {
        return Err(Error::WeakPublicKey { bits });
    }
    let bits = u16::try_from(bits).map_err(|_| Error::PublicKeyTooLarge { bits })?;
    Ok(PublicKeyAlgorithm::Rsa { bits })
}

fn leading_zero_bits(number: &[u8]) -> usize {
    number.first().map_or(0, |first| usize::try_from(first.leading_zeros()).unwrap_or(0))
}

/// How a certificate was signed; only these are ever checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SignatureAlgorithm {
    /// ecdsa-with-SHA256, RFC 5758 §3.2.
    EcdsaSha256,
    /// ecdsa-with-SHA384, RFC 5758 §3.2.
    EcdsaSha384,
    /// sha256WithRSAEncryption, RFC 4055 §5.
    RsaPkcs1Sha256,
    /// sha384WithRSAEncryption, RFC 4055 §5.
    RsaPkcs1Sha384,
}

impl SignatureAlgorithm {
    /// Names the algorithm.
    ///
    /// # Errors
    /// `WeakSignatureAlgorithm` for MD2, MD5 and SHA-1; `UnsupportedSignatureAlgorithm` for everything else that is not here,
    /// wrong parameters included.
    pub fn of(identifier: &AlgorithmIdentifier<'_>) -> Result<Self, Error> {
        match (identifier.oid, identifier.parameters) {
            // ecdsa-with-SHA2, 1.2.840.10045.4.3.*: parameters absent (RFC 5758 §3.2).
            ([0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02], []) => Ok(Self::EcdsaSha256),
            ([0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x03], []) => Ok(Self::EcdsaSha384),
            // pkcs-1, 1.2.840.113549.1.1.*: parameters NULL (RFC 4055 §5).
            ([0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0b], NULL) => Ok(Self::RsaPkcs1Sha256),
            ([0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0c], NULL) => Ok(Self::RsaPkcs1Sha384),
            // md2, md5, sha1 with RSA; ecdsa-with-SHA1; dsa-with-sha1.
            (
                [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x02 | 0x04 | 0x05]
                | [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x01]
                | [0x2a, 0x86, 0x48, 0xce, 0x38, 0x04, 0x03],
                _,
            ) => Err(Error::WeakSignatureAlgorithm),
            _ => Err(Error::UnsupportedSignatureAlgorithm),
        }
    }

    /// Whether a key of this kind can make such a signature.
    pub(crate) fn fits(self, key: PublicKeyAlgorithm) -> bool {
        match self {
            Self::EcdsaSha256 | Self::EcdsaSha384 => {
                matches!(key, PublicKeyAlgorithm::EcdsaP256 | PublicKeyAlgorithm::EcdsaP384)
            }
            Self::RsaPkcs1Sha256 | Self::RsaPkcs1Sha384 => matches!(key, PublicKeyAlgorithm::Rsa { .. }),
        }
    }
}

/// One signature that must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SignatureJob<'a> {
    /// How it was made.
    pub algorithm: SignatureAlgorithm,
    /// The kind of key it must be checked with.
    pub key_algorithm: PublicKeyAlgorithm,
    /// The key: the octets of its BIT STRING.
    pub public_key: &'a [u8],
    /// The octets signed.
    pub message: &'a [u8],
    /// The signature's octets.
    pub signature: &'a [u8],
}

impl<'a> SignatureJob<'a> {
    /// The job that shows that `issuer`'s key signed `certificate`.
    ///
    /// # Errors
    /// An algorithm that is weak, unsupported, or does not fit the issuer's key.
    pub fn of(certificate: &Certificate<'a>, issuer: &Certificate<'a>) -> Result<Self, Error> {
        let algorithm = SignatureAlgorithm::of(&certificate.signature_algorithm)?;
        let key_algorithm = issuer.spki.public_key_algorithm()?;
        if !algorithm.fits(key_algorithm) {
            return Err(Error::SignatureKeyMismatch);
        }
        Ok(Self {
            algorithm,
            key_algorithm,
            public_key: issuer.spki.key,
            message: certificate.tbs,
            signature: certificate.signature,
        })
    }
}
