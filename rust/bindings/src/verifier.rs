//! Judging chains: the store, the verifier, and what came of each chain.

use std::sync::Arc;

use holdfast_engine::{self as engine, hex};
use holdfast_x509::{self as x509, Anchors, Error, Refusal, split_certificates};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::{PyBytes, PyDict, PyTuple, PyType};
use rustls_pki_types::pem::{PemObject, SectionKind};

use crate::convert::{Chains, datetime, seconds};
use crate::errors;
use crate::packed::{Columns, octets, offsets};
use crate::policy::{read_policy, read_recheck};

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
        let sections: Result<Vec<(SectionKind, Vec<u8>)>, _> = PemObject::pem_slice_iter(&pem).collect();
        let sections = sections.map_err(|error| errors::configuration(py, "bad_pem", &format!("not PEM: {error}")))?;
        if let Some((kind, _)) = sections.iter().find(|(kind, _)| *kind != SectionKind::Certificate) {
            let message = format!("the PEM text holds a {kind:?}, certificates alone are wanted");
            return Err(errors::configuration(py, "unexpected_pem_block", &message));
        }
        if sections.is_empty() {
            return Err(errors::configuration(py, "no_certificate", "there is no certificate in the PEM text"));
        }
        Self::of(py, sections.into_iter().map(|(_, der)| der).collect())
    }

    fn __len__(&self) -> usize {
        self.anchors.len()
    }

    #[getter]
    fn fingerprints(&self) -> Vec<String> {
        self.anchors.iter().map(|anchor| hex(&engine::sha256(anchor.der()))).collect()
    }

    #[getter]
    fn anchors<'py>(&self, py: Python<'py>) -> Vec<Bound<'py, PyBytes>> {
        self.anchors.iter().map(|anchor| PyBytes::new(py, anchor.der())).collect()
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
        let recheck = read_recheck(policy)?;
        let verifier = engine::Verifier::new(Arc::clone(&store.anchors), read_policy(policy)?).with_recheck(recheck);
        Ok(Self { verifier, threads })
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
        match judged(py, judge)? {
            Ok(path) => Ok(VerifiedPath { path }),
            Err(refusal) => Err(errors::refused(py, &refusal)),
        }
    }

    #[pyo3(signature = (chain, at = None))]
    fn explain(
        &self,
        py: Python<'_>,
        chain: Vec<PyBackedBytes>,
        at: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Explanation> {
        let at = seconds(at)?;
        let explanation = judged(py, || {
            let chain: Vec<&[u8]> = chain.iter().map(AsRef::as_ref).collect();
            self.verifier.explain(&chain, at)
        })?;
        Ok(Explanation { explanation })
    }

    #[pyo3(signature = (chains, at = None))]
    fn verify_many(&self, py: Python<'_>, chains: Chains, at: Option<&Bound<'_, PyAny>>) -> PyResult<Vec<Outcome>> {
        let at = seconds(at)?;
        if chains.len() > BATCH_CHAINS_COUNT_MAX {
            let message = format!("{} chains in one call, {BATCH_CHAINS_COUNT_MAX} are allowed", chains.len());
            return Err(errors::limit_exceeded(py, "batch_too_large", &message));
        }
        let outcomes = judged(py, || self.verifier.verify_many(&chains.slices(), at, self.threads))?;
        Ok(outcomes.into_iter().map(|outcome| Outcome { outcome }).collect())
    }

    #[pyo3(signature = (buffer, offsets, at = None))]
    fn verify_packed(
        &self,
        py: Python<'_>,
        buffer: &Bound<'_, PyAny>,
        offsets: &Bound<'_, PyAny>,
        at: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Columns> {
        let at = seconds(at)?;
        let buffer = octets(buffer)?;
        let offsets = self::offsets(offsets, buffer.as_ref().len())?;
        let count = offsets.len().saturating_sub(1);
        if count > BATCH_CHAINS_COUNT_MAX {
            let message = format!("{count} chains in one call, {BATCH_CHAINS_COUNT_MAX} are allowed");
            return Err(errors::limit_exceeded(py, "batch_too_large", &message));
        }
        let outcomes = judged(py, || {
            // One piece more than is allowed, so that the judge sees that there are too many.
            let pieces_max = self.verifier.policy().limits.certificates_count_max.saturating_add(1);
            let chain = |ends: &[usize]| -> Vec<&[u8]> {
                let bytes = match *ends {
                    [from, to] => buffer.as_ref().get(from..to).unwrap_or_default(),
                    _ => &[],
                };
                split_certificates(bytes).take(pieces_max).collect()
            };
            let chains: Vec<Vec<&[u8]>> = offsets.windows(2).map(chain).collect();
            self.verifier.verify_many(&chains, at, self.threads)
        })?;
        Ok(Columns::of(py, outcomes))
    }
}

/// Judges outside of the interpreter. Where the kernel was found to compute wrongly the owner of the machine has to know, whichever call it
/// was (`trust.md` §6.2).
fn judged<T: Send>(py: Python<'_>, judge: impl Send + FnOnce() -> T) -> PyResult<T> {
    let found = py.detach(judge);
    if engine::take_kernel_alarm() {
        let logger = py.import("logging")?.call_method1("getLogger", ("holdfast",))?;
        logger.call_method1(
            "critical",
            ("the signature kernel computed wrongly on this machine and is off; aws-lc-rs decides all",),
        )?;
    }
    Ok(found)
}

/// What the batch kernel of this process did so far.
#[pyfunction]
pub(crate) fn kernel(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let report = py.detach(engine::kernel_report);
    let fields = PyDict::new(py);
    fields.set_item("backend", report.backend)?;
    fields.set_item("on", report.on)?;
    fields.set_item("decided", report.counts.decided)?;
    fields.set_item("sampled", report.counts.sampled)?;
    fields.set_item("rejects_rechecked", report.counts.rejects_rechecked)?;
    fields.set_item("undecided", report.counts.undecided)?;
    fields.set_item("plain", report.counts.plain)?;
    fields.set_item("batches", report.batches.to_vec())?;
    Ok(fields)
}

/// What came of one chain, and what each rule found.
#[pyclass(frozen, module = "holdfast._holdfast")]
pub(crate) struct Explanation {
    explanation: engine::Explanation,
}

#[pymethods]
impl Explanation {
    #[getter]
    fn outcome(&self) -> Outcome {
        Outcome { outcome: self.explanation.verdict.clone() }
    }

    #[getter]
    fn presented(&self) -> Vec<usize> {
        self.explanation.path.presented.clone()
    }

    #[getter]
    fn anchor(&self) -> Option<usize> {
        self.explanation.path.anchor
    }

    #[getter]
    fn findings(&self) -> Vec<Finding> {
        let refusing = self.explanation.refusing();
        let one = |(index, finding): (usize, &x509::Finding)| Finding {
            position: finding.position,
            rule: finding.rule,
            broken: finding.found.clone().err(),
            refusing: refusing == Some(index),
        };
        self.explanation.findings.iter().enumerate().map(one).collect()
    }
}

/// What one rule says of one certificate.
#[pyclass(frozen, module = "holdfast._holdfast")]
pub(crate) struct Finding {
    #[pyo3(get)]
    position: usize,
    rule: x509::Rule,
    broken: Option<Error>,
    #[pyo3(get)]
    refusing: bool,
}

#[pymethods]
impl Finding {
    #[getter]
    fn rule(&self) -> &'static str {
        self.rule.title()
    }

    #[getter]
    fn section(&self) -> &'static str {
        self.broken.as_ref().map_or_else(|| self.rule.section(), Error::section)
    }

    #[getter]
    fn wanted(&self) -> &'static str {
        self.rule.demand()
    }

    #[getter]
    fn code(&self) -> Option<&'static str> {
        self.broken.as_ref().map(Error::code)
    }

    #[getter]
    fn found(&self) -> Option<String> {
        self.broken.as_ref().map(ToString::to_string)
    }

    #[getter]
    fn mend(&self) -> Option<&'static str> {
        self.broken.as_ref().map(Error::mend)
    }
}

/// What came of one chain. Its fields are made when they are read.
#[pyclass(frozen, module = "holdfast._holdfast")]
pub(crate) struct Outcome {
    outcome: Result<engine::VerifiedPath, Refusal>,
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
        self.outcome.as_ref().ok().map(|path| VerifiedPath { path: path.clone() })
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
    path: engine::VerifiedPath,
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

/// Every such code with the section its rule is written in and what would mend it.
#[pyfunction]
pub(crate) fn mends() -> Vec<(&'static str, &'static str, &'static str)> {
    Error::MENDS.to_vec()
}
