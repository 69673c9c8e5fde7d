//! Single signatures: those that a proof of possession rests on, and any that is given whole. `trust.md` §4.1, §4.2; aws-lc-rs alone
//! decides them (§6.2).

use holdfast_x509::{
    AlgorithmIdentifier, Certificate, Error, PssHash, PublicKeyAlgorithm, SignatureAlgorithm, SignatureJob,
    SubjectPublicKeyInfo,
};

use crate::backend;

/// That `issuer`'s name and key made `certificate`, and nothing else: dates and constraints are the caller's.
///
/// # Errors
/// `IssuerNameMismatch`, `BadSignature`, or why the signature cannot be checked.
pub fn check_issued_by(certificate: &Certificate<'_>, issuer: &Certificate<'_>) -> Result<(), Error> {
    if certificate.issuer != issuer.subject {
        return Err(Error::IssuerNameMismatch);
    }
    checked(&SignatureJob::of(certificate, issuer)?)
}

/// That `signer`'s key signed `message`: ECDSA in DER with the curve's own hash, RSA PKCS #1 v1.5 with SHA-256, the keys for PSS alone
/// with their hash or SHA-256, Ed25519 and ML-DSA as they are.
///
/// # Errors
/// `BadSignature`, or why the key cannot be used.
pub fn verify_signature(signer: &Certificate<'_>, message: &[u8], signature: &[u8]) -> Result<(), Error> {
    let key_algorithm = signer.spki.public_key_algorithm()?;
    let algorithm = match key_algorithm {
        PublicKeyAlgorithm::EcdsaP256 => SignatureAlgorithm::EcdsaSha256,
        PublicKeyAlgorithm::EcdsaP384 => SignatureAlgorithm::EcdsaSha384,
        PublicKeyAlgorithm::EcdsaP521 => SignatureAlgorithm::EcdsaSha512,
        PublicKeyAlgorithm::Ed25519 => SignatureAlgorithm::Ed25519,
        PublicKeyAlgorithm::MlDsa44 => SignatureAlgorithm::MlDsa44,
        PublicKeyAlgorithm::MlDsa65 => SignatureAlgorithm::MlDsa65,
        PublicKeyAlgorithm::MlDsa87 => SignatureAlgorithm::MlDsa87,
        PublicKeyAlgorithm::Rsa { .. } => SignatureAlgorithm::RsaPkcs1Sha256,
        PublicKeyAlgorithm::RsaPss { hash, .. } => SignatureAlgorithm::RsaPss(hash.unwrap_or(PssHash::Sha256)),
        _ => return Err(Error::UnsupportedPublicKey),
    };
    checked(&SignatureJob { algorithm, key_algorithm, public_key: signer.spki.key, message, signature })
}

/// That the key of `signer` signed `message` as `algorithm` says: what is asked of a certificate's signature, on its own.
///
/// # Errors
/// `BadSignature`; a key or algorithm that is weak, unsupported, or does not fit the other.
pub fn check_signature(
    signer: &SubjectPublicKeyInfo<'_>,
    algorithm: &AlgorithmIdentifier<'_>,
    message: &[u8],
    signature: &[u8],
) -> Result<(), Error> {
    checked(&SignatureJob::new(signer, algorithm, message, signature)?)
}

fn checked(job: &SignatureJob<'_>) -> Result<(), Error> {
    if backend::verify(job) { Ok(()) } else { Err(Error::BadSignature) }
}
