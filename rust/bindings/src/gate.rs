//! A worker's connections, and what the loop must do for them.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use holdfast_engine::hex;
use holdfast_gate::{self as gate, Claim, Level, Limits, Note, Now, TlsConfig, Value};
use holdfast_roster::{Pin, Trust};
use holdfast_session::Telemetry;
use holdfast_x509::{Anchors, Error};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;

use crate::convert::{now, seconds};
use crate::errors;

/// All connections of one worker.
#[pyclass(frozen, module = "holdfast._holdfast")]
pub(crate) struct Gate {
    gate: Mutex<gate::Gate>,
    started: Instant,
}

#[pymethods]
impl Gate {
    #[new]
    #[pyo3(signature = (*, certificate_chain, private_key, limits))]
    fn new(
        py: Python<'_>,
        certificate_chain: Vec<PyBackedBytes>,
        private_key: PyBackedBytes,
        limits: HashMap<String, u64>,
    ) -> PyResult<Self> {
        let chain = certificate_chain.iter().map(|der| der.to_vec()).collect();
        let tls = TlsConfig::new(chain, private_key.to_vec())
            .map_err(|fault| errors::configuration(py, "unusable_tls_certificate", &fault.to_string()))?;
        let gate = Mutex::new(gate::Gate::new(tls, read_limits(py, &limits)?));
        Ok(Self { gate, started: Instant::now() })
    }

    #[staticmethod]
    fn default_limits() -> HashMap<&'static str, u64> {
        let mut limits = Limits::default();
        limit_fields(&mut limits).into_iter().map(|(name, field)| (name, field.get())).collect()
    }

    fn replace_trust(
        &self,
        py: Python<'_>,
        epoch: u64,
        anchors: Vec<PyBackedBytes>,
        clock_floor: &Bound<'_, PyAny>,
    ) -> PyResult<Vec<Request>> {
        let clock_floor = seconds(Some(clock_floor))?;
        let anchors: Vec<Vec<u8>> = anchors.iter().map(|der| der.to_vec()).collect();
        let anchors = py.detach(|| Anchors::new(anchors)).map_err(|refusal| errors::refused(py, &refusal))?;
        let trust = Trust { epoch, anchors: Arc::new(anchors), clock_floor };
        Ok(self.step(py, |gate, now| gate.replace_trust(trust, now)))
    }

    fn load_devices(&self, devices: Vec<PyRef<'_, Device>>) {
        let mut gate = self.lock();
        for device in devices {
            gate.amend_device(&device.device_id, device.pin);
        }
    }

    fn open(&self, py: Python<'_>, source: &str) -> (u64, Vec<Request>) {
        let now = self.now();
        let (handle, requests) = py.detach(|| self.lock().open(source, now));
        (handle.unwrap_or(0), requests.into_iter().map(Request::from).collect())
    }

    fn receive(&self, py: Python<'_>, handle: u64, data: PyBackedBytes) -> Vec<Request> {
        self.step(py, |gate, now| gate.receive(handle, &data, now))
    }

    fn end_of_stream(&self, py: Python<'_>, handle: u64) -> Vec<Request> {
        self.step(py, |gate, _| gate.end_of_stream(handle))
    }

    fn lost(&self, py: Python<'_>, handle: u64) -> Vec<Request> {
        self.step(py, |gate, _| gate.lost(handle))
    }

    fn claimed(&self, py: Python<'_>, handle: u64, code: Option<&str>) -> Vec<Request> {
        self.step(py, |gate, now| gate.claimed(handle, code, now))
    }

    fn stored(&self, py: Python<'_>, handle: u64, packet_id: u16) -> Vec<Request> {
        self.step(py, |gate, now| gate.stored(handle, packet_id, now))
    }

    fn tick(&self, py: Python<'_>) -> Vec<Request> {
        self.step(py, gate::Gate::tick)
    }

    fn drain(&self, py: Python<'_>) -> Vec<Request> {
        self.step(py, gate::Gate::drain)
    }

    #[getter]
    fn connections(&self) -> usize {
        self.lock().connections()
    }

    #[getter]
    fn sessions(&self) -> usize {
        self.lock().sessions()
    }

    #[getter]
    fn counters(&self) -> HashMap<&'static str, u64> {
        self.lock().counters().iter().map(|(name, count)| (*name, *count)).collect()
    }
}

