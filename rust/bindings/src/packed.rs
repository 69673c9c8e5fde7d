//! Many chains in one buffer in, columns out: no Python object for any certificate or chain.

use std::collections::HashMap;
use std::sync::OnceLock;

use holdfast_engine::VerifiedPath;
use holdfast_x509::{Error, Refusal, continues_chain, split_certificates};
use pyo3::buffer::PyBuffer;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::PyBytes;

use crate::errors;

/// One octet more than a code: the chain was accepted.
const NO_CODE: u16 = u16::MAX;
/// No certificate is at fault.
const NO_POSITION: i16 = -1;

/// What came of many chains, column by column. Numbers are little-endian, one entry a chain.
#[pyclass(frozen, module = "holdfast._holdfast")]
pub(crate) struct Columns {
    count: usize,
    /// One octet each: 1 or 0.
    #[pyo3(get)]
    ok: Py<PyBytes>,
    #[pyo3(get)]
    codes: Py<PyBytes>,
    #[pyo3(get)]
    positions: Py<PyBytes>,
    #[pyo3(get)]
    not_after: Py<PyBytes>,
    #[pyo3(get)]
    fingerprints: Py<PyBytes>,
    #[pyo3(get)]
    anchor_fingerprints: Py<PyBytes>,
    #[pyo3(get)]
    common_name_offsets: Py<PyBytes>,
    #[pyo3(get)]
    common_names: Py<PyBytes>,
    #[pyo3(get)]
    message_offsets: Py<PyBytes>,
    #[pyo3(get)]
    messages: Py<PyBytes>,
}

#[pymethods]
impl Columns {
    fn __len__(&self) -> usize {
        self.count
    }
}

/// The columns as they grow.
#[derive(Default)]
struct Growing {
    ok: Vec<u8>,
    codes: Vec<u8>,
    positions: Vec<u8>,
    not_after: Vec<u8>,
    fingerprints: Vec<u8>,
    anchor_fingerprints: Vec<u8>,
    common_names: Text,
    messages: Text,
}

/// Texts one after another, and where each begins and ends.
struct Text {
    offsets: Vec<u8>,
    octets: Vec<u8>,
}

impl Default for Text {
    fn default() -> Self {
        Self { offsets: 0_i64.to_le_bytes().to_vec(), octets: Vec::new() }
    }
}

impl Text {
    fn push(&mut self, text: &str) {
        self.octets.extend_from_slice(text.as_bytes());
        // A buffer in memory is shorter than 2^63.
        self.offsets.extend(i64::try_from(self.octets.len()).unwrap_or(i64::MAX).to_le_bytes());
    }
}

/// The number of a code in `codes()`.
fn number(code: &'static str) -> u16 {
    static NUMBERS: OnceLock<HashMap<&'static str, u16>> = OnceLock::new();
    let numbers = NUMBERS.get_or_init(|| Error::CODES.iter().copied().zip(0..).collect());
    // The table has every code; were one missing, the chain would still not be ok.
    numbers.get(code).copied().unwrap_or(NO_CODE)
}

impl Growing {
    fn push(&mut self, outcome: &Result<VerifiedPath, Refusal>) {
        match outcome {
            Ok(path) => {
                self.ok.push(1);
                self.codes.extend(NO_CODE.to_le_bytes());
                self.positions.extend(NO_POSITION.to_le_bytes());
                self.not_after.extend(path.not_after().0.to_le_bytes());
                self.fingerprints.extend(path.fingerprints().first().unwrap_or(&[0; 32]));
                self.anchor_fingerprints.extend(path.anchor_fingerprint());
                self.common_names.push(path.common_name().unwrap_or_default());
                self.messages.push("");
            }
            Err(refusal) => {
                self.ok.push(0);
                self.codes.extend(number(refusal.code()).to_le_bytes());
                let position = refusal.position.and_then(|position| i16::try_from(position).ok());
                self.positions.extend(position.unwrap_or(NO_POSITION).to_le_bytes());
                self.not_after.extend(0_i64.to_le_bytes());
                self.fingerprints.extend([0; 32]);
                self.anchor_fingerprints.extend([0; 32]);
                self.common_names.push("");
                self.messages.push(&refusal.error.to_string());
            }
        }
    }
}

