//! The only file of this crate that names aws-lc-rs: one signature, one digest, one key pair.

use std::hash::Hasher;

use aws_lc_rs::{agreement, digest, rand, signature};
use holdfast_x509::{PssHash, PublicKeyAlgorithm as Key, SignatureAlgorithm as Made, SignatureJob};

/// Whether the signature holds. Everything unexpected is a no.
pub(crate) fn verify(job: &SignatureJob<'_>) -> bool {
    let algorithm: &dyn signature::VerificationAlgorithm = match (job.algorithm, job.key_algorithm) {
        (Made::EcdsaSha256, Key::EcdsaP256) => &signature::ECDSA_P256_SHA256_ASN1,
        (Made::EcdsaSha384, Key::EcdsaP256) => &signature::ECDSA_P256_SHA384_ASN1,
        (Made::EcdsaSha512, Key::EcdsaP256) => &signature::ECDSA_P256_SHA512_ASN1,
        (Made::EcdsaSha256, Key::EcdsaP384) => &signature::ECDSA_P384_SHA256_ASN1,
        (Made::EcdsaSha384, Key::EcdsaP384) => &signature::ECDSA_P384_SHA384_ASN1,
        (Made::EcdsaSha512, Key::EcdsaP384) => &signature::ECDSA_P384_SHA512_ASN1,
        (Made::EcdsaSha256, Key::EcdsaP521) => &signature::ECDSA_P521_SHA256_ASN1,
        (Made::EcdsaSha384, Key::EcdsaP521) => &signature::ECDSA_P521_SHA384_ASN1,
        (Made::EcdsaSha512, Key::EcdsaP521) => &signature::ECDSA_P521_SHA512_ASN1,
        (Made::Ed25519, Key::Ed25519) => &signature::ED25519,
        (Made::MlDsa44, Key::MlDsa44) => &signature::ML_DSA_44,
        (Made::MlDsa65, Key::MlDsa65) => &signature::ML_DSA_65,
        (Made::MlDsa87, Key::MlDsa87) => &signature::ML_DSA_87,
        (Made::RsaPkcs1Sha256, Key::Rsa { .. }) => &signature::RSA_PKCS1_2048_8192_SHA256,
        (Made::RsaPkcs1Sha384, Key::Rsa { .. }) => &signature::RSA_PKCS1_2048_8192_SHA384,
        (Made::RsaPkcs1Sha512, Key::Rsa { .. }) => &signature::RSA_PKCS1_2048_8192_SHA512,
        // The salt is as long as the hash: x509 has refused every other length.
        (Made::RsaPss(PssHash::Sha256), Key::Rsa { .. } | Key::RsaPss { .. }) => &signature::RSA_PSS_2048_8192_SHA256,
        (Made::RsaPss(PssHash::Sha384), Key::Rsa { .. } | Key::RsaPss { .. }) => &signature::RSA_PSS_2048_8192_SHA384,
        (Made::RsaPss(PssHash::Sha512), Key::Rsa { .. } | Key::RsaPss { .. }) => &signature::RSA_PSS_2048_8192_SHA512,
        _ => return false,
    };
    signature::UnparsedPublicKey::new(algorithm, job.public_key).verify(job.message, job.signature).is_ok()
}

/// Makes `octets` random. False: there is no randomness to be had.
pub(crate) fn fill_randomly(octets: &mut [u8]) -> bool {
    rand::fill(octets).is_ok()
}

/// The public key of X25519 (RFC 7748 §6.1) that belongs to `private`. Everything unexpected is nothing.
pub(crate) fn x25519_public(private: &[u8; 32]) -> Option<[u8; 32]> {
    let key = agreement::PrivateKey::from_private_key(&agreement::X25519, private).ok()?;
    key.compute_public_key().ok()?.as_ref().try_into().ok()
}

/// From a message to the 256 bits of its digest that count.
pub(crate) type DigestOf = fn(&[u8]) -> [u8; 32];

/// How a signature by a key on P-256 digests its message: of a longer hash the leftmost 256 bits count (SEC 1 §4.1.4 step 3).
pub(crate) fn p256_digest(job: &SignatureJob<'_>) -> Option<DigestOf> {
    fn leftmost(digest: &digest::Digest) -> [u8; 32] {
        digest.as_ref().first_chunk().copied().unwrap_or_default()
    }
    match (job.algorithm, job.key_algorithm) {
        (Made::EcdsaSha256, Key::EcdsaP256) => Some(sha256),
        (Made::EcdsaSha384, Key::EcdsaP256) => Some(|message| leftmost(&digest::digest(&digest::SHA384, message))),
        (Made::EcdsaSha512, Key::EcdsaP256) => Some(|message| leftmost(&digest::digest(&digest::SHA512, message))),
        _ => None,
    }
}

/// SHA-256 of `bytes`: fingerprints and key hashes.
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    hash
}

/// SHA-256 of whatever feeds hashers.
pub(crate) struct Digest(digest::Context);

impl Digest {
    pub(crate) fn new() -> Self {
        Self(digest::Context::new(&digest::SHA256))
    }

    pub(crate) fn sha256(self) -> [u8; 32] {
        let mut hash = [0; 32];
        hash.copy_from_slice(self.0.finish().as_ref());
        hash
    }
}

impl Hasher for Digest {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Nobody asks for 64 bits of it.
    fn finish(&self) -> u64 {
        0
    }
}
