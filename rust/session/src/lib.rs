//! One device connection, stepped: TLS, records, MQTT 3.1.1 and 5.0. It is fed bytes and asked for bytes and events.
//!
//! ```text
//!            receive(bytes) ─▶ ┌──────────────────────────────┐ ─▶ next_event()
//!                              │ Handshaking → Presented      │      Presented · Connect · Telemetry · …
//!  accept · refuse · admit ──▶ │   → Connecting → Deciding    │
//!   acknowledge                │   → Open | Refusing → Ended  │ ─▶ take_output()
//!                              └──────────────────────────────┘
//! ```
//!
//! Laws: no socket, clock or thread; only `handshake.rs` and `sha256.rs` name the TLS library, only they and `cipher.rs` one for cryptography;
//! nothing decrypted leaves before the verdict (I1), and a refused peer meets one fixed machine that reads its CONNECT to answer it and
//! nothing else (`trust.md` §1.4).
#![forbid(unsafe_code)]
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]
#![cfg_attr(test, allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions))]

mod agreement;
mod cipher;
pub mod client;
mod device;
mod error;
mod handshake;
mod hello;
mod inbox;
mod limits;
mod mqtt;
#[cfg(test)]
mod mutations;
mod open;
mod record;
mod sha256;
mod telemetry;
mod tickets;
mod tls;

pub use agreement::Agreement;
pub use device::{Event, Session};
pub use error::{ConfigurationFault, Fault};
pub use handshake::{KnownKeys, PresentedChain, TlsConfig};
pub use hello::may_be_hello;
pub use inbox::{Delivery, Message};
pub use limits::{CONNECT_BYTES_MAX, HANDSHAKE_BYTES_MAX, Limits};
pub use mqtt::{Connect, Goodbye, Reason, Version, Will};
pub use open::{Admission, Qos};
pub use telemetry::{Property, Telemetry};
pub use tickets::{LINEAGE_SECONDS, Reference, RefusedTickets, TICKET_KEY_LENGTH, Tickets};
