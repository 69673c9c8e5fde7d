//! Remembers signatures that were good, never verdicts: dates, names, policies and revocation are judged every time (`trust.md` §6.1).
//!
//! Only a signature of a path that was accepted comes in, checked by aws-lc-rs. One between CAs must have been met in two such
//! paths; one on a device's certificate comes in when the caller says that the device is known. So what can fill this memory is
//! what certified CAs issue, and one key has no more than its quota of it.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, Hash, RandomState};
use std::mem;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use holdfast_x509::SignatureJob;

use crate::backend::Digest;

/// Facts of one tenant, shared by all verifiers that judge for it.
#[derive(Debug)]
pub struct Facts {
    generation_count_max: AtomicUsize,
    state: Mutex<State>,
}

/// Two generations: a fact that is met again moves to the young one; when that is full, the old one is forgotten whole.
#[derive(Debug, Default)]
struct State {
    young: HashSet<Fact>,
    old: HashSet<Fact>,
    /// How many of the young ones each key has; by a hash with a seed of ours, so that nobody shares another's quota by choice.
    quotas: HashMap<u64, usize>,
    hasher: RandomState,
    /// One fact met once for each of its slots: whoever comes next to a slot takes it.
    met_once: Vec<Fact>,
}

/// "This signature over these octets was made with this key": SHA-256 of all three.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Fact([u8; 32]);

/// Facts that wait for their second meeting.
const MET_ONCE_COUNT: u64 = 4_096;

impl Fact {
    /// Cost: one SHA-256 over the certificate.
    pub(crate) fn of(job: &SignatureJob<'_>) -> Self {
        let mut digest = Digest::new();
        // Everything in the job, each part with its length: one key never answers for itself used otherwise.
        job.hash(&mut digest);
        Self(digest.sha256())
    }
}

impl Facts {
    /// Room for `count_max` facts at most. Memory: about 40 bytes for each that is there.
    pub fn new(count_max: usize) -> Self {
        Self { generation_count_max: AtomicUsize::new(count_max / 2), state: Mutex::default() }
    }

    /// From here on room for `count_max`; what is too much goes as new ones come.
    pub fn bound(&self, count_max: usize) {
        self.generation_count_max.store(count_max / 2, Ordering::Relaxed);
    }

    fn generation_count_max(&self) -> usize {
        self.generation_count_max.load(Ordering::Relaxed)
    }

    /// How many are remembered.
    pub fn len(&self) -> usize {
        let state = self.lock();
        state.young.len().saturating_add(state.old.len())
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether nothing is ever remembered.
    pub(crate) fn have_no_room(&self) -> bool {
        self.generation_count_max() == 0
    }

    /// Forgets everything.
    pub fn clear(&self) {
        *self.lock() = State::default();
    }

    /// Whether `issuer`'s signature is remembered; one that is stays so for longer, as far as its key's quota goes.
    pub(crate) fn knows(&self, fact: Fact, issuer: &[u8]) -> bool {
        let mut state = self.lock();
        if state.old.remove(&fact) && !self.keep(&mut state, fact, issuer) {
            return state.old.insert(fact);
        }
        state.young.contains(&fact)
    }

    /// `issuer`'s signature was met in an accepted path: the second time, it is remembered.
    pub(crate) fn meet(&self, fact: Fact, issuer: &[u8]) {
        let mut state = self.lock();
        if state.met_once.is_empty() {
            state.met_once = (0..MET_ONCE_COUNT).map(|_| Fact::default()).collect();
        }
        let slot = usize::try_from(state.hasher.hash_one(fact) % MET_ONCE_COUNT).unwrap_or(0);
        let met = state.met_once.get_mut(slot).map(|place| mem::replace(place, fact));
        drop(state);
        if met == Some(fact) {
            self.remember(fact, issuer);
        }
    }

    pub(crate) fn remember(&self, fact: Fact, issuer: &[u8]) {
        let mut state = self.lock();
        if state.young.contains(&fact) || state.old.contains(&fact) {
            return;
        }
        self.keep(&mut state, fact, issuer);
    }

    /// Puts a fact among the young ones, if its key has not its quota of them.
    fn keep(&self, state: &mut State, fact: Fact, issuer: &[u8]) -> bool {
        self.make_room(state);
        let issuer = state.hasher.hash_one(issuer);
        let held = state.quotas.entry(issuer).or_default();
        // A single key signs a fleet's devices: half of the room is enough for it, and leaves the other half to the others.
        if *held >= self.generation_count_max() / 2 {
            return false;
        }
        *held = held.saturating_add(1);
        state.young.insert(fact)
    }

    fn make_room(&self, state: &mut State) {
        if state.young.len() >= self.generation_count_max() {
            state.old = mem::take(&mut state.young);
            state.quotas.clear();
        }
    }

    /// No code panics while it holds this lock.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
