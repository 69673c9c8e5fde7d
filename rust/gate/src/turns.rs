//! Whose turn it is, of strangers whose bytes wait to be worked on.

use std::collections::VecDeque;

use crate::slots::Handle;

/// Whose turn comes before whose when not all can be worked for at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It has been answered and speaks again: it is where it says.
    Answered,
    /// It comes from where devices come from.
    Known,
    /// Nothing is known of where it comes from, or it has used up its turns at a better standing.
    Unknown,
}

/// Turns at a standing above that of the unknown: a hello and a flight in two pieces each. Whoever drips bytes has used them up soon.
const TURNS_MAX: u8 = 4;
/// Entries of strangers who are gone that may lie among the others before they are swept out.
const GONE_COUNT_MAX: usize = 1_024;

/// A stranger's claim to turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Claim {
    pub(crate) standing: Standing,
    turns_left: u8,
    /// Whether it was ever answered.
    pub(crate) answered: bool,
    /// Whether it comes from where devices come from, however it stands by now.
    pub(crate) known: bool,
}

impl Claim {
    pub(crate) fn new(standing: Standing) -> Self {
        Self { standing, turns_left: TURNS_MAX, answered: false, known: standing == Standing::Known }
    }

    /// Whether it has not had a turn.
    pub(crate) fn is_new(self) -> bool {
        self.turns_left == TURNS_MAX
    }

    /// After a turn, in which it was answered or was not.
    pub(crate) fn after(self, answered: bool) -> Self {
        let turns_left = self.turns_left.saturating_sub(1);
        let standing = match (turns_left, answered) {
            (0, _) => Standing::Unknown,
            (_, true) => Standing::Answered,
            (_, false) => self.standing,
        };
        Self { standing, turns_left, answered: self.answered || answered, known: self.known }
    }
}

/// A queue for each standing, the first to come first.
#[derive(Debug)]
pub(crate) struct Turns {
    queues: [Queue; 3],
    /// Whose turn it is, the first one's first, if anybody of it waits: no standing can take all turns from another.
    order: [Standing; 8],
}

impl Default for Turns {
    fn default() -> Self {
        use Standing::{Answered, Known, Unknown};
        let order = [Known, Answered, Known, Answered, Unknown, Answered, Known, Answered];
        Self { queues: Default::default(), order }
    }
}

/// Entries of whoever is gone stay until they come up.
#[derive(Debug, Default)]
struct Queue {
    entries: VecDeque<Handle>,
    /// Those that are there, and of them those that have not had a turn.
    waiting: usize,
    new: usize,
}

impl Turns {
    /// Somebody's bytes have come; whether nobody else waits. `claim`: of a connection, if it is there and waits.
    pub(crate) fn enter(&mut self, handle: Handle, own: Claim, mut claim: impl FnMut(Handle) -> Option<Claim>) -> bool {
        let first = self.is_empty();
        let queue = self.queue(own.standing);
        if queue.entries.len() >= queue.waiting.saturating_add(GONE_COUNT_MAX) {
            queue.entries.retain(|entry| claim(*entry).is_some());
        }
        queue.entries.push_back(handle);
        queue.waiting = queue.waiting.saturating_add(1);
        queue.new = queue.new.saturating_add(usize::from(own.is_new()));
        first
    }

    /// Somebody who waits has gone.
    pub(crate) fn leave(&mut self, own: Claim) {
        self.queue(own.standing).leave(own);
    }

    /// Whose turn it is.
    pub(crate) fn next(&mut self, mut claim: impl FnMut(Handle) -> Option<Claim>) -> Option<Handle> {
        let [first, ..] = self.order;
        self.order.rotate_left(1);
        let handle = self.queue(first).pop(VecDeque::pop_front, &mut claim);
        handle.or_else(|| self.queues.iter_mut().find_map(|queue| queue.pop(VecDeque::pop_front, &mut claim)))
    }

    /// Those who wait and have not been answered, those from known addresses first, in order of arrival; with some who are gone.
    pub(crate) fn unanswered(&self) -> impl Iterator<Item = Handle> {
        let [_, known, unknown] = &self.queues;
        known.entries.iter().chain(&unknown.entries).copied()
    }

    /// The last to come of those of whom nothing is known: it loses its turn.
    pub(crate) fn take_last_unknown(&mut self, mut claim: impl FnMut(Handle) -> Option<Claim>) -> Option<Handle> {
        self.queue(Standing::Unknown).pop(VecDeque::pop_back, &mut claim)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queues.iter().all(|queue| queue.waiting == 0)
    }

