//! A signature still to be checked, as a value, and the algorithms that may be.
//! RFC 3279, RFC 4055, RFC 5480, RFC 5758, RFC 8410, RFC 9881.

use std::fmt;

use crate::certificate::{Certificate, SubjectPublicKeyInfo};
use crate::der::{self, Malformed, Reader};
use crate::error::Error;

/// An `AlgorithmIdentifier`: object identifier and, untouched, its parameters.
#[derive(Clone, Copy, Debug)]
pub struct AlgorithmIdentifier<'a> {
    contents: &'a [u8],
    oid: &'a [u8],
    parameters: &'a [u8],
}

impl PartialEq for AlgorithmIdentifier<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.contents == other.contents
    }
}

impl Eq for AlgorithmIdentifier<'_> {}

impl<'a> AlgorithmIdentifier<'a> {
    pub(crate) fn parse(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let contents = reader.value(der::SEQUENCE)?;
        let mut inside = Reader::new(contents, "algorithmIdentifier");
        let oid = inside.oid()?;
        let parameters = if inside.is_empty() { &[] } else { inside.element()?.der };
        inside.finish()?;
        Ok(Self { contents, oid, parameters })
    }

    /// Parses exactly one `AlgorithmIdentifier`; nothing may follow it.
    ///
    /// # Errors
    /// `Der` with what is wrong.
    pub fn parse_der(der: &'a [u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(der, "algorithmIdentifier");
        let identifier = Self::parse(&mut reader)?;
        reader.finish()?;
        Ok(identifier)
    }

    /// What stands inside the SEQUENCE.
    pub fn contents(&self) -> &'a [u8] {
        self.contents
    }
}

/// The DER of NULL, which the parameters of RSA PKCS #1 v1.5 must be (RFC 4055 §1.2, §2.1).
const NULL: &[u8] = &[der::NULL, 0];

/// id-RSASSA-PSS, 1.2.840.113549.1.1.10.
const RSASSA_PSS: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0a];

/// What kind of key, and how large.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PublicKeyAlgorithm {
    /// id-ecPublicKey on secp256r1, an uncompressed point.
    EcdsaP256,
    /// id-ecPublicKey on secp384r1, an uncompressed point.
    EcdsaP384,
    /// id-ecPublicKey on secp521r1, an uncompressed point.
    EcdsaP521,
    /// id-Ed25519.
    Ed25519,
    /// id-ml-dsa-44.
    MlDsa44,
    /// id-ml-dsa-65.
    MlDsa65,
    /// id-ml-dsa-87.
    MlDsa87,
    /// rsaEncryption, 2048–4096 bits.
    Rsa {
        /// Size of the modulus.
        bits: u16,
    },
    /// id-RSASSA-PSS, 2048–4096 bits: a key that makes PSS signatures only.
    RsaPss {
        /// Size of the modulus.
        bits: u16,
        /// The only hash it may be used with, if it says.
        hash: Option<PssHash>,
    },
}

/// The hash of a PSS signature, of its mask, and its salt's length: they go together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PssHash {
    /// SHA-256, 32 octets of salt.
    Sha256,
    /// SHA-384, 48 octets of salt.
    Sha384,
    /// SHA-512, 64 octets of salt.
    Sha512,
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
            // id-ecPublicKey 1.2.840.10045.2.1
            ([0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01], curve) => elliptic(curve, spki.key),
            // rsaEncryption 1.2.840.113549.1.1.1
            ([0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01], NULL) => {
                rsa(spki.key).map(|bits| Self::Rsa { bits })
            }
            // RFC 4055 §3.1: parameters absent, or the only ones that the key may be used with.
            (RSASSA_PSS, []) => rsa(spki.key).map(|bits| Self::RsaPss { bits, hash: None }),
            (RSASSA_PSS, parameters) => {
                let hash = PssHash::of(parameters).map_err(|_| Error::UnsupportedPublicKey)?;
                rsa(spki.key).map(|bits| Self::RsaPss { bits, hash: Some(hash) })
            }
            // id-Ed25519 1.3.101.112: parameters absent (RFC 8410 §3).
            ([0x2b, 0x65, 0x70], []) if spki.key.len() == 32 => Ok(Self::Ed25519),
            // id-ml-dsa-*, 2.16.840.1.101.3.4.3.17–19: parameters absent (RFC 9881 §2), FIPS 204 table 2 for the sizes.
            ([0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x03, kind], []) => match (kind, spki.key.len()) {
                (0x11, 1312) => Ok(Self::MlDsa44),
                (0x12, 1952) => Ok(Self::MlDsa65),
                (0x13, 2592) => Ok(Self::MlDsa87),
                _ => Err(Error::UnsupportedPublicKey),
            },
            _ => Err(Error::UnsupportedPublicKey),
        }
    }

    /// What a verification with this key costs, in verifications on P-256 (`trust.md` §1.8): what `benches/test_units.py` measures,
    /// rounded up.
    pub fn cost_units(self) -> u32 {
        match self {
            Self::EcdsaP256 | Self::Ed25519 | Self::MlDsa44 | Self::MlDsa65 => 1,
            Self::EcdsaP384 => 5,
            Self::EcdsaP521 => 9,
            Self::Rsa { bits } | Self::RsaPss { bits, .. } if bits <= 3072 => 1,
            Self::Rsa { .. } | Self::RsaPss { .. } | Self::MlDsa87 => 2,
        }
    }
}

