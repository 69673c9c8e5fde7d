//! A million pretend devices: makes supply chains and devices in bulk, connects them to any hub, and measures what it does.
//!
//! ```text
//!  chain ─▶ pack (file) ─▶ wardrobe ─▶ device + tls ─▶ worker (mio, one a thread) ─▶ stats ─▶ run
//! ```
//!
//! Laws: only `crypto.rs` names aws-lc-rs, only `tls.rs` names rustls, only `worker` and `run.rs` know the time. Whatever a
//! target does to a connection is counted by name; nothing that it sends or leaves unsent can hang or end the run.
#![forbid(unsafe_code)]
#![allow(
    clippy::indexing_slicing,
    reason = "indices here are ours: no length a peer claims is used before the codec has checked it"
)]

mod chain;
mod crypto;
mod der;
mod device;
mod error;
mod histogram;
mod kinds;
mod pack;
mod plan;
mod run;
mod socket;
mod stats;
mod tls;
mod wardrobe;
mod worker;

pub use chain::{Authority, SupplyChain, Validity};
pub use error::Error;
pub use histogram::Histogram;
pub use kinds::{Expected, KINDS, Kind};
pub use pack::{Devices, make_devices};
pub use plan::{Application, Crowd, Plan, Publish, Stay};
pub use run::Run;
pub use stats::{CrowdStats, Endings, RoundStats, Second};
pub use tls::Version;
