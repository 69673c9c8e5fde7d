//! A `holdfast.Policy` read once, when a verifier is made: what it asks for, or what is wrong with it.

use std::collections::HashSet;
use std::sync::Arc;

use holdfast_engine::Recheck;
use holdfast_x509::{
    Closures, Demand, ExtendedKeyUsage, KeyAlgorithms, Leniency, Policy, PolicyInputs, Revocation, RevocationDepth,
    RevocationLists, ServerName, StaleLists, UnknownStatus, oid_from_text,
};
use pyo3::conversion::FromPyObjectOwned;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use rustls_pki_types::CertificateRevocationListDer;
use rustls_pki_types::pem::PemObject;

use crate::convert::parse_hash;
use crate::errors;

/// Reads every field. A field of the wrong type, or with a value that means nothing, is a `ConfigurationError`.
pub(crate) fn read_policy(given: &Bound<'_, PyAny>) -> PyResult<Policy> {
    let mut policy = read_purpose(given)?;
    policy.max_intermediates = field(given, "max_intermediates")?;
    policy.key_algorithms = read_key_algorithms(given)?;
    policy.extended_key_usage = if field(given, "require_extended_key_usage")? {
        ExtendedKeyUsage::Required
    } else {
        ExtendedKeyUsage::Optional
    };
    policy.policies = read_policies(given)?;
    policy.revocation = read_revocation(given)?;
    let keys = read_hashes(given, "closed_keys")?;
    policy.closures = Arc::new(Closures { keys, certificates: read_hashes(given, "closed_certificates")? });
    if let Some(count) = field(given, "chain_certificates_count_max")? {
        policy.limits.certificates_count_max = count;
    }
    policy.limits.chain_bytes_max = field(given, "chain_bytes_max")?;
    policy.lenient_v1_leaf = leniency(given, "lenient_v1_leaf")?;
    policy.lenient_ca_leaf = leniency(given, "lenient_ca_leaf")?;
    policy.lenient_issuance = leniency(given, "lenient_issuance")?;
    policy.lenient_not_before_skew_seconds = field(given, "lenient_not_before_skew_seconds")?;
    Ok(policy)
}

/// Which of the kernel's accepts are verified again.
pub(crate) fn read_recheck(given: &Bound<'_, PyAny>) -> PyResult<Recheck> {
    Ok(if field(given, "recheck_every_signature")? { Recheck::Every } else { Recheck::Sample })
}

fn read_purpose(given: &Bound<'_, PyAny>) -> PyResult<Policy> {
    let py = given.py();
    let purpose: String = given.getattr("purpose")?.getattr("value")?.extract()?;
    let server_name: Option<String> = field(given, "server_name")?;
    match (purpose.as_str(), server_name) {
        ("client_auth", None) => Ok(Policy::client_auth()),
        ("client_auth", Some(_)) => {
            Err(errors::configuration(py, "unexpected_server_name", "a client shows no server name"))
        }
        ("server_auth", Some(name)) => ServerName::parse(&name).map(Policy::server_auth).ok_or_else(|| {
            let message = format!("'{}' is neither a DNS name nor an address", name.escape_debug());
            errors::configuration(py, "invalid_server_name", &message)
        }),
        // Without a name every server would do: there is no way to ask for that by leaving something out.
        ("server_auth", None) => {
            Err(errors::configuration(py, "server_name_missing", "a server is judged under the name it was called by"))
        }
        _ => Err(errors::configuration(py, "invalid_policy", &format!("Policy.purpose: {purpose} is not known"))),
    }
}

fn read_key_algorithms(given: &Bound<'_, PyAny>) -> PyResult<KeyAlgorithms> {
    let mut allowed = KeyAlgorithms::NONE;
    for name in given.getattr("key_algorithms")?.try_iter()? {
        let name: String = name?.extract()?;
        allowed = allowed.with(match name.as_str() {
            "ecdsa-p256" => KeyAlgorithms::ECDSA_P256,
            "ecdsa-p384" => KeyAlgorithms::ECDSA_P384,
            "ecdsa-p521" => KeyAlgorithms::ECDSA_P521,
            "ed25519" => KeyAlgorithms::ED25519,
            "ml-dsa" => KeyAlgorithms::ML_DSA,
            "rsa" => KeyAlgorithms::RSA,
            _ => {
                let message = format!(
                    "key algorithm '{}' is not one of ecdsa-p256, ecdsa-p384, ecdsa-p521, ed25519, ml-dsa, rsa",
                    name.escape_debug()
                );
                return Err(errors::configuration(given.py(), "unknown_key_algorithm", &message));
            }
        });
    }
    Ok(allowed)
}

