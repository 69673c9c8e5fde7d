//! The only file of this crate that names aws-lc-rs: P-256 keys from a seed, signatures, one digest, random octets.
//!
//! A key here protects nothing: it belongs to a device that does not exist. Whoever knows the seed knows every key.

use aws_lc_rs::agreement::{ECDH_P256, PrivateKey};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
use aws_lc_rs::{digest, rand};

use crate::der;
use crate::error::Error;

/// Where keys come from.
pub(crate) type Seed = [u8; 32];
/// A scalar, big-endian.
pub(crate) type Scalar = [u8; 32];
/// A point, uncompressed: SEC 1 §2.3.3.
pub(crate) type Point = [u8; 65];

/// A private key with its public one, not yet fit to sign: that costs another multiplication.
#[derive(Clone)]
pub(crate) struct KeyParts {
    pub(crate) scalar: Scalar,
    pub(crate) point: Point,
}

impl KeyParts {
    /// The key with this label and number under `seed`; the same one every time.
    pub(crate) fn derive(seed: &Seed, label: &str, number: u64) -> Result<Self, Error> {
        // One hash in 2³² is no scalar (FIPS 186-5 A.2.2 rejects it too): the next attempt is another hash.
        for attempt in 0..8u8 {
            let scalar = sha256(&[b"holdfast fleet key", seed, label.as_bytes(), &number.to_be_bytes(), &[attempt]]);
            if let Ok(parts) = Self::from_scalar(scalar) {
                return Ok(parts);
            }
        }
        Err(Error::new("key_failed", "no key could be derived from the seed"))
    }

    fn from_scalar(scalar: Scalar) -> Result<Self, Error> {
        let failed = || Error::new("key_failed", "the scalar is none of P-256");
        let key = PrivateKey::from_private_key(&ECDH_P256, &scalar).map_err(|_| failed())?;
        let public = key.compute_public_key().map_err(|_| failed())?;
        let point = public.as_ref().try_into().map_err(|_| Error::new("key_failed", "the point has another size"))?;
        Ok(Self { scalar, point })
    }

    /// PKCS #8 (RFC 5958) around RFC 5915, as every TLS library reads it.
    pub(crate) fn pkcs8(&self) -> Vec<u8> {
        let public = der::value(der::context(1), &[&der::bit_string(&self.point)]);
        let key = [der::value(der::INTEGER, &[&[1]]), der::value(der::OCTET_STRING, &[&self.scalar]), public].concat();
        let key = der::value(der::SEQUENCE, &[&key]);
        let key = der::value(der::OCTET_STRING, &[&key]);
        der::value(der::SEQUENCE, &[&der::value(der::INTEGER, &[&[0]]), ALGORITHM, &key])
    }
}

/// `AlgorithmIdentifier` of a P-256 key: RFC 5480 §2.1.1.
pub(crate) const ALGORITHM: &[u8] = &[
    0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03,
    0x01, 0x07,
];

/// A key that signs.
#[derive(Debug)]
pub(crate) struct Key(EcdsaKeyPair);

impl Key {
    pub(crate) fn new(parts: &KeyParts) -> Result<Self, Error> {
        let algorithm = &ECDSA_P256_SHA256_ASN1_SIGNING;
        EcdsaKeyPair::from_private_key_and_public_key(algorithm, &parts.scalar, &parts.point)
            .map(Self)
            .map_err(|_| Error::new("bad_key", "the two halves of a key do not belong together"))
    }

    pub(crate) fn from_pkcs8(der: &[u8]) -> Result<Self, Error> {
        EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, der)
            .map(Self)
            .map_err(|_| Error::new("bad_key", "a PKCS #8 key of P-256 is wanted"))
    }

    /// ECDSA with SHA-256, DER (RFC 3279 §2.2.3).
    pub(crate) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        let signature = self.0.sign(&SystemRandom::new(), message);
        signature.map(|signature| signature.as_ref().to_vec()).map_err(|_| Error::new("key_failed", "signing failed"))
    }
}

pub(crate) fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in parts {
        context.update(part);
    }
    let mut hash = [0; 32];
    hash.copy_from_slice(context.finish().as_ref());
    hash
}

/// Octets that nobody can foresee.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], Error> {
    let mut octets = [0; N];
    rand::fill(&mut octets).map_err(|_| Error::new("key_failed", "the system has no random numbers"))?;
    Ok(octets)
}