impl Gate {
    /// One step of the gate, outside of the interpreter. The TLS library is stepped on this very thread.
    fn step(
        &self,
        py: Python<'_>,
        step: impl FnOnce(&mut gate::Gate, Now) -> Vec<gate::Request> + Send,
    ) -> Vec<Request> {
        let now = self.now();
        py.detach(|| step(&mut self.lock(), now)).into_iter().map(Request::from).collect()
    }

    /// A step that panicked has become a Python exception; the gate's maps are sound at every point where one could.
    fn lock(&self) -> MutexGuard<'_, gate::Gate> {
        self.gate.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Now {
        let monotonic_ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        Now { monotonic_ms, unix: now() }
    }
}

/// One field of the limits, whatever its type.
enum LimitField<'a> {
    Count(&'a mut usize),
    Time(&'a mut u64),
}

impl LimitField<'_> {
    fn get(&self) -> u64 {
        match self {
            Self::Count(count) => u64::try_from(**count).unwrap_or(u64::MAX),
            Self::Time(time) => **time,
        }
    }

    fn set(&mut self, value: u64) {
        match self {
            Self::Count(count) => **count = usize::try_from(value).unwrap_or(usize::MAX),
            Self::Time(time) => **time = value,
        }
    }
}

/// The names by which settings know the limits.
fn limit_fields(limits: &mut Limits) -> [(&'static str, LimitField<'_>); 11] {
    use LimitField::{Count, Time};
    let session = &mut limits.session;
    [
        ("connections_count_max", Count(&mut limits.connections_count_max)),
        ("half_open_count_max", Count(&mut limits.half_open_count_max)),
        ("handshake_deadline_ms", Time(&mut limits.handshake_deadline_ms)),
        ("drain_deadline_ms", Time(&mut limits.drain_deadline_ms)),
        ("drain_bytes_max", Count(&mut limits.drain_bytes_max)),
        ("keep_alive_ms_max", Time(&mut limits.keep_alive_ms_max)),
        ("handshake_bytes_max", Count(&mut session.handshake_bytes_max)),
        ("connect_bytes_max", Count(&mut session.connect_bytes_max)),
        ("packet_bytes_max", Count(&mut session.packet_bytes_max)),
        ("unacknowledged_count_max", Count(&mut session.unacknowledged_count_max)),
        ("filters_count_max", Count(&mut session.filters_count_max)),
    ]
}

fn read_limits(py: Python<'_>, given: &HashMap<String, u64>) -> PyResult<Limits> {
    let mut limits = Limits::default();
    let mut fields = limit_fields(&mut limits);
    for (name, value) in given {
        match fields.iter_mut().find(|(known, _)| known == name) {
            Some((_, field)) if *value > 0 => field.set(*value),
            Some(_) => return Err(errors::configuration(py, "bad_limit", &format!("limit {name} must be above 0"))),
            None => return Err(errors::configuration(py, "unknown_limit", &format!("there is no limit {name}"))),
        }
    }
    Ok(limits)
}

/// What a device's identity is pinned to.
#[pyclass(frozen, from_py_object, module = "holdfast._holdfast")]
#[derive(Clone)]
pub(crate) struct Device {
    device_id: String,
    pin: Pin,
}

#[pymethods]
impl Device {
    #[new]
    fn new(py: Python<'_>, device_id: String, issuer_spki_sha256: &str, leaf_spki_sha256: &str) -> PyResult<Self> {
        let hash = |text| {
            parse_hash(text).ok_or_else(|| errors::local_protocol(py, "bad_hash", "64 hexadecimal digits are wanted"))
        };
        Ok(Self { device_id, pin: Pin { issuer: hash(issuer_spki_sha256)?, leaf: hash(leaf_spki_sha256)? } })
    }

