//! The only crate that has heard of Python: thin classes, one way out of the interpreter, one table of errors.
//!
//! The contract is `python/holdfast/_holdfast.pyi`; stubtest compares the two.

#![allow(clippy::needless_pass_by_value, reason = "PyO3 hands arguments over by value")]

mod backlog;
mod certificate;
mod convert;
mod errors;
mod fleet;
mod gate;
mod inbox;
mod lines;
mod packed;
mod plane;
mod policy;
mod request;
mod stream;
mod verifier;

use pyo3::prelude::*;

/// Of all that is written in Rust here: a handshake is a thousand small pieces that live for milliseconds.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The compiled half of the `holdfast` package.
#[pymodule]
mod _holdfast {
    use pyo3::prelude::*;

    #[pymodule_export]
    use crate::certificate::{Certificate, check_device_id};
    #[pymodule_export]
    use crate::fleet::{FleetChain, FleetDevices, FleetRun, fleet_codes, fleet_kinds};
    #[pymodule_export]
    use crate::gate::{Gate, connection_codes};
    #[pymodule_export]
    use crate::inbox::{InboxMessage, KeptSession, KeptWill};
    #[pymodule_export]
    use crate::packed::{Columns, chain_offsets};
    #[pymodule_export]
    use crate::request::{Device, Request};
    #[pymodule_export]
    use crate::stream::TelemetryWriter;
    #[pymodule_export]
    use crate::verifier::{Explanation, Finding, Outcome, TrustStore, VerifiedPath, Verifier, codes, kernel, mends};

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("POSSESSION_PREFIX", holdfast_x509::POSSESSION_PREFIX)?;
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}
