//! The sockets of one worker: accepts, reads, writes, closes; knows no protocol.
//!
//! ```text
//!   listener ─▶ accept ─┐            ┌─▶ open · receive · end_of_stream · lost · set_writable · turn
//!   socket ──▶ read ────┼─▶ Front ───┤
//!   socket ◀── write ───┘            └── Send · Pause · Resume · Finish · Close · Turn ◀─ Behind (the gate)
//! ```
//!
//! Laws: nothing blocks; nobody is served twice in a turn before everybody was once; what is said to a peer in one turn leaves in one
//! write; a peer that does not read costs a bounded queue; times are arguments.
#![forbid(unsafe_code)]
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]
#![cfg_attr(test, allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions))]

mod behind;
mod front;
mod listeners;
mod narrow;
mod socket;
mod sockets;

pub use behind::Behind;
pub use front::{Front, guarded};