    #[getter]
    fn device_id(&self) -> &str {
        &self.device_id
    }

    #[getter]
    fn issuer_spki_sha256(&self) -> String {
        hex(&self.pin.issuer)
    }

    #[getter]
    fn leaf_spki_sha256(&self) -> String {
        hex(&self.pin.leaf)
    }
}

fn parse_hash(text: &str) -> Option<[u8; 32]> {
    let mut hash = [0; 32];
    if text.len() != 64 || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    for (octet, digits) in hash.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *octet = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(hash)
}

/// Something the loop must do now, in the order given.
#[pyclass(frozen, module = "holdfast._holdfast")]
pub(crate) enum Request {
    Send {
        handle: u64,
        data: Vec<u8>,
    },
    Pause {
        handle: u64,
    },
    Resume {
        handle: u64,
    },
    Finish {
        handle: u64,
    },
    Close {
        handle: u64,
    },
    Claim {
        handle: u64,
        device: Device,
        path_fingerprints: Vec<String>,
        anchor_fingerprint: String,
        rekeyed: bool,
    },
    Store {
        handle: u64,
        packet_id: u16,
        device_id: String,
        redelivered: bool,
        system_properties: Properties,
        properties: Properties,
        payload: Vec<u8>,
    },
    Note {
        level: String,
        event: String,
        fields: BTreeMap<String, Fact>,
    },
}

impl From<gate::Request> for Request {
    fn from(request: gate::Request) -> Self {
        match request {
            gate::Request::Send { handle, data } => Self::Send { handle, data },
            gate::Request::Pause { handle } => Self::Pause { handle },
            gate::Request::Resume { handle } => Self::Resume { handle },
            gate::Request::Finish { handle } => Self::Finish { handle },
            gate::Request::Close { handle } => Self::Close { handle },
            gate::Request::Claim(claim) => {
                let Claim { handle, device_id, pin, rekeyed, .. } = claim;
                let path_fingerprints = claim.path_fingerprints.iter().map(|hash| hex(hash)).collect();
                let anchor_fingerprint = hex(&claim.anchor_fingerprint);
                Self::Claim {
                    handle,
                    device: Device { device_id, pin },
                    path_fingerprints,
                    anchor_fingerprint,
                    rekeyed,
                }
            }
            gate::Request::Store { handle, device_id, telemetry } => {
                let Telemetry { packet_id, redelivered, system_properties, properties, payload, .. } = telemetry;
                let [system_properties, properties] = [system_properties, properties].map(Properties::from_iter);
                Self::Store { handle, packet_id, device_id, redelivered, system_properties, properties, payload }
            }
            gate::Request::Note(Note { level, event, fields, .. }) => {
                let level = match level {
                    Level::Info => "info",
                    Level::Warning => "warning",
                };
                let fields = fields.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
                Self::Note { level: level.to_owned(), event: event.to_owned(), fields }
            }
            // `gate::Request` may grow; this crate is compiled with it, so every variant is above.
            _ => Self::Note { level: "warning".into(), event: "unknown_request".into(), fields: BTreeMap::new() },
        }
    }
}

/// Properties of a message; the last of several values of one name counts.
pub(crate) type Properties = BTreeMap<String, Option<String>>;

/// A fact in a log line.
#[derive(Clone, FromPyObject, IntoPyObject)]
pub(crate) enum Fact {
    Number(i64),
    Text(String),
}

impl From<Value> for Fact {
    fn from(value: Value) -> Self {
        match value {
            Value::Text(text) => Self::Text(text),
            Value::Number(number) => Self::Number(number),
        }
    }
}

/// Codes with which a connection can be refused, the judge's and those of identities included.
#[pyfunction]
pub(crate) fn connection_codes() -> Vec<&'static str> {
    [gate::CODES, Error::CODES, holdfast_session::Fault::CODES].concat()
}