    /// How many wait that come from known addresses, and from unknown ones, and have not had a turn.
    pub(crate) fn new_ones(&self) -> [usize; 2] {
        let [_, known, unknown] = &self.queues;
        [known.new, unknown.new]
    }

    fn queue(&mut self, standing: Standing) -> &mut Queue {
        let [answered, known, unknown] = &mut self.queues;
        match standing {
            Standing::Answered => answered,
            Standing::Known => known,
            Standing::Unknown => unknown,
        }
    }
}

impl Queue {
    fn pop(
        &mut self,
        take: impl Fn(&mut VecDeque<Handle>) -> Option<Handle>,
        claim: &mut impl FnMut(Handle) -> Option<Claim>,
    ) -> Option<Handle> {
        while let Some(handle) = take(&mut self.entries) {
            if let Some(claim) = claim(handle) {
                self.leave(claim);
                return Some(handle);
            }
        }
        None
    }

    fn leave(&mut self, claim: Claim) {
        self.waiting = self.waiting.saturating_sub(1);
        self.new = self.new.saturating_sub(usize::from(claim.is_new()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWERED: Claim = Claim { standing: Standing::Answered, turns_left: 3, answered: true, known: false };
    const KNOWN: Claim = Claim { standing: Standing::Known, turns_left: TURNS_MAX, answered: false, known: true };
    const UNKNOWN: Claim = Claim { standing: Standing::Unknown, turns_left: TURNS_MAX, answered: false, known: false };

    /// By the tens of the handle.
    fn everybody(handle: Handle) -> Option<Claim> {
        [UNKNOWN, KNOWN, ANSWERED].get(usize::try_from(handle / 10).unwrap()).copied()
    }

    fn enter(turns: &mut Turns, handles: impl IntoIterator<Item = Handle>) {
        for handle in handles {
            turns.enter(handle, everybody(handle).unwrap(), everybody);
        }
    }

    #[test]
    fn x01_every_standing_has_turns_whoever_else_waits_and_in_order_of_arrival() {
        let mut turns = Turns::default();
        assert!(turns.enter(1, UNKNOWN, everybody) && !turns.enter(2, UNKNOWN, everybody));
        enter(&mut turns, (11..15).chain(21..25));
        assert_eq!(turns.new_ones(), [4, 2]);
        let order: Vec<_> = std::iter::from_fn(|| turns.next(everybody)).collect();
        assert_eq!(order, [11, 21, 12, 22, 1, 23, 13, 24, 14, 2]);
        assert!(turns.is_empty() && turns.new_ones() == [0, 0]);
        enter(&mut turns, [1, 2, 3, 4, 5]);
        assert_eq!(std::iter::from_fn(|| turns.next(everybody)).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
    }

    #[test]
    fn x01_whoever_drips_has_no_standing_left_after_four_turns() {
        for standing in [Standing::Known, Standing::Unknown] {
            let claim = Claim::new(standing);
            assert!(claim.is_new() && !claim.after(false).is_new());
            assert_eq!(claim.after(false).standing, standing);
            let dripping = claim.after(true).after(false).after(false);
            assert_eq!(dripping.standing, Standing::Answered);
            assert_eq!(dripping.after(true).standing, Standing::Unknown, "nor by another answer");
            assert_eq!(dripping.after(true).after(true).standing, Standing::Unknown);
            assert!(!claim.after(false).after(false).answered && dripping.after(false).after(false).answered);
        }
    }

    #[test]
    fn whoever_is_gone_has_no_turn_and_leaves_no_entry_for_long() {
        let mut turns = Turns::default();
        enter(&mut turns, [1, 2, 3]);
        turns.leave(UNKNOWN);
        turns.leave(UNKNOWN);
        assert_eq!(turns.new_ones(), [0, 1]);
        assert_eq!([turns.next(|handle| (handle == 3).then_some(UNKNOWN)), turns.next(everybody)], [Some(3), None]);
        for handle in 0..100_000 {
            turns.enter(handle, KNOWN, |_| None);
            turns.leave(KNOWN);
            assert!(turns.queue(Standing::Known).entries.len() <= GONE_COUNT_MAX + 1);
        }
        assert!(turns.is_empty() && turns.new_ones() == [0, 0]);
    }

    #[test]
    fn the_last_of_the_unknown_is_the_one_who_loses_its_turn() {
        let mut turns = Turns::default();
        enter(&mut turns, [1, 2, 3, 4, 11]);
        turns.leave(UNKNOWN);
        assert_eq!(turns.take_last_unknown(|handle| (handle != 4).then_some(UNKNOWN)), Some(3));
        assert_eq!(turns.new_ones(), [1, 2]);
    }
}
