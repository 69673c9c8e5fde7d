//! How values cross: times both ways, properties into the log. Immutable `bytes` are borrowed by `PyBackedBytes`, all else is copied.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use holdfast_x509::UnixSeconds;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyList, PyTuple, PyType};

use crate::errors;

/// The system's clock, whole seconds, rounded down.
pub(crate) fn now() -> UnixSeconds {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    UnixSeconds(i64::try_from(since).unwrap_or(i64::MAX))
}

/// The system's clock, milliseconds.
pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
    i64::try_from(since).unwrap_or(i64::MAX)
}

/// An aware datetime as whole seconds, rounded down (so that both ends of a validity are inside); `None` is now.
pub(crate) fn seconds(at: Option<&Bound<'_, PyAny>>) -> PyResult<UnixSeconds> {
    let Some(at) = at else { return Ok(now()) };
    if at.getattr("tzinfo")?.is_none() {
        return Err(errors::local_protocol(at.py(), "naive_datetime", "a timezone-aware datetime is wanted"));
    }
    let timestamp: f64 = at.call_method0("timestamp")?.extract()?;
    // Datetimes span years 1–9999: far inside what an f64 holds exactly in whole seconds.
    #[expect(clippy::cast_possible_truncation, reason = "the range of datetime is far inside i64")]
    Ok(UnixSeconds(timestamp.floor() as i64))
}

/// Seconds as an aware datetime, UTC.
pub(crate) fn datetime(py: Python<'_>, at: UnixSeconds) -> PyResult<Bound<'_, PyAny>> {
    static DATETIME: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    static UTC: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let utc =
        UTC.get_or_try_init(py, || py.import("datetime")?.getattr("timezone")?.getattr("utc").map(Bound::unbind))?;
    DATETIME.import(py, "datetime", "datetime")?.call_method1("fromtimestamp", (at.0, utc))
}

/// A sequence of sequences of `bytes`, in two allocations: a hundred thousand small ones take as long as judging a tenth of the chains.
pub(crate) struct Chains {
    certificates: Vec<PyBackedBytes>,
    /// Where each chain ends.
    ends: Vec<usize>,
}

impl Chains {
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(crate) fn slices(&self) -> Vec<&[PyBackedBytes]> {
        let starts = [0].into_iter().chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, &end)| self.certificates.get(start..end).unwrap_or_default()).collect()
    }
}

impl<'py> FromPyObject<'_, 'py> for Chains {
    type Error = PyErr;

    fn extract(given: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        let mut chains = Self { certificates: Vec::new(), ends: Vec::new() };
        let Self { certificates, ends } = &mut chains;
        for_each(&given, |chain| {
            for_each(&chain, |certificate| {
                certificates.push(match certificate.cast_into::<PyBytes>() {
                    Ok(bytes) => bytes.into(),
                    Err(other) => other.into_inner().extract()?,
                });
                Ok(())
            })?;
            ends.push(certificates.len());
            Ok(())
        })?;
        Ok(chains)
    }
}

/// Each item of a sequence. Lists and tuples, which is what callers have, are read without a detour through iterators of Python's.
fn for_each<'py>(given: &Bound<'py, PyAny>, each: impl FnMut(Bound<'py, PyAny>) -> PyResult<()>) -> PyResult<()> {
    if let Ok(list) = given.cast_exact::<PyList>() {
        list.iter().try_for_each(each)
    } else if let Ok(tuple) = given.cast_exact::<PyTuple>() {
        tuple.iter().try_for_each(each)
    } else {
        given.extract::<Vec<Bound<'py, PyAny>>>()?.into_iter().try_for_each(each)
    }
}

/// Properties as a JSON object; the last of several values of one name counts.
pub(crate) fn json_object(properties: impl IntoIterator<Item = (String, Option<String>)>) -> String {
    let properties: BTreeMap<String, Option<String>> = properties.into_iter().collect();
    // Text and nulls: there is nothing in it that JSON cannot say.
    serde_json::to_string(&properties).unwrap_or_else(|_| "{}".to_owned())
}

/// A JSON object of texts and nulls as properties; `None` for anything else.
pub(crate) fn properties(json: &str) -> Option<Vec<(String, Option<String>)>> {
    let properties: BTreeMap<String, Option<String>> = serde_json::from_str(json).ok()?;
    Some(properties.into_iter().collect())
}

/// Milliseconds since the epoch as stock SDKs read times: UTC, seven digits of fraction (wire contract §2.2).
pub(crate) fn round_trip_time(at_ms: i64) -> String {
    let (seconds, milliseconds) = (at_ms.div_euclid(1_000), at_ms.rem_euclid(1_000));
    let whole = UnixSeconds(seconds).to_string();
    format!("{}.{milliseconds:03}0000Z", whole.trim_end_matches('Z'))
}

/// A SHA-256 in hexadecimal.
pub(crate) fn parse_hash(text: &str) -> Option<[u8; 32]> {
    let mut hash = [0; 32];
    if text.len() != 64 || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    for (octet, digits) in hash.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *octet = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_the_form_that_stock_sdks_read() {
        assert_eq!(round_trip_time(1_893_553_445_000), "2030-01-02T03:04:05.0000000Z");
        assert_eq!(round_trip_time(1_893_553_445_678), "2030-01-02T03:04:05.6780000Z");
        assert_eq!(round_trip_time(-1), "1969-12-31T23:59:59.9990000Z");
    }

    #[test]
    fn properties_are_texts_or_nothing() {
        let wanted = vec![("a".to_owned(), Some("1".to_owned())), ("b".to_owned(), None)];
        assert_eq!(properties(r#"{"b": null, "a": "1"}"#), Some(wanted));
        for bad in ["", "[]", "{\"a\": 1}", "{\"a\": {}}", "{"] {
            assert_eq!(properties(bad), None, "{bad}");
        }
    }
}
