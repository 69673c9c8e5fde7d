//! What keeps a fleet from being made or run. What a target does to a connection is an ending, not an error.

use std::fmt;

/// A stable code, and what was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    code: &'static str,
    detail: String,
}

impl Error {
    pub(crate) fn new(code: &'static str, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into() }
    }

    pub(crate) fn io(code: &'static str, error: &std::io::Error) -> Self {
        Self::new(code, error.to_string())
    }

    /// The stable slug.
    pub fn code(&self) -> &'static str {
        self.code
    }

    /// Every code there is.
    pub const CODES: &'static [&'static str] = &[
        "bad_fleet",
        "bad_fleet_file",
        "bad_key",
        "ca_key_missing",
        "fleet_file_failed",
        "key_failed",
        "no_poll",
        "no_such_device",
        "unknown_misbehaviour",
    ];
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.detail)
    }
}

impl std::error::Error for Error {}