impl fmt::Display for PublicKeyAlgorithm {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EcdsaP256 => formatter.write_str("ecdsa-p256"),
            Self::EcdsaP384 => formatter.write_str("ecdsa-p384"),
            Self::EcdsaP521 => formatter.write_str("ecdsa-p521"),
            Self::Ed25519 => formatter.write_str("ed25519"),
            Self::MlDsa44 => formatter.write_str("ml-dsa-44"),
            Self::MlDsa65 => formatter.write_str("ml-dsa-65"),
            Self::MlDsa87 => formatter.write_str("ml-dsa-87"),
            Self::Rsa { bits } => write!(formatter, "rsa-{bits}"),
            Self::RsaPss { bits, .. } => write!(formatter, "rsa-pss-{bits}"),
        }
    }
}

/// RFC 5480 §2.1.1: a curve is named; §2.2: the uncompressed form is the one that must be supported, compressed and hybrid
/// forms are refused.
fn elliptic(curve: &[u8], point: &[u8]) -> Result<PublicKeyAlgorithm, Error> {
    let (algorithm, length) = match curve {
        // secp256r1 1.2.840.10045.3.1.7, secp384r1 1.3.132.0.34, secp521r1 1.3.132.0.35
        [der::OID, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07] => (PublicKeyAlgorithm::EcdsaP256, 65),
        [der::OID, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22] => (PublicKeyAlgorithm::EcdsaP384, 97),
        [der::OID, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x23] => (PublicKeyAlgorithm::EcdsaP521, 133),
        [der::SEQUENCE, ..] => return Err(Error::ExplicitCurveParameters),
        _ => return Err(Error::UnsupportedPublicKey),
    };
    if point.len() == length && point.first() == Some(&0x04) {
        Ok(algorithm)
    } else {
        Err(Error::PointFormNotSupported)
    }
}

/// `RSAPublicKey` (RFC 8017 §A.1.1): sizes and parity, so that no arithmetic is ever started on an absurd key.
fn rsa(key: &[u8]) -> Result<u16, Error> {
    let mut inside = Reader::only(key, der::SEQUENCE, "rsaPublicKey")?;
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
    u16::try_from(bits).map_err(|_| Error::PublicKeyTooLarge { bits })
}

fn leading_zero_bits(number: &[u8]) -> usize {
    number.first().map_or(0, |first| usize::try_from(first.leading_zeros()).unwrap_or(0))
}

