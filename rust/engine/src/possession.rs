//! The two signatures that a proof of possession rests on. `trust.md` §4.1, §4.2; aws-lc-rs alone decides them (§6.2).

use holdfast_x509::{Certificate, Error, PublicKeyAlgorithm, SignatureAlgorithm, SignatureJob};

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

/// That `signer`'s key signed `message`: ECDSA in DER with the curve's own hash, RSA PKCS #1 v1.5 with SHA-256.
///
/// # Errors
/// `BadSignature`, or why the key cannot be used.
pub fn verify_signature(signer: &Certificate<'_>, message: &[u8], signature: &[u8]) -> Result<(), Error> {
    let key_algorithm = signer.spki.public_key_algorithm()?;
    let algorithm = match key_algorithm {
        PublicKeyAlgorithm::EcdsaP256 => SignatureAlgorithm::EcdsaSha256,
        PublicKeyAlgorithm::EcdsaP384 => SignatureAlgorithm::EcdsaSha384,
        PublicKeyAlgorithm::Rsa { .. } => SignatureAlgorithm::RsaPkcs1Sha256,
        _ => return Err(Error::UnsupportedPublicKey),
    };
    checked(&SignatureJob { algorithm, key_algorithm, public_key: signer.spki.key, message, signature })
}

fn checked(job: &SignatureJob<'_>) -> Result<(), Error> {
    if backend::verify(job) { Ok(()) } else { Err(Error::BadSignature) }
}
