//! Key agreements of strangers whose hellos wait: worked out for several at once, when the first of them has its turn.

use std::iter;

use holdfast_engine::{agree, agreements_at_once};
use holdfast_session::Agreement;

use crate::gate::Gate;
use crate::slots::Handle;

/// How many of those who wait are looked at for whoever can be worked for at the same time.
const LOOKED_AT_MAX: usize = 16;
/// Fewer are as quick in the library, which does them when it comes to it.
const TOGETHER_MIN: usize = 3;

impl Gate {
    /// Works out the agreement that the hello of this stranger, whose turn it is, asks for, and those of others, for whom there is room beside
    /// it at little more than the cost of our public keys. Theirs are kept until it is their turn.
    pub(crate) fn agree(&mut self, handle: Handle) {
        let at_once = agreements_at_once();
        if at_once < TOGETHER_MIN {
            return;
        }
        let Some(share) = self.slots.x25519_share(handle) else { return };
        let others = self.crowd.turns.unanswered().take(LOOKED_AT_MAX);
        let others = others.filter_map(|other| Some((other, self.slots.x25519_share(other)?)));
        let (handles, shares): (Vec<_>, Vec<_>) = iter::once((handle, share)).chain(others).take(at_once).unzip();
        if shares.len() < TOGETHER_MIN {
            return;
        }
        let agreed = agree(&shares);
        if agreed.is_empty() {
            return;
        }
        self.count("key_agreement_batches");
        self.count_many("key_agreements_batched", agreed.len());
        for ((handle, theirs), (ours, secret)) in iter::zip(iter::zip(handles, shares), agreed) {
            if let Some(connection) = self.slots.get_mut(handle) {
                connection.session.provide(Agreement::new(theirs, ours, secret));
            }
        }
    }
}
