//! Strangers: connections of whom nothing is known yet. How many there are and from where, whose turn it is to be worked for, and who
//! has kept still for longest.
//!
//! Nothing here is keyed by what a peer claims, only by where it comes from (I15).

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;

use crate::slots::Handle;
use crate::sources::{Source, Sources};
use crate::turns::{Standing, Turns};

/// All connections of a worker that are not admitted.
#[derive(Debug, Default)]
pub(crate) struct Crowd {
    count: usize,
    by_source: HashMap<Source, usize>,
    known: Sources,
    /// How many have come since the last from a known address.
    since_known: usize,
    /// Those whose bytes wait to be worked on.
    pub(crate) turns: Turns,
    /// Each with the number of its last step; an entry whose number is not its connection's any more counts for nothing.
    steps: VecDeque<Step>,
    last_step: u64,
}

/// A connection got further.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    pub(crate) handle: Handle,
    pub(crate) number: u64,
    pub(crate) at_ms: u64,
}

impl Crowd {
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// How many come from `source`.
    pub(crate) fn of(&self, source: Option<IpAddr>) -> usize {
        source.and_then(|source| self.by_source.get(&source.into())).copied().unwrap_or(0)
    }

    /// Somebody comes from `source`: how that stands.
    pub(crate) fn meet(&mut self, source: Option<IpAddr>) -> Standing {
        if source.is_some_and(|source| self.known.spend(source.into())) {
            self.since_known = 0;
            return Standing::Known;
        }
        self.since_known = self.since_known.saturating_add(1);
        Standing::Unknown
    }

    /// A device has come from `source`.
    pub(crate) fn vouch(&mut self, source: Option<IpAddr>) {
        if let Some(source) = source {
            self.known.earn(source.into());
        }
    }

    pub(crate) fn enter(&mut self, source: Option<IpAddr>) {
        self.count = self.count.saturating_add(1);
        if let Some(source) = source {
            let count = self.by_source.entry(source.into()).or_default();
            *count = count.saturating_add(1);
        }
    }

    pub(crate) fn leave(&mut self, source: Option<IpAddr>) {
        self.count = self.count.saturating_sub(1);
        let Some(source) = source.map(Source::from) else { return };
        if let Some(count) = self.by_source.get_mut(&source) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.by_source.remove(&source);
            }
        }
    }

    /// A connection got further: answers the number of this step.
    pub(crate) fn step(&mut self, handle: Handle, at_ms: u64) -> u64 {
        self.last_step = self.last_step.saturating_add(1);
        self.steps.push_back(Step { handle, number: self.last_step, at_ms });
        self.last_step
    }

    /// The oldest step, whether it still counts or not.
    pub(crate) fn oldest_step(&self) -> Option<Step> {
        self.steps.front().copied()
    }

    pub(crate) fn steps(&self) -> usize {
        self.steps.len()
    }

    pub(crate) fn drop_oldest_step(&mut self) {
        self.steps.pop_front();
    }

    /// The oldest step is looked at again after all others: answers its new number.
    pub(crate) fn put_oldest_step_last(&mut self) -> Option<u64> {
        let Step { handle, at_ms, .. } = self.steps.pop_front()?;
        Some(self.step(handle, at_ms))
    }

    /// Whether somebody else may be met: fewer than `enough` from known addresses wait for their first turn, and as many from unknown
    /// ones do not, or devices come among them that would go before.
    pub(crate) fn has_room(&self, enough: usize) -> bool {
        let [known, unknown] = self.turns.new_ones();
        known < enough && (unknown < enough || self.since_known < enough)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_counted_while_they_are_there_and_forgotten_after() {
        let mut crowd = Crowd::default();
        let (one, two) = ("127.0.0.1".parse().ok(), "::1".parse().ok());
        for source in [one, one, two, None] {
            crowd.enter(source);
        }
        assert_eq!((crowd.len(), crowd.of(one), crowd.of(two), crowd.of(None)), (4, 2, 1, 0));
        for source in [one, two, None] {
            crowd.leave(source);
        }
        assert_eq!((crowd.len(), crowd.of(one), crowd.by_source.len()), (1, 1, 1));
    }

    #[test]
    fn who_comes_from_where_devices_came_from_is_known_by_it() {
        let (one, two) = ("127.0.0.1".parse().ok(), "127.0.0.2".parse().ok());
        let mut crowd = Crowd::default();
        assert_eq!(crowd.meet(one), Standing::Unknown);
        crowd.vouch(one);
        assert_eq!(
            [crowd.meet(one), crowd.meet(two), crowd.meet(None)],
            [Standing::Known, Standing::Unknown, Standing::Unknown]
        );
    }
}
