//! Strangers: connections of whom nothing is known yet. How many there are and from where, whose turn it is to be worked for, and who
//! has kept still for longest.
//!
//! Nothing here is keyed by what a peer claims, only by where it comes from (I15).

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;

use crate::slots::Handle;

/// All connections of a worker that are not admitted.
#[derive(Debug, Default)]
pub(crate) struct Crowd {
    count: usize,
    by_source: HashMap<IpAddr, usize>,
    /// Those whose bytes wait to be worked on, the first to come first.
    turns: VecDeque<Handle>,
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
        source.and_then(|source| self.by_source.get(&source)).copied().unwrap_or(0)
    }

    pub(crate) fn enter(&mut self, source: Option<IpAddr>) {
        self.count = self.count.saturating_add(1);
        if let Some(source) = source {
            let count = self.by_source.entry(source).or_default();
            *count = count.saturating_add(1);
        }
    }

    pub(crate) fn leave(&mut self, source: Option<IpAddr>) {
        self.count = self.count.saturating_sub(1);
        let Some(source) = source else { return };
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

    /// Puts a connection into the queue; whether it is the only one there.
    pub(crate) fn queue(&mut self, handle: Handle) -> bool {
        self.turns.push_back(handle);
        self.turns.len() == 1
    }

    pub(crate) fn next_turn(&mut self) -> Option<Handle> {
        self.turns.pop_front()
    }

    pub(crate) fn is_queue_empty(&self) -> bool {
        self.turns.is_empty()
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
    fn turns_are_taken_in_order_of_arrival() {
        let mut crowd = Crowd::default();
        assert!(crowd.queue(7) && !crowd.queue(3));
        assert_eq!([crowd.next_turn(), crowd.next_turn(), crowd.next_turn()], [Some(7), Some(3), None]);
        assert!(crowd.is_queue_empty());
    }
}
