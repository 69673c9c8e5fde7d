//! Many presented chains in, as many outcomes out: parse, search, judge, and the signatures of all of them together.
//! Beside them, and by the same lanes, key agreements of many handshakes.
#![forbid(unsafe_code)]

mod agreement;
mod backend;
mod batch;
mod bulk;
mod closures;
mod explain;
mod facts;
mod family;
mod lists;
mod memo;
mod possession;
mod read;
mod strips;
mod tables;
mod verified;

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use holdfast_x509::{Anchors, Closed, Context, Error, Policy, Refusal, UnixSeconds};
use rayon::prelude::*;

use batch::Memory;
use bulk::Bulk;
use lists::ListFacts;

pub use agreement::{Agreed, agree, agreements_at_once};
pub use backend::sha256;
pub use bulk::{KernelReport, Recheck, kernel_report, switch_kernel_off, take_kernel_alarm};
pub use explain::Explanation;
pub use facts::Facts;
pub use possession::{check_issued_by, check_signature, verify_signature};
pub use strips::Strips;
pub use verified::{VerifiedPath, hex};

/// Chains that one thread takes at a time: enough that the kernel's lanes and shared inversions are full, few enough that what is known of
/// them stays in the second-level cache, and that two threads share a batch evenly. Measured: benches/.
const BLOCK_CHAINS_COUNT: usize = 256;

/// Facts that a verifier keeps if it is not given a tenant's: links between CAs, a few for each of ten thousand.
const FACTS_COUNT_MAX: usize = 32_768;

/// Judges chains against one set of anchors under one policy.
#[derive(Debug)]
pub struct Verifier {
    anchors: Arc<Anchors>,
    policy: Policy,
    lists: ListFacts,
    facts: Arc<Facts>,
    bulk: Bulk,
    /// What the policy closes of which anchors.
    closed_anchors: HashMap<usize, Closed>,
}

impl Verifier {
    /// A verifier; beside its arguments it remembers only signatures: never a verdict.
    pub fn new(anchors: Arc<Anchors>, policy: Policy) -> Self {
        Self::with_facts(anchors, policy, Arc::new(Facts::new(FACTS_COUNT_MAX)))
    }

    /// As [`Verifier::new`], with facts that outlive it.
    pub fn with_facts(anchors: Arc<Anchors>, policy: Policy, facts: Arc<Facts>) -> Self {
        let closed_anchors = closures::of_anchors(&anchors, &policy.closures);
        Self { anchors, policy, lists: ListFacts::default(), facts, bulk: Bulk::new(Recheck::Sample), closed_anchors }
    }

    /// The same, with another part of the kernel's accepts verified again by aws-lc-rs.
    #[must_use]
    pub fn with_recheck(self, recheck: Recheck) -> Self {
        Self { bulk: Bulk::new(recheck), ..self }
    }

    /// The policy it judges by.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Judges one chain: DER certificates, end entity first, the others in any order, at `at`.
    ///
    /// # Errors
    /// The most telling reason, with the position in the path tried. Work is bounded by the policy's limits.
    pub fn verify(&self, chain: &[&[u8]], at: UnixSeconds) -> Result<VerifiedPath, Refusal> {
        let outcome = self.verify_block(&[(chain, 0)], at, false).pop();
        outcome.unwrap_or_else(|| Err(Refusal::whole(Error::EmptyChain)))
    }

    /// Judges chains of peers that have proven their keys; beside each the signature units that the proof has used up. Outcomes in order.
    pub fn verify_presented<C: AsRef<[D]>, D: AsRef<[u8]>>(
        &self,
        chains: &[(C, u32)],
        at: UnixSeconds,
    ) -> Vec<Result<VerifiedPath, Refusal>> {
        self.verify_block(chains, at, true)
    }

    /// The device whose chain this was is known: it will come back, and the signature on its certificate need not be checked again.
    pub fn remember_leaf(&self, path: &VerifiedPath) {
        if let Some((fact, issuer)) = &path.leaf_fact {
            self.facts.remember(*fact, issuer);
        }
    }

    /// Judges many chains; one outcome each, in order. Signatures that several chains share are checked once a block.
    /// `threads`: 1 stays on the caller's thread, 0 uses every core when there is more than one block.
    pub fn verify_many<C: AsRef<[D]> + Sync, D: AsRef<[u8]> + Sync>(
        &self,
        chains: &[C],
        at: UnixSeconds,
        threads: usize,
    ) -> Vec<Result<VerifiedPath, Refusal>> {
        let was_off = self.bulk.is_off();
        let outcomes = self.verify_blocks(chains, at, threads);
        // The kernel went off meanwhile: what it had accepted before, in this call, is judged again without it.
        if self.bulk.is_off() && !was_off { self.verify_blocks(chains, at, threads) } else { outcomes }
    }

    fn verify_blocks<C: AsRef<[D]> + Sync, D: AsRef<[u8]> + Sync>(
        &self,
        chains: &[C],
        at: UnixSeconds,
        threads: usize,
    ) -> Vec<Result<VerifiedPath, Refusal>> {
        let block = |chains: &[C]| {
            let chains: Vec<(&[D], u32)> = chains.iter().map(|chain| (chain.as_ref(), 0)).collect();
            self.verify_block(&chains, at, false)
        };
        match pool(threads) {
            Some(pool) if chains.len() > BLOCK_CHAINS_COUNT => {
                pool.install(|| chains.par_chunks(BLOCK_CHAINS_COUNT).flat_map_iter(block).collect())
            }
            _ => chains.chunks(BLOCK_CHAINS_COUNT).flat_map(block).collect(),
        }
    }

    fn verify_block<C: AsRef<[D]>, D: AsRef<[u8]>>(
        &self,
        chains: &[(C, u32)],
        at: UnixSeconds,
        known_leaves: bool,
    ) -> Vec<Result<VerifiedPath, Refusal>> {
        let memory = Memory { lists: &self.lists, facts: &self.facts, known_leaves, bulk: &self.bulk };
        let context = Context::new(&self.anchors, &self.policy, at).with_closed_anchors(&self.closed_anchors);
        batch::verify_block(chains, &context, &memory)
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
