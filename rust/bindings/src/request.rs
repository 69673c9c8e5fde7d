//! What the loop must do, as Python sees it.

use holdfast_engine::hex;
use holdfast_gate::{self as gate, Claim};
use holdfast_roster::Pin;
use pyo3::prelude::*;

use crate::convert::parse_hash;
use crate::errors;
use crate::inbox::{KeptSession, KeptWill};

/// What a device's identity is pinned to.
#[pyclass(frozen, from_py_object, module = "holdfast._holdfast")]
#[derive(Clone)]
pub(crate) struct Device {
    pub(crate) device_id: String,
    pub(crate) pin: Pin,
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

/// Something the loop must do now, in the order given.
#[pyclass(frozen, module = "holdfast._holdfast")]
pub(crate) enum Request {
    Tick { after_ms: u64 },
    Keep { handle: u64, device_id: String, session: Option<KeptSession> },
    KeepWill { device_id: String, will: Option<KeptWill> },
    Fetch { handle: u64, device_id: String, after: u64, count_max: usize, bytes_max: usize },
    Complete { device_id: String, message: u64 },
    Turn {},
    Path { chain: Vec<Vec<u8>> },
    Claim { handle: u64, device: Device, fingerprint: Vec<u8>, path: Vec<u8>, before: Option<Device> },
    Log {},
}

impl Request {
    /// `None` for what the compiled half does by itself: sockets, messages, which go to the log without Python, and lines, which are asked for once.
    pub(crate) fn of(request: gate::Request) -> Option<Self> {
        Some(match request {
            gate::Request::Tick { after_ms } => Self::Tick { after_ms },
            gate::Request::Turn => Self::Turn {},
            gate::Request::Path { chain } => Self::Path { chain },
            gate::Request::Claim(claim) => {
                let Claim { handle, device_id, pin, before, .. } = claim;
                let before = before.map(|pin| Device { device_id: device_id.clone(), pin });
                let (device, path) = (Device { device_id, pin }, claim.path.concat());
                Self::Claim { handle, device, fingerprint: claim.fingerprint.to_vec(), path, before }
            }
            gate::Request::Keep { handle, device_id, session } => {
                Self::Keep { handle, device_id: device_id.to_string(), session: session.map(KeptSession) }
            }
            gate::Request::KeepWill { device_id, will } => {
                Self::KeepWill { device_id: device_id.to_string(), will: will.map(|will| KeptWill(*will)) }
            }
            gate::Request::Fetch { handle, device_id, after, count_max, bytes_max } => {
                Self::Fetch { handle, device_id: device_id.to_string(), after, count_max, bytes_max }
            }
            gate::Request::Complete { device_id, message } => {
                Self::Complete { device_id: device_id.to_string(), message }
            }
            // `gate::Request` may grow; this crate is compiled with it, so every other variant is above.
            gate::Request::Store { .. } | _ => return None,
        })
    }
}
