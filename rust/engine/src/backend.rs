//! The only file that names aws-lc-rs: one signature, one digest.

use aws_lc_rs::{digest, signature};
use holdfast_x509::{PublicKeyAlgorithm, SignatureAlgorithm, SignatureJob};

/// Whether the signature holds. Everything unexpected is a no.
pub(crate) fn verify(job: &SignatureJob<'_>) -> bool {
    let algorithm: &dyn signature::VerificationAlgorithm = match (job.algorithm, job.key_algorithm) {
        (SignatureAlgorithm::EcdsaSha256, PublicKeyAlgorithm::EcdsaP256) => &signature::ECDSA_P256_SHA256_ASN1,
        (SignatureAlgorithm::EcdsaSha384, PublicKeyAlgorithm::EcdsaP256) => &signature::ECDSA_P256_SHA384_ASN1,
        (SignatureAlgorithm::EcdsaSha256, PublicKeyAlgorithm::EcdsaP384) => &signature::ECDSA_P384_SHA256_ASN1,
        (SignatureAlgorithm::EcdsaSha384, PublicKeyAlgorithm::EcdsaP384) => &signature::ECDSA_P384_SHA384_ASN1,
        (SignatureAlgorithm::RsaPkcs1Sha256, PublicKeyAlgorithm::Rsa { .. }) => &signature::RSA_PKCS1_2048_8192_SHA256,
        (SignatureAlgorithm::RsaPkcs1Sha384, PublicKeyAlgorithm::Rsa { .. }) => &signature::RSA_PKCS1_2048_8192_SHA384,
        _ => return false,
    };
    signature::UnparsedPublicKey::new(algorithm, job.public_key).verify(job.message, job.signature).is_ok()
}

/// SHA-256 of `bytes`: fingerprints and key hashes.
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    hash
}
