//! Many presented chains in, as many outcomes out: parse, search, judge, and the signatures of all of them together.
#![forbid(unsafe_code)]

mod backend;
mod batch;
mod lists;
mod possession;
mod verified;

use std::sync::{Arc, OnceLock};

use holdfast_x509::{Anchors, Context, Policy, Refusal, UnixSeconds};
use rayon::prelude::*;

use lists::ListFacts;

pub use backend::sha256;
pub use possession::{check_issued_by, check_signature, verify_signature};
pub use verified::{VerifiedPath, hex};

/// Chains that one thread takes at a time: enough that a link shared by all is checked once for many, few enough that
/// two threads share a batch evenly.
const BLOCK_CHAINS_COUNT: usize = 1024;

/// Judges chains against one set of anchors under one policy.
#[derive(Debug)]
pub struct Verifier {
    anchors: Arc<Anchors>,
    policy: Policy,
    lists: ListFacts,
}

impl Verifier {
    /// A verifier; beside its arguments it remembers only whose key signed which of the policy's revocation lists.
    pub fn new(anchors: Arc<Anchors>, policy: Policy) -> Self {
        Self { anchors, policy, lists: ListFacts::default() }
    }

    /// The policy it judges by.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The anchors it judges under.
    pub fn anchors(&self) -> &Anchors {
        &self.anchors
    }

    /// Judges one chain: DER certificates, end entity first, the others in any order, at `at`.
    ///
    /// # Errors
    /// The most telling reason, with the position in the path tried. Work is bounded by the policy's limits.
    pub fn verify(&self, chain: &[&[u8]], at: UnixSeconds) -> Result<VerifiedPath, Refusal> {
        self.verify_presented(chain, at, 0)
    }

    /// As [`Verifier::verify`], with `units_spent` signature units already used up by the peer's handshake signature.
    ///
    /// # Errors
    /// As [`Verifier::verify`].
    pub fn verify_presented(
        &self,
        chain: &[&[u8]],
        at: UnixSeconds,
        units_spent: u32,
    ) -> Result<VerifiedPath, Refusal> {
        batch::verify_one(chain, &Context::new(&self.anchors, &self.policy, at), &self.lists, units_spent)
    }

    /// Judges many chains; one outcome each, in order. Signatures that several chains share are checked once a block.
    /// `threads`: 1 stays on the caller's thread, 0 uses every core when there is more than one block.
    pub fn verify_many<C: AsRef<[D]> + Sync, D: AsRef<[u8]> + Sync>(
        &self,
        chains: &[C],
        at: UnixSeconds,
        threads: usize,
    ) -> Vec<Result<VerifiedPath, Refusal>> {
        let block =
            |chains: &[C]| batch::verify_block(chains, &Context::new(&self.anchors, &self.policy, at), &self.lists);
        match pool(threads) {
            Some(pool) if chains.len() > BLOCK_CHAINS_COUNT => {
                pool.install(|| chains.par_chunks(BLOCK_CHAINS_COUNT).flat_map_iter(block).collect())
            }
            _ => chains.chunks(BLOCK_CHAINS_COUNT).flat_map(block).collect(),
        }
    }
}

/// The process's own threads, made when first needed; `None` where the caller's thread is to do the work.
fn pool(threads: usize) -> Option<&'static rayon::ThreadPool> {
    static POOL: OnceLock<Option<rayon::ThreadPool>> = OnceLock::new();
    if threads == 1 {
        return None;
    }
    let build = || rayon::ThreadPoolBuilder::new().thread_name(|index| format!("holdfast-engine-{index}")).build().ok();
    POOL.get_or_init(build).as_ref()
}
