//! Judging chains: the store, the verifier, and what came of each chain.

use std::sync::Arc;

use holdfast_engine::{self as engine, hex};
use holdfast_x509::{Anchors, Error, KeyAlgorithms, Leniency, Policy, Refusal};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::{PyTuple, PyType};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use crate::convert::{datetime, seconds};
use crate::errors;

/// Chains in one call: beyond it the outcomes alone would fill gigabytes; call again with the rest.
const BATCH_CHAINS_COUNT_MAX: usize = 1_000_000;

/// An immutable set of trust anchors.
#[pyclass(frozen, module = "holdfast._holdfast")]
pub(crate) struct TrustStore {
    anchors: Arc<Anchors>,
}

#[pymethods]
impl TrustStore {
    #[new]
    fn new(py: Python<'_>, anchors: Vec<PyBackedBytes>) -> PyResult<Self> {
        Self::of(py, anchors.iter().map(|der| der.to_vec()).collect())
    }

    #[classmethod]
    fn from_pem(class: &Bound<'_, PyType>, pem: PyBackedBytes) -> PyResult<Self> {
        let py = class.py();
        let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
        match certificates {
            Ok(certificates) if !certificates.is_empty() => {
                Self::of(py, certificates.into_iter().map(|der| der.to_vec()).collect())
            }
            Ok(_) => Err(errors::configuration(py, "no_certificate", "there is no certificate in the PEM text")),
            Err(error) => Err(errors::configuration(py, "bad_pem", &format!("not PEM: {error}"))),
        }
    }

    fn __len__(&self) -> usize {
        self.anchors.len()
    }

    #[getter]
    fn fingerprints(&self) -> Vec<String> {
        self.anchors.iter().map(|anchor| hex(&engine::sha256(anchor.der()))).collect()
    }
}

impl TrustStore {
    fn of(py: Python<'_>, certificates: Vec<Vec<u8>>) -> PyResult<Self> {
        let anchors = py.detach(|| Anchors::new(certificates)).map_err(|refusal| errors::refused(py, &refusal))?;
        Ok(Self { anchors: Arc::new(anchors) })
    }
}

/// Judges chains under one store and one policy.
#[pyclass(frozen, module = "holdfast._holdfast")]
pub(crate) struct Verifier {
    verifier: engine::Verifier,
    threads: usize,
}

#[pymethods]
impl Verifier {
    #[new]
    #[pyo3(signature = (store, policy, *, threads = 0))]
    fn new(store: &TrustStore, policy: &Bound<'_, PyAny>, threads: usize) -> PyResult<Self> {
        let policy = read_policy(policy)?;
        Ok(Self { verifier: engine::Verifier::new(Arc::clone(&store.anchors), policy), threads })
    }

