//! The one table from reasons to `holdfast.errors`.

use holdfast_x509::{Error, Refusal};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyType};

/// `VerificationError(code, message, position, hint)`: the hint is what would mend it.
pub(crate) fn refused(py: Python<'_>, refusal: &Refusal) -> PyErr {
    let build = || -> PyResult<PyErr> {
        let hint = PyDict::new(py);
        hint.set_item("hint", refusal.error.mend())?;
        let arguments = (refusal.code(), refusal.error.to_string(), refusal.position);
        let class = py.import("holdfast.errors")?.getattr("VerificationError")?;
        Ok(PyErr::from_value(class.call(arguments, Some(&hint))?))
    };
    build().unwrap_or_else(|error| error)
}

/// `VerificationError` of one certificate that stands in no path.
pub(crate) fn refused_certificate(py: Python<'_>, error: Error) -> PyErr {
    refused(py, &Refusal::whole(error))
}

/// `ConfigurationError(code, message)`.
pub(crate) fn configuration(py: Python<'_>, code: &str, message: &str) -> PyErr {
    raise(py, "ConfigurationError", (code, message))
}

/// `LimitExceededError(code, message)`.
pub(crate) fn limit_exceeded(py: Python<'_>, code: &str, message: &str) -> PyErr {
    raise(py, "LimitExceededError", (code, message))
}

/// `LocalProtocolError(code, message)`.
pub(crate) fn local_protocol(py: Python<'_>, code: &str, message: &str) -> PyErr {
    raise(py, "LocalProtocolError", (code, message))
}

/// The class is looked up when something is raised: `import holdfast` need not pay for it, and a failure to find it is itself
/// an exception.
fn raise<'py, A>(py: Python<'py>, class: &str, arguments: A) -> PyErr
where
    A: pyo3::call::PyCallArgs<'py>,
{
    let build = || -> PyResult<PyErr> {
        let class = py.import("holdfast.errors")?.getattr(class)?.cast_into::<PyType>()?;
        Ok(PyErr::from_value(class.call1(arguments)?))
    };
    build().unwrap_or_else(|error| error)
}
