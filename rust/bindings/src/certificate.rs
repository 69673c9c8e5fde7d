//! One certificate, as registration and the command line look at it.

use holdfast_engine::{self as engine, hex};
use holdfast_x509::{self as x509, Error, Policy};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::PyBytes;

use crate::convert::{datetime, seconds};
use crate::errors;

/// Raises unless `device_id` may be a device's identity.
#[pyfunction]
pub(crate) fn check_device_id(py: Python<'_>, device_id: &str) -> PyResult<()> {
    x509::check_device_id(device_id).map_err(|error| errors::refused_certificate(py, error))
}

/// One certificate, parsed as strictly as in a chain. Raises `VerificationError` for anything else.
#[pyclass(frozen, module = "holdfast._holdfast")]
pub(crate) struct Certificate {
    der: Box<[u8]>,
}

impl Certificate {
    /// The parsed form borrows, so it is made for each use; it parsed when the object was made.
    fn parsed(&self, py: Python<'_>) -> PyResult<x509::Certificate<'_>> {
        x509::Certificate::parse(&self.der).map_err(|error| errors::refused_certificate(py, error))
    }

    fn check(&self, py: Python<'_>, rule: impl FnOnce(&x509::Certificate<'_>) -> Result<(), Error>) -> PyResult<()> {
        rule(&self.parsed(py)?).map_err(|error| errors::refused_certificate(py, error))
    }
}

#[pymethods]
impl Certificate {
    #[new]
    fn new(py: Python<'_>, der: PyBackedBytes) -> PyResult<Self> {
        let certificate = Self { der: der.as_ref().into() };
        certificate.parsed(py)?;
        Ok(certificate)
    }

    #[getter]
    fn der<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.der)
    }

    #[getter]
    fn subject(&self, py: Python<'_>) -> PyResult<String> {
        Ok(self.parsed(py)?.subject.to_string())
    }

    #[getter]
    fn issuer(&self, py: Python<'_>) -> PyResult<String> {
        Ok(self.parsed(py)?.issuer.to_string())
    }

    #[getter]
    fn subject_der<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        Ok(PyBytes::new(py, self.parsed(py)?.subject.der()))
    }

    #[getter]
    fn sole_common_name(&self, py: Python<'_>) -> PyResult<&str> {
        x509::sole_common_name(&self.parsed(py)?).map_err(|error| errors::refused_certificate(py, error))
    }

    #[getter]
    fn device_id(&self, py: Python<'_>) -> PyResult<&str> {
        x509::device_id(&self.parsed(py)?).map_err(|error| errors::refused_certificate(py, error))
    }

    #[getter]
    fn serial_number(&self, py: Python<'_>) -> PyResult<String> {
        Ok(hex(self.parsed(py)?.serial_number))
    }

    #[getter]
    fn fingerprint(&self) -> String {
        hex(&engine::sha256(&self.der))
    }

    #[getter]
    fn spki<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        Ok(PyBytes::new(py, self.parsed(py)?.spki.der))
    }

    #[getter]
    fn spki_sha256(&self, py: Python<'_>) -> PyResult<String> {
        Ok(hex(&engine::sha256(self.parsed(py)?.spki.der)))
    }

    #[getter]
    fn public_key_algorithm(&self, py: Python<'_>) -> PyResult<String> {
        let algorithm = self.parsed(py)?.spki.public_key_algorithm();
        algorithm.map(|algorithm| algorithm.to_string()).map_err(|error| errors::refused_certificate(py, error))
    }

    #[getter]
    fn not_before<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        datetime(py, self.parsed(py)?.validity.not_before)
    }

    #[getter]
    fn not_after<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        datetime(py, self.parsed(py)?.validity.not_after)
    }

    #[getter]
    fn is_ca(&self, py: Python<'_>) -> PyResult<bool> {
        self.basic_constraints(py).map(|constraints| constraints.ca)
    }

    #[getter]
    fn path_len(&self, py: Python<'_>) -> PyResult<Option<u32>> {
        self.basic_constraints(py).map(|constraints| constraints.path_len)
    }

    #[getter]
    fn signature_algorithm(&self, py: Python<'_>) -> PyResult<String> {
        let algorithm = x509::SignatureAlgorithm::of(&self.parsed(py)?.signature_algorithm);
        algorithm.map(|algorithm| algorithm.to_string()).map_err(|error| errors::refused_certificate(py, error))
    }

    #[getter]
    fn extensions(&self, py: Python<'_>) -> PyResult<Vec<(String, bool, String)>> {
        let shown = self.parsed(py)?.extensions_shown();
        Ok(shown.into_iter().map(|one| (one.name, one.critical, one.value)).collect())
    }

    #[getter]
    fn self_issued(&self, py: Python<'_>) -> PyResult<bool> {
        Ok(self.parsed(py)?.self_issued())
    }

    fn check_anchor(&self, py: Python<'_>, at: &Bound<'_, PyAny>) -> PyResult<()> {
        let at = seconds(Some(at))?;
        self.check(py, |certificate| x509::check_anchor(certificate, &Policy::client_auth(), at))
    }

    fn check_in_date(&self, py: Python<'_>, at: &Bound<'_, PyAny>) -> PyResult<()> {
        let at = seconds(Some(at))?;
        self.check(py, |certificate| x509::check_in_date(certificate, at))
    }

    fn check_issued_by(&self, py: Python<'_>, issuer: &Self) -> PyResult<()> {
        let issuer = issuer.parsed(py)?;
        self.check(py, |certificate| py.detach(|| engine::check_issued_by(certificate, &issuer)))
    }

    fn verify_signature(&self, py: Python<'_>, message: PyBackedBytes, signature: PyBackedBytes) -> PyResult<()> {
        self.check(py, |certificate| py.detach(|| engine::verify_signature(certificate, &message, &signature)))
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        Ok(format!("<Certificate {}>", self.subject(py)?))
    }
}

impl Certificate {
    fn basic_constraints(&self, py: Python<'_>) -> PyResult<x509::BasicConstraints> {
        let constraints = self.parsed(py)?.extensions.basic_constraints();
        constraints.map_err(|error| errors::refused_certificate(py, error))
    }
}