    #[pyo3(signature = (chain, at = None))]
    fn verify(
        &self,
        py: Python<'_>,
        chain: Vec<PyBackedBytes>,
        at: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<VerifiedPath> {
        let at = seconds(at)?;
        let judge = || {
            let chain: Vec<&[u8]> = chain.iter().map(AsRef::as_ref).collect();
            self.verifier.verify(&chain, at)
        };
        match py.detach(judge) {
            Ok(path) => Ok(VerifiedPath { path: Arc::new(path) }),
            Err(refusal) => Err(errors::refused(py, &refusal)),
        }
    }

    #[pyo3(signature = (chains, at = None))]
    fn verify_many(
        &self,
        py: Python<'_>,
        chains: Vec<Vec<PyBackedBytes>>,
        at: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Vec<Outcome>> {
        let at = seconds(at)?;
        if chains.len() > BATCH_CHAINS_COUNT_MAX {
            let message = format!("{} chains in one call, {BATCH_CHAINS_COUNT_MAX} are allowed", chains.len());
            return Err(errors::limit_exceeded(py, "batch_too_large", &message));
        }
        let outcomes = py.detach(|| self.verifier.verify_many(&chains, at, self.threads));
        Ok(outcomes.into_iter().map(|outcome| Outcome { outcome: outcome.map(Arc::new) }).collect())
    }
}

/// Reads a `holdfast.Policy` once. What it asks for and is not implemented yet is refused here, before any chain.
fn read_policy(given: &Bound<'_, PyAny>) -> PyResult<Policy> {
    let py = given.py();
    for name in ["crls", "certificate_policies", "server_name"] {
        if !given.getattr(name)?.is_none() {
            let message = format!("Policy.{name} is not supported yet");
            return Err(errors::configuration(py, &format!("unsupported_{name}"), &message));
        }
    }
    let purpose: String = given.getattr("purpose")?.getattr("value")?.extract()?;
    if purpose != "client_auth" {
        return Err(errors::configuration(
            py,
            "unsupported_purpose",
            &format!("purpose {purpose} is not supported yet"),
        ));
    }
    let leniency = |name: &str| -> PyResult<Leniency> {
        Ok(if given.getattr(name)?.extract()? { Leniency::Allow } else { Leniency::Refuse })
    };
    let mut policy = Policy::client_auth();
    policy.max_intermediates = given.getattr("max_intermediates")?.extract()?;
    policy.key_algorithms = KeyAlgorithms::NONE;
    for name in given.getattr("key_algorithms")?.try_iter()? {
        let name: String = name?.extract()?;
        policy.key_algorithms = policy.key_algorithms.with(match name.as_str() {
            "ecdsa-p256" => KeyAlgorithms::ECDSA_P256,
            "ecdsa-p384" => KeyAlgorithms::ECDSA_P384,
            "rsa" => KeyAlgorithms::RSA,
            _ => {
                let message = format!("key algorithm '{name}' is not one of ecdsa-p256, ecdsa-p384, rsa");
                return Err(errors::configuration(py, "unknown_key_algorithm", &message));
            }
        });
    }
    policy.limits.certificates_count_max = given.getattr("chain_certificates_count_max")?.extract()?;
    policy.limits.chain_bytes_max = given.getattr("chain_bytes_max")?.extract()?;
    policy.lenient_v1_leaf = leniency("lenient_v1_leaf")?;
    policy.lenient_ca_leaf = leniency("lenient_ca_leaf")?;
    policy.lenient_not_before_skew_seconds = given.getattr("lenient_not_before_skew_seconds")?.extract()?;
    Ok(policy)
}

/// What came of one chain. Its fields are made when they are read.
#[pyclass(frozen, module = "holdfast._holdfast")]
pub(crate) struct Outcome {
    outcome: Result<Arc<engine::VerifiedPath>, Refusal>,
}

#[pymethods]
impl Outcome {
    #[getter]
    fn ok(&self) -> bool {
        self.outcome.is_ok()
    }

    #[getter]
    fn code(&self) -> Option<&'static str> {
        self.outcome.as_ref().err().map(Refusal::code)
    }

    #[getter]
    fn position(&self) -> Option<usize> {
        self.outcome.as_ref().err().and_then(|refusal| refusal.position)
    }

    #[getter]
    fn message(&self) -> Option<String> {
        self.outcome.as_ref().err().map(|refusal| refusal.error.to_string())
    }

    #[getter]
    fn path(&self) -> Option<VerifiedPath> {
        self.outcome.as_ref().ok().map(|path| VerifiedPath { path: Arc::clone(path) })
    }

    fn __repr__(&self) -> String {
        match &self.outcome {
            Ok(path) => format!("<Outcome ok {}>", path.common_name().unwrap_or("-").escape_debug()),
            Err(refusal) => format!("<Outcome {} at {:?}>", refusal.code(), refusal.position),
        }
    }
}

/// A path all of whose rules and signatures hold.
#[pyclass(frozen, module = "holdfast._holdfast")]
pub(crate) struct VerifiedPath {
    path: Arc<engine::VerifiedPath>,
}

#[pymethods]
impl VerifiedPath {
    #[getter]
    fn common_name(&self) -> Option<&str> {
        self.path.common_name()
    }

    #[getter]
    fn fingerprints<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, self.path.fingerprints().iter().map(|hash| hex(hash)))
    }

    #[getter]
    fn anchor_fingerprint(&self) -> String {
        hex(&self.path.anchor_fingerprint())
    }

    #[getter]
    fn not_after<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        datetime(py, self.path.not_after())
    }

    fn __repr__(&self) -> String {
        let name = self.path.common_name().unwrap_or("-").escape_debug();
        format!("<VerifiedPath {name} of {} certificates>", self.path.fingerprints().len())
    }
}

/// Every code that judging a chain can end in.
#[pyfunction]
pub(crate) fn codes() -> Vec<&'static str> {
    Error::CODES.to_vec()
}
