//! The telemetry log, as the loop feeds and watches it.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use holdfast_stream::{AppendError, Message, Receipt, Writer};
use pyo3::prelude::*;

use crate::errors;
use crate::gate::Request;

/// The telemetry file of one worker, written by one native thread that syncs many messages at once.
#[pyclass(frozen, module = "holdfast._holdfast")]
pub(crate) struct TelemetryWriter {
    writer: Mutex<Writer>,
}

#[pymethods]
impl TelemetryWriter {
    #[new]
    #[pyo3(signature = (path, *, queue_messages_max = 65_536))]
    fn new(py: Python<'_>, path: &str, queue_messages_max: usize) -> PyResult<Self> {
        let writer = py.detach(|| Writer::open(Path::new(path), queue_messages_max));
        let writer = writer.map_err(|error| errors::configuration(py, error.code(), &format!("{path}: {error}")))?;
        Ok(Self { writer: Mutex::new(writer) })
    }

    #[cfg(unix)]
    fn fileno(&self) -> i32 {
        self.lock().descriptor()
    }

    /// Queues `Request.Store`; the properties become JSON here, `received_at` is an aware datetime.
    fn append(&self, py: Python<'_>, request: &Bound<'_, Request>, received_at: &Bound<'_, PyAny>) -> PyResult<bool> {
        let Request::Store { handle, packet_id, device_id, redelivered, system_properties, properties, payload } =
            request.get()
        else {
            return Err(errors::local_protocol(py, "not_a_message", "a Request.Store is wanted"));
        };
        let seconds: f64 = received_at.call_method0("timestamp")?.extract()?;
        #[expect(clippy::cast_possible_truncation, reason = "the range of datetime is far inside i64")]
        let received_at_ms = (seconds * 1000.0).floor() as i64;
        let json = py.import("json")?.getattr("dumps")?;
        let to_json = |properties: &crate::gate::Properties| -> PyResult<String> {
            if properties.is_empty() { Ok("{}".to_owned()) } else { json.call1((properties.clone(),))?.extract() }
        };
        let message = Message {
            receipt: Receipt { handle: *handle, packet_id: *packet_id },
            device_id: device_id.clone(),
            received_at_ms,
            redelivered: *redelivered,
            message_id: system_properties.get("message-id").cloned().flatten(),
            system_properties: to_json(system_properties)?,
            properties: to_json(properties)?,
            payload: payload.clone(),
        };
        match self.lock().append(message) {
            Ok(()) => Ok(true),
            Err(AppendError::Full) => Ok(false),
            Err(AppendError::Closed) => Err(failed(py, "the log takes nothing more")),
        }
    }

    fn take_completed(&self) -> Vec<(u64, u16)> {
        let completed = self.lock().take_completed();
        completed.into_iter().map(|receipt| (receipt.handle, receipt.packet_id)).collect()
    }

    #[getter]
    fn failure(&self) -> Option<String> {
        self.lock().failure()
    }

    #[getter]
    fn queued(&self) -> usize {
        self.lock().queued()
    }

    fn close(&self, py: Python<'_>) {
        py.detach(|| self.lock().close());
    }
}

impl TelemetryWriter {
    /// No code panics while it holds this lock.
    fn lock(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn failed(py: Python<'_>, message: &str) -> PyErr {
    errors::configuration(py, "telemetry_log_failed", message)
}
