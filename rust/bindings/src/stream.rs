//! The telemetry log, as doors other than the gate's feed it, and as the loop watches it.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::Arc;

use holdfast_stream::{AppendError, Message, Receipt, Wait, Writer};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;

use crate::convert::json_object;
use crate::errors;

/// The telemetry file of one worker, written by one native thread that syncs many messages at once.
#[pyclass(frozen, module = "holdfast._holdfast")]
pub(crate) struct TelemetryWriter {
    writer: Arc<Writer>,
}

#[pymethods]
impl TelemetryWriter {
    #[new]
    #[pyo3(signature = (path, *, queue_messages_max = 65_536))]
    fn new(py: Python<'_>, path: &str, queue_messages_max: usize) -> PyResult<Self> {
        let writer = py.detach(|| Writer::open(Path::new(path), queue_messages_max));
        let writer = writer.map_err(|error| errors::configuration(py, error.code(), &format!("{path}: {error}")))?;
        Ok(Self { writer: Arc::new(writer) })
    }

    #[cfg(unix)]
    fn fileno(&self) -> i32 {
        self.writer.descriptor()
    }

    #[pyo3(signature = (device_id, payload, *, received_at, system_properties = BTreeMap::new(), properties = BTreeMap::new()))]
    fn append(
        &self,
        py: Python<'_>,
        device_id: &str,
        payload: PyBackedBytes,
        received_at: &Bound<'_, PyAny>,
        system_properties: BTreeMap<String, Option<String>>,
        properties: BTreeMap<String, Option<String>>,
    ) -> PyResult<bool> {
        let seconds: f64 = received_at.call_method0("timestamp")?.extract()?;
        #[expect(clippy::cast_possible_truncation, reason = "the range of datetime is far inside i64")]
        let received_at_ms = (seconds * 1000.0).floor() as i64;
        let message = Message {
            receipt: Receipt { handle: 0, packet_id: 0, bytes: 0 },
            device_id: device_id.into(),
            received_at_ms,
            redelivered: false,
            message_id: system_properties.get("message-id").cloned().flatten(),
            system_properties: json_object(system_properties),
            properties: json_object(properties),
            payload: payload.to_vec(),
        };
        match self.writer.append(&mut VecDeque::from([message])) {
            Ok(()) => Ok(true),
            Err(AppendError::Full) => Ok(false),
            Err(AppendError::Closed) => {
                Err(errors::configuration(py, "telemetry_log_failed", "the log takes nothing more"))
            }
        }
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
