//! What is kept for devices, as it crosses: sessions, wills, messages. Properties are JSON objects, as the database has them.

use holdfast_engine::hex;
use holdfast_gate as gate;
use holdfast_roster::NEVER;
use holdfast_session::Telemetry;
use holdfast_x509::UnixSeconds;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;

use crate::convert::parse_hash;
use crate::convert::{json_object, properties};
use crate::errors;

/// What is kept of a device's session between its connections.
#[pyclass(frozen, from_py_object, module = "holdfast._holdfast")]
#[derive(Clone)]
pub(crate) struct KeptSession(pub(crate) holdfast_roster::KeptSession);

#[pymethods]
impl KeptSession {
    #[new]
    #[pyo3(signature = (*, inbox_qos, expiry_seconds, ends_at))]
    fn new(inbox_qos: Option<u8>, expiry_seconds: Option<u32>, ends_at: Option<i64>) -> Self {
        let ends = ends_at.map_or(NEVER, UnixSeconds);
        Self(holdfast_roster::KeptSession { inbox_qos, expiry_seconds: expiry_seconds.unwrap_or(u32::MAX), ends })
    }

    #[getter]
    fn inbox_qos(&self) -> Option<u8> {
        self.0.inbox_qos
    }

    #[getter]
    fn expiry_seconds(&self) -> Option<u32> {
        (self.0.expiry_seconds != u32::MAX).then_some(self.0.expiry_seconds)
    }

    #[getter]
    fn ends_at(&self) -> Option<i64> {
        (self.0.ends != NEVER).then_some(self.0.ends.0)
    }
}

/// A will, with all that decides whether it may still be published.
#[pyclass(frozen, from_py_object, module = "holdfast._holdfast")]
#[derive(Clone)]
pub(crate) struct KeptWill(pub(crate) gate::KeptWill);

#[pymethods]
impl KeptWill {
    #[new]
    #[pyo3(signature = (
        *,
        delay_seconds,
        due_at,
        anchor,
        vouchers,
        not_after,
        expires_in_seconds,
        system_properties,
        properties,
        payload
    ))]
    #[expect(clippy::too_many_arguments, reason = "a row of the inbox, by keywords")]
    fn new(
        py: Python<'_>,
        delay_seconds: u32,
        due_at: Option<i64>,
        anchor: &str,
        vouchers: PyBackedBytes,
        not_after: i64,
        expires_in_seconds: Option<u32>,
        system_properties: &str,
        properties: &str,
        payload: PyBackedBytes,
    ) -> PyResult<Self> {
        let anchor_fingerprint = parse_hash(anchor)
            .ok_or_else(|| errors::local_protocol(py, "bad_hash", "64 hexadecimal digits are wanted"))?;
        let (vouchers, []) = vouchers.as_chunks() else {
            return Err(errors::local_protocol(py, "bad_hash", "32 octets each are wanted"));
        };
        let (system_properties, properties) = both(py, system_properties, properties)?;
        let mut telemetry = Telemetry::new(payload.to_vec());
        (telemetry.system_properties, telemetry.properties) = (system_properties, properties);
        telemetry.expires_in_seconds = expires_in_seconds;
        Ok(Self(gate::KeptWill {
            telemetry,
            delay_seconds,
            due: due_at.map(UnixSeconds),
            anchor_fingerprint,
            vouchers: vouchers.into(),
            not_after: UnixSeconds(not_after),
        }))
    }

    #[getter]
    fn delay_seconds(&self) -> u32 {
        self.0.delay_seconds
    }

    #[getter]
    fn due_at(&self) -> Option<i64> {
        self.0.due.map(|due| due.0)
    }

    #[getter]
    fn anchor(&self) -> String {
        hex(&self.0.anchor_fingerprint)
    }

    #[getter]
    fn vouchers(&self) -> &[u8] {
        self.0.vouchers.as_flattened()
    }

    #[getter]
    fn not_after(&self) -> i64 {
        self.0.not_after.0
    }

    #[getter]
    fn expires_in_seconds(&self) -> Option<u32> {
        self.0.telemetry.expires_in_seconds
    }

    #[getter]
    fn system_properties(&self) -> String {
        json_object(self.0.telemetry.system_properties.clone())
    }

    #[getter]
    fn properties(&self) -> String {
        json_object(self.0.telemetry.properties.clone())
    }

    #[getter]
    fn payload(&self) -> &[u8] {
        &self.0.telemetry.payload
    }
}

/// A message that is kept for a device.
#[pyclass(frozen, module = "holdfast._holdfast")]
pub(crate) struct InboxMessage(pub(crate) gate::Message);

#[pymethods]
impl InboxMessage {
    #[new]
    #[pyo3(signature = (*, key, packet_id, redelivered, expires_at, system_properties, properties, payload))]
    #[expect(clippy::too_many_arguments, reason = "a row of the inbox, by keywords")]
    fn new(
        py: Python<'_>,
        key: u64,
        packet_id: u16,
        redelivered: bool,
        expires_at: Option<i64>,
        system_properties: &str,
        properties: &str,
        payload: PyBackedBytes,
    ) -> PyResult<Self> {
        if packet_id == 0 {
            return Err(errors::local_protocol(py, "bad_packet_id", "a packet identifier is 1 to 65535"));
        }
        let (system_properties, properties) = both(py, system_properties, properties)?;
        let expires_at = expires_at.map(UnixSeconds);
        let payload = payload.to_vec();
        let id = key;
        Ok(Self(gate::Message { id, packet_id, redelivered, expires_at, system_properties, properties, payload }))
    }

    #[getter]
    fn key(&self) -> u64 {
        self.0.id
    }
}

type Properties = Vec<(String, Option<String>)>;

fn both(py: Python<'_>, system: &str, own: &str) -> PyResult<(Properties, Properties)> {
    let read = |json| {
        let bad = || errors::local_protocol(py, "bad_properties", "a JSON object of texts and nulls is wanted");
        properties(json).ok_or_else(bad)
    };
    Ok((read(system)?, read(own)?))
}