impl PssHash {
    /// Reads `RSASSA-PSS-params` (RFC 4055 §3.1). Deviation: one hash for message and mask, a salt as long as the hash, and the
    /// default trailer are the only ones accepted, as in the web PKI; the defaults are SHA-1, which is weak.
    fn of(parameters: &[u8]) -> Result<Self, Error> {
        let mut inside = Reader::only(parameters, der::SEQUENCE, "rsassa-pss-params")?;
        let Some(hash) = inside.optional(der::context(0))? else { return Err(Error::WeakSignatureAlgorithm) };
        let hash = Self::hash(Reader::new(hash, "rsassa-pss-params"))?;
        let mask = inside.inside(der::context(1), "rsassa-pss-params")?;
        let mut mask = Reader::only(mask.rest(), der::SEQUENCE, "rsassa-pss-params")?;
        // id-mgf1 1.2.840.113549.1.1.8
        if mask.oid()? != [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x08] || Self::hash(mask)? != hash {
            return Err(Error::UnsupportedSignatureAlgorithm);
        }
        let mut salt = inside.inside(der::context(2), "rsassa-pss-params")?;
        let length = salt.unsigned()?;
        salt.finish()?;
        let fits = match hash {
            Self::Sha256 => length == [32],
            Self::Sha384 => length == [48],
            Self::Sha512 => length == [64],
        };
        // RFC 4055 §3.1 has validators recognise a trailer field of 1 that is written out; DER forbids it, and nobody writes it.
        if fits && inside.is_empty() { Ok(hash) } else { Err(Error::UnsupportedSignatureAlgorithm) }
    }

    /// RFC 4055 §2.1: parameters of the hash absent or NULL, both accepted.
    fn hash(mut reader: Reader<'_>) -> Result<Self, Error> {
        let identifier = AlgorithmIdentifier::parse(&mut reader)?;
        reader.finish()?;
        match (identifier.oid, identifier.parameters) {
            // id-sha256, id-sha384, id-sha512: 2.16.840.1.101.3.4.2.1–3
            ([0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, kind @ 1..=3], [] | NULL) => Ok(match kind {
                1 => Self::Sha256,
                2 => Self::Sha384,
                _ => Self::Sha512,
            }),
            // id-sha1 1.3.14.3.2.26
            ([0x2b, 0x0e, 0x03, 0x02, 0x1a], _) => Err(Error::WeakSignatureAlgorithm),
            _ => Err(Error::UnsupportedSignatureAlgorithm),
        }
    }
}

/// How a certificate was signed; only these are ever checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SignatureAlgorithm {
    /// ecdsa-with-SHA256, RFC 5758 §3.2.
    EcdsaSha256,
    /// ecdsa-with-SHA384, RFC 5758 §3.2.
    EcdsaSha384,
    /// ecdsa-with-SHA512, RFC 5758 §3.2.
    EcdsaSha512,
    /// id-Ed25519, RFC 8410 §3.
    Ed25519,
    /// id-ml-dsa-44, RFC 9881 §3.
    MlDsa44,
    /// id-ml-dsa-65, RFC 9881 §3.
    MlDsa65,
    /// id-ml-dsa-87, RFC 9881 §3.
    MlDsa87,
    /// sha256WithRSAEncryption, RFC 4055 §5.
    RsaPkcs1Sha256,
    /// sha384WithRSAEncryption, RFC 4055 §5.
    RsaPkcs1Sha384,
    /// sha512WithRSAEncryption, RFC 4055 §5.
    RsaPkcs1Sha512,
    /// id-RSASSA-PSS, RFC 4055 §3.
    RsaPss(PssHash),
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
            ([0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x04], []) => Ok(Self::EcdsaSha512),
            // pkcs-1, 1.2.840.113549.1.1.*: parameters NULL (RFC 4055 §5).
            ([0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0b], NULL) => Ok(Self::RsaPkcs1Sha256),
            ([0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0c], NULL) => Ok(Self::RsaPkcs1Sha384),
            ([0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0d], NULL) => Ok(Self::RsaPkcs1Sha512),
            (RSASSA_PSS, parameters) if !parameters.is_empty() => PssHash::of(parameters).map(Self::RsaPss),
            // id-Ed25519 and id-ml-dsa-*: parameters absent (RFC 8410 §3, RFC 9881 §3).
            ([0x2b, 0x65, 0x70], []) => Ok(Self::Ed25519),
            ([0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x03, 0x11], []) => Ok(Self::MlDsa44),
            ([0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x03, 0x12], []) => Ok(Self::MlDsa65),
            ([0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x03, 0x13], []) => Ok(Self::MlDsa87),
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
        use PublicKeyAlgorithm as Key;
        match self {
            Self::EcdsaSha256 | Self::EcdsaSha384 | Self::EcdsaSha512 => {
                matches!(key, Key::EcdsaP256 | Key::EcdsaP384 | Key::EcdsaP521)
            }
            Self::Ed25519 => key == Key::Ed25519,
            Self::MlDsa44 => key == Key::MlDsa44,
            Self::MlDsa65 => key == Key::MlDsa65,
            Self::MlDsa87 => key == Key::MlDsa87,
            // A key for PSS is never used with PKCS #1 v1.5 (RFC 4055 §1.2).
            Self::RsaPkcs1Sha256 | Self::RsaPkcs1Sha384 | Self::RsaPkcs1Sha512 => matches!(key, Key::Rsa { .. }),
            Self::RsaPss(used) => {
                matches!(key, Key::Rsa { .. } | Key::RsaPss { hash: None, .. })
                    || matches!(key, Key::RsaPss { hash: Some(only), .. } if only == used)
            }
        }
    }
}

