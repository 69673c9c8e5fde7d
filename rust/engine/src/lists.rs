//! Remembers which keys signed which of a verifier's revocation lists: a list may be 40 MB, and is hashed once for each key.
//!
//! Refusals are remembered too, unlike `trust.md` §6.1 asks for facts about peers' certificates: the lists are the operator's, and the
//! search asks only once a path's own signatures hold, so what can fill this is what certified CAs issue. When it is full, nothing more is
//! remembered.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use holdfast_x509::{Edge, SignatureJob, Signed};

use crate::backend;

/// Pairs of list and key: a hundred keys for each of a hundred lists.
const FACTS_COUNT_MAX: usize = 10_000;

/// "This list was, or was not, signed by that key": list index, and SHA-256 of the key with its algorithm.
#[derive(Debug, Default)]
pub(crate) struct ListFacts(Mutex<HashMap<(usize, [u8; 32]), bool>>);

impl ListFacts {
    /// Whether `job` holds, from memory if it is over a list.
    pub(crate) fn check(
        &self,
        edge: Edge,
        job: &SignatureJob<'_>,
        verify: impl FnOnce(&SignatureJob<'_>) -> bool,
    ) -> bool {
        let Signed::List(index) = edge.signed() else { return verify(job) };
        let key = (index, key_hash(job));
        let facts = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(&known) = facts().get(&key) {
            return known;
        }
        // Not under the lock: the others need not wait while 40 MB are hashed.
        let holds = verify(job);
        let mut facts = facts();
        if facts.len() < FACTS_COUNT_MAX {
            facts.insert(key, holds);
        }
        holds
    }
}

/// SHA-256 over both algorithms and the key: one key never answers for another, or for itself used otherwise.
fn key_hash(job: &SignatureJob<'_>) -> [u8; 32] {
    let algorithms = format!("{:?} {:?} ", job.algorithm, job.key_algorithm);
    backend::sha256(&[algorithms.as_bytes(), job.public_key].concat())
}
