//! Bytes, anchors, a policy and a time in; candidate paths with the signatures they need, or one reason, out.
//!
//! What is checked here: strict DER (X.690 §8–11) of everything that is read; RFC 5280 §6.1 for one ordered path — validity, name
//! chaining, basic constraints, path length, key usage, extended key usage, critical extensions, name constraints, certificate policies
//! (RFC 9618); §6.3 revocation by lists, deltas and indirect ones included; server names (RFC 9525); the algorithm profile of `policy`; every bound of [`Limits`].
//!
//! What the caller must still do: check each [`SignatureJob`] of a candidate and [`Search::report`] it. A path is good
//! only when [`Search::next`] says [`Step::Accepted`]. Whether the peer *holds* the end entity's key is TLS's part.
//!
//! What is not understood (critical extensions, constraints on kinds of names) is refused by name, never ignored.
//!
//! Laws: no arithmetic of signatures, no clock, no I/O, no allocation in proportion to anything but the bytes given.
#![forbid(unsafe_code)]
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]
#![cfg_attr(test, allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions))]

mod anchors;
mod budget;
mod certificate;
mod context;
mod der;
mod error;
mod examine;
mod extension;
mod general_name;
mod identity;
mod issuers;
mod name;
mod name_constraints;
mod path;
mod policies;
mod policy;
mod revocation;
mod sequence;
mod server_name;
mod shown;
mod signature;
mod status;
mod time;
mod validate;
mod web;

pub use anchors::{Anchor, Anchors};
pub use budget::Spent;
pub use certificate::{Certificate, SubjectPublicKeyInfo, Version};
pub use context::Context;
pub use der::DerFault;
pub use error::{Error, Refusal};
pub use examine::{Finding, examine, follow};
pub use extension::{BasicConstraints, Extensions, KeyUsage};
pub use identity::{POSSESSION_PREFIX, check_device_id, device_id, sole_common_name};
pub use issuers::Issuers;
pub use name::{Name, oid_from_text};
pub use path::{AcceptedPath, Candidate, Edge, Node, Search, Signed, Step, Tried, check_size};
pub use policies::{Demand, PolicyInputs};
pub use policy::{
    Closed, Closures, ExtendedKeyUsage, KeyAlgorithms, Leniency, Limits, Policy, Purpose, Revocation, RevocationDepth,
    StaleLists, UnknownStatus,
};
pub use revocation::{RevocationList, RevocationLists, RevocationReason};
pub use sequence::{continues_chain, split_certificates};
pub use server_name::ServerName;
pub use shown::ShownExtension;
pub use signature::{AlgorithmIdentifier, PssHash, PublicKeyAlgorithm, SignatureAlgorithm, SignatureJob};
pub use time::{UnixSeconds, Validity};
pub use validate::{Rule, check_anchor, check_in_date};
