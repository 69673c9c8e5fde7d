//! The telemetry log, as the loop watches it; the gate feeds it.

use std::path::Path;
use std::sync::Arc;

use holdfast_stream::{Wait, Writer};
use pyo3::prelude::*;

use crate::errors;

/// Messages that wait for the disk; what octets they may take the writer knows.
const QUEUE_MESSAGES_MAX: usize = 65_536;

/// The telemetry file of one worker, written by one native thread that syncs many messages at once.
#[pyclass(frozen, module = "holdfast._holdfast")]
pub(crate) struct TelemetryWriter {
    writer: Arc<Writer>,
}

#[pymethods]
impl TelemetryWriter {
    #[new]
    fn new(py: Python<'_>, path: &str) -> PyResult<Self> {
        let writer = py.detach(|| Writer::open(Path::new(path), QUEUE_MESSAGES_MAX));
        let writer = writer.map_err(|error| errors::configuration(py, error.code(), &format!("{path}: {error}")))?;
        Ok(Self { writer: Arc::new(writer) })
    }

    #[cfg(unix)]
    fn fileno(&self) -> i32 {
        self.writer.descriptor()
    }

    #[getter]
    fn failure(&self) -> Option<String> {
        self.writer.failure()
    }

    #[getter]
    fn waits_for(&self) -> Option<&'static str> {
        self.writer.waits_for().map(|wait| match wait {
            Wait::Lock => "lock",
            Wait::Space => "space",
        })
    }

    #[getter]
    fn queued(&self) -> usize {
        self.writer.queued()
    }

    fn close(&self, py: Python<'_>) {
        py.detach(|| self.writer.close());
    }
}

impl TelemetryWriter {
    pub(crate) fn writer(&self) -> Arc<Writer> {
        Arc::clone(&self.writer)
    }
}
