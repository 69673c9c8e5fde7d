//! ECDSA P-256 verification, many at a time, and in `x25519` agreements likewise.
//!
//! ```text
//! jobs ──kernel──► blocks of 128 ──batch──► s⁻¹ of all at once, scalars cut into digits (comb)
//!                                              │ points from tables: of the generator, of known keys
//!                                              ▼
//!            window ── u₂·Q of unknown keys ──► sum ── levels of additions, one inversion each (affine), the rest (jacobian)
//!                                              │
//!                                              ▼ x = r?
//! decisions ◄──guard── findings: valid, invalid, undecided
//! ```
//!
//! A verifier handles public data only, so nothing of it runs in constant time; `x25519` has secrets, and does. The algorithm is written
//! once, over `lanes`; `portable` (with `montgomery`) and `ifma` do the arithmetic, `inverse` the divisions; `instructions` is what both curves
//! ask of a processor. `ifma` and `x25519::avx2` alone have `unsafe`, each use with its proof.
//!
//! Special cases are not computed here. Where the sums meet equal or opposite points the finding is `Undecided`, and a plain verifier,
//! which the caller has, decides; `guard` also asks it whether the kernel is still to be believed.
#![deny(unsafe_code)]
#![expect(
    clippy::inline_always,
    reason = "code must be inlined into the function that is compiled for the back end's instructions"
)]
#![expect(clippy::large_types_passed_by_value, reason = "vectors live in registers once all is inlined")]
#![expect(clippy::many_single_char_names, reason = "formulas keep the letters of their sources")]

mod affine;
mod batch;
mod comb;
mod guard;
#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "SIMD instructions")]
mod ifma;
mod instructions;
mod inverse;
mod jacobian;
mod kernel;
mod key;
mod lanes;
mod montgomery;
mod portable;
mod signature;
mod strip;
mod sum;
mod window;
mod words;
pub mod x25519;

pub use guard::{Counts, Guard, Health};
pub use kernel::{Backend, Finding, Job, Kernel, KernelError, Key, KeyStrip, KeyTable, Scratch, Verdict};
pub use key::{KeyError, PublicKey};
pub use signature::Signature;

#[cfg(test)]
mod arithmetic_tests;
#[cfg(test)]
mod eight;
#[cfg(test)]
mod strip_tests;
#[cfg(test)]
mod table_tests;
