//! The telemetry log of one worker: appended by one native thread, synced in groups, acknowledged only when durable.
//!
//! `append` queues; the thread takes all that is queued, writes it in one transaction, syncs once, and then reports what is durable. That is
//! group commit: under load a sync serves hundreds of messages, and a lone message waits for nobody.
//!
//! Laws: nothing is reported durable before `COMMIT` has returned with `synchronous=FULL`; after the first failure nothing is ever
//! reported again (I9: an fsync that failed once may have lost what it was asked to keep, and a second try would lie). A full disk is
//! no failure: it undoes the transaction cleanly, and the same messages are written when there is room.
#![forbid(unsafe_code)]

mod store;
mod writer;

use std::sync::Arc;

pub use store::{StoreError, Wait};
pub use writer::{AppendError, Writer};

/// One message to be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "a row of the log")]
pub struct Message {
    /// What the writer reports when the message is durable; 0 as handle asks for no report.
    pub receipt: Receipt,
    /// Who sent it.
    pub device_id: Arc<str>,
    /// When it came, milliseconds since the epoch.
    pub received_at_ms: i64,
    /// Whether the device says that it sent this before.
    pub redelivered: bool,
    /// The `message-id` property, if any: a redelivery of one that is kept already is not kept twice.
    pub message_id: Option<String>,
    /// System properties, a JSON object.
    pub system_properties: String,
    /// Application properties, a JSON object.
    pub properties: String,
    /// The message.
    pub payload: Vec<u8>,
}

impl Message {
    /// The memory that it takes.
    pub fn bytes(&self) -> usize {
        let texts = [&self.system_properties, &self.properties].into_iter().chain(&self.message_id).map(String::len);
        size_of::<Self>() + texts.sum::<usize>() + self.payload.len()
    }
}

/// Names a message to whoever waits for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "connection, packet and size are all there is")]
pub struct Receipt {
    /// The connection's handle.
    pub handle: u64,
    /// Its packet identifier; 0: nobody is told.
    pub packet_id: u16,
    /// What it counts for, by whoever counts.
    pub bytes: u32,
}
