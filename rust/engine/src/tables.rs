//! Which issuers' keys have a table for the kernel: the ones met most often in accepted paths, no more than there is room for.
//!
//! A table is 264 KB and takes as long to build as some seventy signatures without one. So a key earns it by signatures that held in
//! accepted paths; a refused chain earns nothing. Scores are halved from time to time: what is met no more grows cold and is dropped.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use holdfast_p256::{KeyTable, PublicKey};

/// Tables of one verifier: 17 MB.
const TABLES_COUNT_MAX: usize = 64;
/// Signatures that a key must have made: twice what building costs.
const EARNED_COUNT: u32 = 128;
/// Keys whose signatures are counted. When they are this many, new ones wait until some have grown cold.
const KEYS_COUNT_MAX: usize = 4_096;
/// After so many signatures all scores are halved.
const HALVING_COUNT: u32 = 65_536;
/// Tables built after one block of chains, so that no block waits for many.
const BUILT_AT_ONCE_COUNT_MAX: usize = 4;

/// The tables of one verifier.
#[derive(Debug)]
pub(crate) struct Tables(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    keys: HashMap<Point, Entry>,
    tables: usize,
    met: u32,
}

/// An uncompressed point.
type Point = [u8; 65];

#[derive(Debug, Default)]
struct Entry {
    score: u32,
    table: Option<Arc<KeyTable>>,
}

impl Tables {
    pub(crate) fn new() -> Self {
        Self(Mutex::default())
    }

    /// The tables of these keys, where there are any.
    pub(crate) fn find<'k>(&self, keys: impl Iterator<Item = &'k [u8]>) -> Vec<Option<Arc<KeyTable>>> {
        let state = self.lock();
        keys.map(|key| state.keys.get(key)?.table.clone()).collect()
    }

    /// Counts signatures, one entry each, and says which keys have earned a table and have none.
    pub(crate) fn meet(&self, mut keys: Vec<&[u8]>) -> Vec<PublicKey> {
        keys.sort_unstable();
        let mut state = self.lock();
        let mut earned = Vec::new();
        for run in keys.chunk_by(|one, next| one == next) {
            let Some(Ok(point)) = run.first().map(|key| Point::try_from(*key)) else { continue };
            let count = u32::try_from(run.len()).unwrap_or(u32::MAX);
            state.met = state.met.saturating_add(count);
            if !state.keys.contains_key(&point) && state.keys.len() >= KEYS_COUNT_MAX {
                continue;
            }
            let entry = state.keys.entry(point).or_default();
            entry.score = entry.score.saturating_add(count);
            let (score, has_table) = (entry.score, entry.table.is_some());
            let may_build = !has_table && score >= EARNED_COUNT && earned.len() < BUILT_AT_ONCE_COUNT_MAX;
            if may_build && state.make_room(score, earned.len()) {
                earned.extend(PublicKey::from_sec1(&point));
            }
        }
        if state.met >= HALVING_COUNT {
            state.halve();
        }
        earned
    }

    /// Keeps a table that was earned; the room for it was made.
    pub(crate) fn keep(&self, table: KeyTable) {
        let mut state = self.lock();
        if state.tables < TABLES_COUNT_MAX
            && let Some(entry) = state.keys.get_mut(&table.key().to_sec1())
            && entry.table.is_none()
        {
            entry.table = Some(Arc::new(table));
            state.tables = state.tables.saturating_add(1);
        }
    }

    /// No code panics while it holds this lock.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Whether there is room for one more table, if need be in place of one whose key is met less than half as often: two keys that are
    /// met alike never drive each other out by turns.
    /// `promised` tables will come before it.
    fn make_room(&mut self, score: u32, promised: usize) -> bool {
        if self.tables.saturating_add(promised) < TABLES_COUNT_MAX {
            return true;
        }
        let with_table = self.keys.values_mut().filter(|entry| entry.table.is_some());
        let Some(coldest) = with_table.min_by_key(|entry| entry.score) else { return false };
        if coldest.score >= score / 2 {
            return false;
        }
        coldest.table = None;
        self.tables = self.tables.saturating_sub(1);
        true
    }

    fn halve(&mut self) {
        self.met = 0;
        for entry in self.keys.values_mut() {
            entry.score /= 2;
        }
        self.keys.retain(|_, entry| entry.score > 0);
        self.tables = self.keys.values().filter(|entry| entry.table.is_some()).count();
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
    use holdfast_p256::{Backend, Kernel};

    use super::*;

    fn key() -> Vec<u8> {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
        pair.public_key().as_ref().to_vec()
    }

    fn met(tables: &Tables, kernel: &Kernel, key: &[u8], count: u32) -> usize {
        let earned = tables.meet((0..count).map(|_| key).collect());
        for key in &earned {
            tables.keep(kernel.table(key).unwrap());
        }
        earned.len()
    }

    fn has_table(tables: &Tables, key: &[u8]) -> bool {
        tables.find([key].into_iter())[0].is_some()
    }

    #[test]
    fn a_table_is_earned_bounded_and_dropped_when_cold() {
        let (kernel, tables) = (Kernel::on(Backend::Portable).unwrap(), Tables::new());
        let first = key();
        assert_eq!(met(&tables, &kernel, &first, EARNED_COUNT - 1), 0);
        assert!(!has_table(&tables, &first));
        assert_eq!(met(&tables, &kernel, &first, 1), 1);
        assert!(has_table(&tables, &first));
        assert_eq!(met(&tables, &kernel, &first, 1), 0, "it has one");
        for _ in 1..TABLES_COUNT_MAX {
            assert_eq!(met(&tables, &kernel, &key(), EARNED_COUNT), 1);
        }
        let late = key();
        assert_eq!(met(&tables, &kernel, &late, EARNED_COUNT), 0, "full, and all are met as often");
        assert_eq!(met(&tables, &kernel, &late, 2 * EARNED_COUNT), 1, "met more than twice as often as the coldest");
        assert_eq!(tables.lock().keys.values().filter(|entry| entry.table.is_some()).count(), TABLES_COUNT_MAX);
        assert_eq!(tables.lock().tables, TABLES_COUNT_MAX);
        for _ in 0..9 {
            met(&tables, &kernel, &late, HALVING_COUNT);
        }
        assert!(has_table(&tables, &late) && !has_table(&tables, &first));
        let state = tables.lock();
        assert_eq!((state.tables, state.keys.len()), (1, 1), "the others grew cold");
    }

    #[test]
    fn keys_that_are_counted_have_an_end() {
        let tables = Tables::new();
        let keys: Vec<Vec<u8>> = (0..KEYS_COUNT_MAX + 10)
            .map(|number| {
                let mut key = vec![4; 65];
                key[1..9].copy_from_slice(&number.to_be_bytes());
                key
            })
            .collect();
        assert!(tables.meet(keys.iter().map(Vec::as_slice).collect()).is_empty());
        assert_eq!(tables.lock().keys.len(), KEYS_COUNT_MAX);
    }
}
