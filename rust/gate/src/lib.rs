//! All connections of one worker: handles, verdicts, identities, deadlines. It joins sessions and engine, and nobody else does.
//!
//! Every call returns what the loop must do, in order. Times are arguments; nothing here blocks, sleeps, or opens a socket.
#![forbid(unsafe_code)]
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]
#![cfg_attr(test, allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions))]

mod admission;
mod agreements;
mod connection;
mod crowd;
mod deadlines;
mod ends;
mod flaps;
mod gate;
mod halves;
mod inbox;
mod judges;
mod judging;
mod known;
mod limits;
mod paths;
mod quota;
mod request;
mod sessions;
mod slots;
mod sources;
mod strangers;
mod tickets;
mod turns;
mod verdicts;
mod wills;

pub use gate::Gate;
pub use holdfast_session::{
    CONNECT_BYTES_MAX, ConfigurationFault, HANDSHAKE_BYTES_MAX, Message, TICKET_KEY_LENGTH, Tickets, TlsConfig,
};
pub use judges::Judges;
pub use judging::BATCH_SIZES;
pub use limits::{DRAIN_BYTES_MAX, DRAIN_DEADLINE_MS_MAX, HANDSHAKE_DEADLINE_MS_MAX, LEASE_MS_MAX, Limits};
pub use request::{Claim, KeptWill, Level, Note, Request, Value};
pub use tickets::{LiveTicket, ToldAdmission, read_admissions, write_admissions};
pub use verdicts::{Batch, Verdict};

use holdfast_x509::UnixSeconds;

/// The present, as the caller sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "two clocks are all there is")]
pub struct Now {
    /// Milliseconds of a clock that never goes back: deadlines.
    pub monotonic_ms: u64,
    /// The calendar: certificates.
    pub unix: UnixSeconds,
}

impl Now {
    /// Milliseconds until `at` of the calendar; 0 when it has passed.
    pub(crate) fn until(self, at: UnixSeconds) -> u64 {
        u64::try_from(at.0.saturating_sub(self.unix.0)).unwrap_or(0).saturating_mul(1_000)
    }
}

/// Codes of refusals that are the gate's own; those of the judge and the session are in their crates.
pub const CODES: &[&str] = &[
    "authentication_method",
    "client_id_mismatch",
    "clock_behind",
    "closed_too_often",
    "connection_limit",
    "draining",
    "handshake_deadline",
    "identity_case_conflict",
    "identity_pinned",
    "kernel_doubted",
    "lease_lapsed",
    "no_certificate",
    "rekeyed_while_live",
    "resumed_unpinned",
    "shed",
    "source_limit",
    "taken_over_too_often",
    "ticket_void",
    "unknown_source_limit",
    "user_name_mismatch",
    "will_not_allowed",
];
