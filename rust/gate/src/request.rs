//! What the loop is asked to do.

use std::sync::Arc;

use holdfast_roster::{KeptSession, Pin};
use holdfast_session::Telemetry;
use holdfast_x509::UnixSeconds;

/// One thing to do now, in the order given.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Request {
    /// Write `data`.
    Send {
        /// To this connection.
        handle: u64,
        /// These bytes.
        data: Vec<u8>,
    },
    /// Stop reading until `Resume`: too much of this peer's is in hand.
    Pause {
        /// From this connection.
        handle: u64,
    },
    /// Read again.
    Resume {
        /// From this connection.
        handle: u64,
    },
    /// After what was sent, shut down writing; keep reading until `Close`.
    Finish {
        /// This connection.
        handle: u64,
    },
    /// Close the transport; the handle is gone.
    Close {
        /// This connection.
        handle: u64,
    },
    /// Call `Gate::tick` that soon: chains wait for company, but not for long.
    Tick {
        /// From now on.
        after_ms: u64,
    },
    /// Call `Gate::turn` in the loop's next turn, after whatever else it has to do: strangers wait to be worked for.
    Turn,
    /// Record a path that was met for the first time; claims that come after this may be of it.
    Path {
        /// Its CA certificates, the device's issuer first, the anchor last.
        chain: Vec<Vec<u8>>,
    },
    /// Commit a claim durably, then call `Gate::claimed`.
    Claim(Claim),
    /// Store a message durably, then call `Gate::stored` unless its packet id is 0.
    Store {
        /// From this connection.
        handle: u64,
        /// Admitted as this device.
        device_id: Arc<str>,
        /// The message.
        telemetry: Telemetry,
    },
    /// Keep what has become of a device's session; where somebody waits for it, call `Gate::kept` when that is durable.
    Keep {
        /// The connection that waits; 0: nobody does.
        handle: u64,
        /// Whose session.
        device_id: Arc<str>,
        /// `None`: nothing is kept of it any more.
        session: Option<KeptSession>,
    },
    /// Keep a device's will for the case that nobody here lives to publish it.
    KeepWill {
        /// Whose will.
        device_id: Arc<str>,
        /// `None`: it is published, or never will be.
        will: Option<Box<KeptWill>>,
    },
    /// Ask for messages that are kept for a device, in their order, then call `Gate::deliver_messages`.
    Fetch {
        /// For this connection.
        handle: u64,
        /// Admitted as this device.
        device_id: Arc<str>,
        /// Behind this message; 0: from the first on.
        after: u64,
        /// So many at the most.
        count_max: usize,
        /// So many bytes of payload at the most, but at least one message.
        bytes_max: usize,
    },
    /// A message that was kept for a device is done with.
    Complete {
        /// For this device.
        device_id: Arc<str>,
        /// This message.
        message: u64,
    },
    /// Write a line into the log.
    Note(Note),
}

/// A will, with all that decides whether it may still be published.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "a row of the inbox")]
pub struct KeptWill {
    /// What is to be published.
    pub telemetry: Telemetry,
    /// Seconds between the end of the connection and its publication.
    pub delay_seconds: u32,
    /// When it is to be published; `None` while its device is connected.
    pub due: Option<UnixSeconds>,
    /// SHA-256 of the anchor under which its device was admitted.
    pub anchor_fingerprint: [u8; 32],
    /// SHA-256 of each certificate and each key on that path, its own among them.
    pub vouchers: Box<[[u8; 32]]>,
    /// When that path ends.
    pub not_after: UnixSeconds,
}

/// An identity that nobody has claimed, or that is pinned to keys which these may replace.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Claim {
    /// On this connection.
    pub handle: u64,
    /// The identity.
    pub device_id: String,
    /// The keys it is to be pinned to.
    pub pin: Pin,
    /// SHA-256 of the device's certificate.
    pub fingerprint: [u8; 32],
    /// SHA-256 of each CA certificate of the path, the device's issuer first, the anchor last.
    pub path: Box<[[u8; 32]]>,
    /// What it is pinned to, as this worker knows: to another key of the same issuer, or to an issuer that this one succeeds.
    pub before: Option<Pin>,
}

/// A line for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Note {
    /// How loud.
    pub level: Level,
    /// What happened: a slug.
    pub event: &'static str,
    /// Facts; text from a peer is escaped and cut.
    pub fields: Vec<(&'static str, Value)>,
}

impl Note {
    /// A line. Text from a peer must have gone through `Value::peer`'s escape where a person will read it.
    pub fn new(level: Level, event: &'static str, fields: Vec<(&'static str, Value)>) -> Self {
        Self { level, event, fields }
    }
}

/// How loud a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "the log's own levels")]
pub enum Level {
    /// What happens all day.
    Info,
    /// What somebody should look at.
    Warning,
    /// What somebody must look at now.
    Critical,
}

/// A fact in a line.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "what JSON can say of a fact")]
pub enum Value {
    /// Text.
    Text(String),
    /// A count, a position, a time.
    Number(i64),
    /// Whether it is so.
    Truth(bool),
}

/// Longest text from a peer in a line (attack catalogue, U5).
const TEXT_CHARACTERS_MAX: usize = 256;

impl Value {
    /// Text that a peer may have chosen: escaped, cut.
    pub(crate) fn peer(text: &str) -> Self {
        Self::Text(
            text.chars().take(TEXT_CHARACTERS_MAX).flat_map(char::escape_debug).take(TEXT_CHARACTERS_MAX).collect(),
        )
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<usize> for Value {
    fn from(number: usize) -> Self {
        Self::Number(i64::try_from(number).unwrap_or(i64::MAX))
    }
}
