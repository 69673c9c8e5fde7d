//! The ways by which live sessions were admitted, each kept once: what a closure is compared with.

use std::collections::HashMap;
use std::sync::Arc;

use holdfast_engine::sha256;
use holdfast_roster::{KeyHash, Trust};
use holdfast_x509::{Anchor, Certificate, Closures};

use crate::connection::Judged;

/// The CAs between a device and its anchor.
#[derive(Debug)]
pub(crate) struct Path {
    /// SHA-256 of each certificate, the device's issuer first, the anchor last.
    pub(crate) fingerprints: Box<[[u8; 32]]>,
    /// SHA-256 of each of their keys.
    keys: Box<[KeyHash]>,
}

impl Path {
    /// Whether one of its CAs is closed.
    pub(crate) fn is_closed(&self, closures: &Closures) -> bool {
        self.keys.iter().zip(&self.fingerprints).any(|(key, certificate)| closures.find(key, certificate).is_some())
    }

    /// SHA-256 of each of its certificates, and of each of their keys.
    pub(crate) fn vouchers(&self) -> impl Iterator<Item = &[u8; 32]> {
        self.fingerprints.iter().chain(&self.keys)
    }

    pub(crate) fn anchor(&self) -> Option<&[u8; 32]> {
        self.fingerprints.last()
    }
}

/// Paths of live sessions, and some that were.
#[derive(Debug)]
pub(crate) struct Paths {
    known: HashMap<Box<[[u8; 32]]>, Arc<Path>>,
    /// Those that nobody has any more are forgotten when there are so many.
    count_max: usize,
}

/// A path with its certificates (DER, issuer first) if it was met for the first time since it was forgotten.
pub(crate) type Met = (Arc<Path>, Option<Vec<Vec<u8>>>);

/// So few are never worth forgetting.
const COUNT_MIN: usize = 1_024;

impl Paths {
    pub(crate) fn new() -> Self {
        Self { known: HashMap::new(), count_max: COUNT_MIN }
    }

    /// The path by which somebody was found good. `None` when its anchor has gone meanwhile: judge again.
    pub(crate) fn meet(&mut self, judged: &Judged, trust: &Trust) -> Option<Met> {
        let anchor = judged.path.anchor_fingerprint();
        let above = judged.path.fingerprints().iter().skip(1).chain(std::iter::once(&anchor));
        let fingerprints: Box<[[u8; 32]]> = above.copied().collect();
        if let Some(path) = self.known.get(&fingerprints) {
            return Some((Arc::clone(path), None));
        }
        let presented =
            judged.path.presented().iter().skip(1).filter_map(|&index| judged.chain.certificates().get(index));
        let mut chain: Vec<Vec<u8>> = presented.cloned().collect();
        chain.push(trust.anchors.iter().map(Anchor::der).find(|der| sha256(der) == anchor)?.to_vec());
        let keys = chain.iter().map(|der| Certificate::parse(der).map(|certificate| sha256(certificate.spki.der)));
        let path = Path { fingerprints: fingerprints.clone(), keys: keys.collect::<Result<_, _>>().ok()? };
        self.forget_some();
        let path = Arc::clone(self.known.entry(fingerprints).or_insert(Arc::new(path)));
        Some((path, Some(chain)))
    }

    /// A CA that may make CAs can make any number of paths: those of nobody are let go before there are too many.
    fn forget_some(&mut self) {
        if self.known.len() >= self.count_max {
            self.known.retain(|_, path| Arc::strong_count(path) > 1);
            self.count_max = self.known.len().saturating_mul(2).max(COUNT_MIN);
        }
    }
}
