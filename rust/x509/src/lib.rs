//! Bytes, anchors, a policy and a time in; candidate paths with the signatures they need, or one reason, out.
//!
//! What is checked here: strict DER (X.690 §8–11) of everything that is read; RFC 5280 §6.1 for one ordered path —
//! validity, name chaining, basic constraints, path length, key usage, extended key usage, critical extensions; the
//! algorithm profile of `policy`; every bound of [`Limits`].
//!
//! What the caller must still do: check each [`SignatureJob`] of a candidate and [`Search::report`] it. A path is good
//! only when [`Search::next`] says [`Step::Accepted`]. Whether the peer *holds* the end entity's key is TLS's part.
//!
//! What is not implemented yet (name constraints, policy processing, revocation, server names) is refused by name as
//! `unsupported_…`, never ignored.
//!
//! Laws: no arithmetic of signatures, no clock, no I/O, no allocation in proportion to anything but the chain's length.
#![forbid(unsafe_code)]
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]
#![cfg_attr(test, allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions))]

mod anchors;
mod certificate;
mod der;
mod error;
mod extension;
mod identity;
mod name;
mod path;
mod policy;
mod signature;
mod time;
mod validate;

pub use anchors::{Anchor, Anchors};
pub use certificate::{Certificate, SubjectPublicKeyInfo, Version};
pub use der::DerFault;
pub use error::{Error, Refusal};
pub use extension::{BasicConstraints, Extensions, KeyUsage};
pub use identity::{POSSESSION_PREFIX, check_device_id, device_id, sole_common_name};
pub use name::Name;
pub use path::{AcceptedPath, Candidate, Edge, Node, Search, Step};
pub use policy::{KeyAlgorithms, Leniency, Limits, Policy, Purpose};
pub use signature::{AlgorithmIdentifier, PublicKeyAlgorithm, SignatureAlgorithm, SignatureJob};
pub use time::{UnixSeconds, Validity};
pub use validate::{check_anchor, check_in_date};