fn read_policies(given: &Bound<'_, PyAny>) -> PyResult<PolicyInputs> {
    let demand = |name: &str| -> PyResult<Demand> {
        Ok(if field(given, name)? { Demand::Always } else { Demand::ByCertificates })
    };
    let acceptable: Option<Vec<String>> = field(given, "certificate_policies")?;
    let mut inputs = PolicyInputs {
        acceptable: None,
        explicit: demand("require_explicit_policy")?,
        inhibit_mapping: demand("inhibit_policy_mapping")?,
        inhibit_any: demand("inhibit_any_policy")?,
    };
    if let Some(texts) = acceptable {
        let read = |text: &String| {
            oid_from_text(text).ok_or_else(|| {
                let message = format!("'{}' is not an object identifier in dotted decimal", text.escape_debug());
                errors::configuration(given.py(), "invalid_policy_oid", &message)
            })
        };
        inputs.acceptable = Some(texts.iter().map(read).collect::<PyResult<_>>()?);
        // "Policies of which one must be valid": asked whether or not a certificate asks for it.
        inputs.explicit = Demand::Always;
    }
    Ok(inputs)
}

fn read_revocation(given: &Bound<'_, PyAny>) -> PyResult<Option<Revocation>> {
    let py = given.py();
    let Some(crls): Option<Vec<PyBackedBytes>> = field(given, "crls")? else { return Ok(None) };
    let lists = py.detach(|| {
        let ders = crls.iter().enumerate().map(|(index, crl)| der_of(crl).ok_or(index)).collect::<Result<Vec<_>, _>>();
        ders.map(RevocationLists::new)
    });
    let lists = match lists {
        Ok(Ok(lists)) => lists,
        Ok(Err((index, error))) => {
            let message = format!("Policy.crls[{index}]: {error} ({})", error.code());
            return Err(errors::configuration(py, "bad_crl", &message));
        }
        Err(index) => {
            let message = format!("Policy.crls[{index}] is not one X509 CRL in PEM");
            return Err(errors::configuration(py, "bad_crl", &message));
        }
    };
    let mut revocation = Revocation::new(Arc::new(lists));
    let depth: String = given.getattr("revocation_depth")?.getattr("value")?.extract()?;
    if depth == "end_entity" {
        revocation.depth = RevocationDepth::EndEntity;
    }
    if field(given, "lenient_unknown_revocation_status")? {
        revocation.unknown_status = UnknownStatus::Allow;
    }
    if field(given, "lenient_stale_crls")? {
        revocation.stale_lists = StaleLists::Use;
    }
    Ok(Some(revocation))
}

/// A list as DER: as it is, or out of the one block of its PEM.
fn der_of(crl: &[u8]) -> Option<Vec<u8>> {
    if crl.first() == Some(&0x30) {
        return Some(crl.to_vec());
    }
    let mut blocks = CertificateRevocationListDer::pem_slice_iter(crl);
    match (blocks.next(), blocks.next()) {
        (Some(Ok(list)), None) => Some(list.to_vec()),
        _ => None,
    }
}

fn read_hashes(given: &Bound<'_, PyAny>, name: &str) -> PyResult<HashSet<[u8; 32]>> {
    let mut hashes = HashSet::new();
    for text in given.getattr(name)?.try_iter()? {
        let text: String = text?.extract()?;
        let hash = parse_hash(&text).ok_or_else(|| {
            let message = format!("Policy.{name}: '{}' is not 64 hexadecimal digits", text.escape_debug());
            errors::configuration(given.py(), "bad_hash", &message)
        })?;
        hashes.insert(hash);
    }
    Ok(hashes)
}

fn leniency(given: &Bound<'_, PyAny>, name: &str) -> PyResult<Leniency> {
    Ok(if field(given, name)? { Leniency::Allow } else { Leniency::Refuse })
}

/// A field's value in Rust's terms.
fn field<'py, T: FromPyObjectOwned<'py>>(given: &Bound<'py, PyAny>, name: &str) -> PyResult<T> {
    given.getattr(name)?.extract().map_err(|error: T::Error| {
        let error: PyErr = error.into();
        errors::configuration(given.py(), "invalid_policy", &format!("Policy.{name}: {error}"))
    })
}