impl fmt::Display for SignatureAlgorithm {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::EcdsaSha256 => "ecdsa-sha256",
            Self::EcdsaSha384 => "ecdsa-sha384",
            Self::EcdsaSha512 => "ecdsa-sha512",
            Self::Ed25519 => "ed25519",
            Self::MlDsa44 => "ml-dsa-44",
            Self::MlDsa65 => "ml-dsa-65",
            Self::MlDsa87 => "ml-dsa-87",
            Self::RsaPkcs1Sha256 => "rsa-sha256",
            Self::RsaPkcs1Sha384 => "rsa-sha384",
            Self::RsaPkcs1Sha512 => "rsa-sha512",
            Self::RsaPss(PssHash::Sha256) => "rsa-pss-sha256",
            Self::RsaPss(PssHash::Sha384) => "rsa-pss-sha384",
            Self::RsaPss(PssHash::Sha512) => "rsa-pss-sha512",
        })
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
    /// The job that shows that `signer` signed `message`, as `algorithm` says.
    ///
    /// # Errors
    /// An algorithm that is weak, unsupported, or does not fit the key.
    pub fn new(
        signer: &SubjectPublicKeyInfo<'a>,
        algorithm: &AlgorithmIdentifier<'a>,
        message: &'a [u8],
        signature: &'a [u8],
    ) -> Result<Self, Error> {
        let algorithm = SignatureAlgorithm::of(algorithm)?;
        let key_algorithm = signer.public_key_algorithm()?;
        if !algorithm.fits(key_algorithm) {
            return Err(Error::SignatureKeyMismatch);
        }
        Ok(Self { algorithm, key_algorithm, public_key: signer.key, message, signature })
    }

    /// The job that shows that `issuer`'s key signed `certificate`.
    ///
    /// # Errors
    /// As [`SignatureJob::new`].
    pub fn of(certificate: &Certificate<'a>, issuer: &Certificate<'a>) -> Result<Self, Error> {
        Self::new(&issuer.spki, &certificate.signature_algorithm, certificate.tbs, certificate.signature)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn element(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
        let inside = parts.concat();
        [&[tag, u8::try_from(inside.len()).unwrap()], inside.as_slice()].concat()
    }

    const SHA256: &[u8] = &[0x06, 9, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 1];
    const SHA1: &[u8] = &[0x06, 5, 0x2b, 0x0e, 0x03, 0x02, 0x1a];
    const MGF1: &[u8] = &[0x06, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x08];

    fn pss(hash: &[u8], mask: &[u8], salt: u8, rest: &[u8]) -> Result<PssHash, Error> {
        let hash = element(0xa0, &[&element(0x30, &[hash])]);
        let mask = element(0xa1, &[&element(0x30, &[MGF1, &element(0x30, &[mask])])]);
        let salt = element(0xa2, &[&[2, 1, salt]]);
        PssHash::of(&element(0x30, &[&hash, &mask, &salt, rest]))
    }

    #[test]
    fn s07_pss_parameters_have_one_hash_its_salt_and_no_trailer() {
        let null = [SHA256, NULL].concat();
        assert_eq!(pss(SHA256, SHA256, 32, &[]), Ok(PssHash::Sha256));
        assert_eq!(pss(&null, &null, 32, &[]), Ok(PssHash::Sha256));
        assert_eq!(pss(SHA256, SHA256, 20, &[]), Err(Error::UnsupportedSignatureAlgorithm));
        assert_eq!(pss(SHA256, SHA256, 32, &[0xa3, 3, 2, 1, 1]), Err(Error::UnsupportedSignatureAlgorithm));
        assert_eq!(pss(SHA256, SHA1, 32, &[]), Err(Error::WeakSignatureAlgorithm));
        assert_eq!(pss(SHA1, SHA1, 20, &[]), Err(Error::WeakSignatureAlgorithm));
        assert_eq!(PssHash::of(&[0x30, 0]), Err(Error::WeakSignatureAlgorithm), "the defaults are SHA-1");
    }

    #[test]
    fn s07_a_key_for_pss_makes_pss_signatures_only() {
        let key = |hash| PublicKeyAlgorithm::RsaPss { bits: 2048, hash };
        assert!(!SignatureAlgorithm::RsaPkcs1Sha256.fits(key(None)));
        assert!(SignatureAlgorithm::RsaPss(PssHash::Sha256).fits(key(None)));
        assert!(SignatureAlgorithm::RsaPss(PssHash::Sha256).fits(key(Some(PssHash::Sha256))));
        assert!(!SignatureAlgorithm::RsaPss(PssHash::Sha384).fits(key(Some(PssHash::Sha256))));
        assert!(SignatureAlgorithm::RsaPss(PssHash::Sha384).fits(PublicKeyAlgorithm::Rsa { bits: 2048 }));
    }

    #[test]
    fn s05_points_are_uncompressed_and_of_their_curves_size() {
        let p256: &[u8] = &[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
        let point = |form: u8, length: usize| [vec![form], vec![7; length]].concat();
        assert_eq!(elliptic(p256, &point(4, 64)), Ok(PublicKeyAlgorithm::EcdsaP256));
        for bad in [point(2, 32), point(3, 32), point(6, 64), point(4, 63), point(4, 65), vec![0], vec![]] {
            assert_eq!(elliptic(p256, &bad), Err(Error::PointFormNotSupported));
        }
        assert_eq!(elliptic(&[0x30, 0], &point(4, 64)), Err(Error::ExplicitCurveParameters), "S04");
        assert_eq!(elliptic(&[5, 0], &point(4, 64)), Err(Error::UnsupportedPublicKey));
    }

    #[test]
    fn p13_and_s08_absurd_rsa_keys_are_refused_by_their_size() {
        let key = |modulus: &[u8], exponent: &[u8]| {
            let integer = |octets: &[u8]| {
                let octets = [&[0][..usize::from(octets[0] >= 0x80)], octets].concat();
                [&[2, 0x82], u16::try_from(octets.len()).unwrap().to_be_bytes().as_slice(), &octets].concat()
            };
            let short = |octets: &[u8]| [&[2, u8::try_from(octets.len()).unwrap()], octets].concat();
            let inside = [integer(modulus), short(exponent)].concat();
            rsa(&[&[0x30, 0x82], u16::try_from(inside.len()).unwrap().to_be_bytes().as_slice(), &inside].concat())
        };
        let modulus = |octets: usize, last: u8| [vec![0xc0], vec![7; octets - 2], vec![last]].concat();
        assert_eq!(key(&modulus(256, 1), &[1, 0, 1]), Ok(2048));
        assert_eq!(key(&modulus(512, 1), &[3]), Ok(4096));
        assert_eq!(key(&modulus(2048, 1), &[1, 0, 1]), Err(Error::PublicKeyTooLarge { bits: 16384 }));
        assert_eq!(key(&modulus(512, 1), &[1; 5]), Err(Error::PublicKeyTooLarge { bits: 4096 }));
        assert_eq!(key(&modulus(256, 2), &[1, 0, 1]), Err(Error::WeakPublicKey { bits: 2048 }), "even");
        assert_eq!(key(&modulus(256, 1), &[1]), Err(Error::WeakPublicKey { bits: 2048 }));
        let odd_size = [vec![0x40], vec![7; 255], vec![1]].concat();
        assert_eq!(key(&odd_size, &[3]), Err(Error::WeakPublicKey { bits: 2055 }), "not a multiple of eight");
    }
}
