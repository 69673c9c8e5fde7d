//! The only crate that has heard of Python.
use pyo3::prelude::*;

/// The compiled half of the `holdfast` package; `python/holdfast/_holdfast.pyi` is its contract.
#[pymodule]
mod _holdfast {}