impl Columns {
    /// Made with the interpreter released; only the finished columns cross.
    pub(crate) fn of(py: Python<'_>, outcomes: Vec<Result<VerifiedPath, Refusal>>) -> Self {
        let count = outcomes.len();
        let columns = py.detach(|| {
            let mut columns = Growing::default();
            for outcome in outcomes {
                columns.push(&outcome);
            }
            columns
        });
        let bytes = |column: &[u8]| PyBytes::new(py, column).unbind();
        Self {
            count,
            ok: bytes(&columns.ok),
            codes: bytes(&columns.codes),
            positions: bytes(&columns.positions),
            not_after: bytes(&columns.not_after),
            fingerprints: bytes(&columns.fingerprints),
            anchor_fingerprints: bytes(&columns.anchor_fingerprints),
            common_name_offsets: bytes(&columns.common_names.offsets),
            common_names: bytes(&columns.common_names.octets),
            message_offsets: bytes(&columns.messages.offsets),
            messages: bytes(&columns.messages.octets),
        }
    }
}

/// Bytes to read from: `bytes` are borrowed, of anything writable there is a copy.
pub(crate) enum Octets {
    Borrowed(PyBackedBytes),
    Copied(Vec<u8>),
}

impl AsRef<[u8]> for Octets {
    fn as_ref(&self) -> &[u8] {
        match self {
            Self::Borrowed(bytes) => bytes,
            Self::Copied(bytes) => bytes,
        }
    }
}

pub(crate) fn octets(given: &Bound<'_, PyAny>) -> PyResult<Octets> {
    if let Ok(bytes) = given.cast::<PyBytes>() {
        return Ok(Octets::Borrowed(bytes.clone().into()));
    }
    Ok(Octets::Copied(PyBuffer::<u8>::get(given)?.to_vec(given.py())?))
}

/// Where chains begin, and at last where the last one ends.
pub(crate) fn offsets(given: &Bound<'_, PyAny>, length: usize) -> PyResult<Vec<usize>> {
    let py = given.py();
    // An empty array may have no address.
    if given.len().is_ok_and(|count| count == 0) {
        return Ok(Vec::new());
    }
    let numbers: Vec<i64> = match PyBuffer::<i64>::get(given) {
        Ok(buffer) => buffer.to_vec(py)?,
        Err(_) => PyBuffer::<i32>::get(given)?.to_vec(py)?.into_iter().map(i64::from).collect(),
    };
    let mut offsets = Vec::with_capacity(numbers.len());
    for number in numbers {
        let offset = usize::try_from(number).ok().filter(|offset| *offset <= length);
        match offset {
            Some(offset) if offsets.last().is_none_or(|last| *last <= offset) => offsets.push(offset),
            _ => {
                let message =
                    format!("offset {number} is not between the one before it and the buffer's end, {length}");
                return Err(errors::local_protocol(py, "bad_offsets", &message));
            }
        }
    }
    Ok(offsets)
}

/// Where chains begin in certificates that stand one after another: offsets as `Verifier.verify_packed` takes them, of complete chains
/// only. What follows the last offset is not complete yet, unless `last`.
#[pyfunction]
#[pyo3(signature = (buffer, *, certificates = None, last = true))]
pub(crate) fn chain_offsets<'py>(
    py: Python<'py>,
    buffer: &Bound<'py, PyAny>,
    certificates: Option<usize>,
    last: bool,
) -> PyResult<Bound<'py, PyBytes>> {
    let octets = octets(buffer)?;
    let offsets = py.detach(|| {
        let bytes = octets.as_ref();
        let mut pieces: Vec<&[u8]> = split_certificates(bytes).collect();
        if !last {
            // It may not be whole; and the chain before it may be the one that it continues.
            pieces.pop();
        }
        let mut offsets: Vec<usize> = Vec::new();
        let (mut at, mut in_chain, mut below) = (0_usize, 0_usize, None);
        for certificate in pieces {
            let goes_on = match (certificates, below) {
                (_, None) => false,
                (Some(count), Some(_)) => in_chain < count,
                (None, Some(below)) => continues_chain(below, certificate),
            };
            if !goes_on {
                offsets.push(at);
                in_chain = 0;
            }
            (at, in_chain, below) =
                (at.saturating_add(certificate.len()), in_chain.saturating_add(1), Some(certificate));
        }
        if last {
            offsets.push(bytes.len());
        }
        offsets.iter().flat_map(|offset| i64::try_from(*offset).unwrap_or(i64::MAX).to_le_bytes()).collect::<Vec<u8>>()
    });
    Ok(PyBytes::new(py, &offsets))
}
