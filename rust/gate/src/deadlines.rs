//! Who is due, without looking at everybody: a heap with one entry for each connection that counts.
//!
//! A deadline that moves away, as a device's does with each packet, costs nothing: the old entry comes up, is found to be
//! early, and is put back. One that moves closer is entered anew, and the old entry counts no more.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::slots::Handle;

#[derive(Debug, Default)]
pub(crate) struct Deadlines(BinaryHeap<Reverse<(u64, Handle)>>);

/// When a connection is due, and when it will be looked at: milliseconds of the monotonic clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Deadline {
    pub(crate) due_ms: u64,
    look_ms: u64,
}

impl Deadlines {
    /// Looks at a new connection when it is due.
    pub(crate) fn enter(&mut self, handle: Handle, due_ms: u64) -> Deadline {
        self.0.push(Reverse((due_ms, handle)));
        Deadline { due_ms, look_ms: due_ms }
    }

    /// Moves a deadline.
    pub(crate) fn set(&mut self, handle: Handle, deadline: &mut Deadline, due_ms: u64) {
        deadline.due_ms = due_ms;
        if due_ms < deadline.look_ms {
            *deadline = self.enter(handle, due_ms);
        }
    }

    /// Sees to it that the connection is looked at no later than `look_ms`, due or not.
    pub(crate) fn look_by(&mut self, handle: Handle, deadline: &mut Deadline, look_ms: u64) {
        if look_ms < deadline.look_ms {
            deadline.look_ms = look_ms;
            self.0.push(Reverse((look_ms, handle)));
        }
    }

    /// The next entry whose time has come.
    pub(crate) fn pop(&mut self, now_ms: u64) -> Option<Entry> {
        let &Reverse((look_ms, handle)) = self.0.peek()?;
        if look_ms > now_ms {
            return None;
        }
        self.0.pop();
        Some(Entry { handle, look_ms })
    }
}

/// An entry that has come up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    pub(crate) handle: Handle,
    look_ms: u64,
}

impl Entry {
    /// Whether it is the one that counts; afterwards the connection has none, and must be entered again if it lives on.
    pub(crate) fn counts(&self, deadline: &mut Deadline) -> bool {
        let counts = deadline.look_ms == self.look_ms;
        if counts {
            deadline.look_ms = u64::MAX;
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_comes_up_when_it_is_due_and_once() {
        let mut deadlines = Deadlines::default();
        let mut deadline = deadlines.enter(1, 100);
        assert!(deadlines.pop(99).is_none());
        let entry = deadlines.pop(100).unwrap();
        assert!(entry.handle == 1 && entry.counts(&mut deadline));
        assert!(deadlines.pop(1_000).is_none());
    }

    #[test]
    fn one_that_moved_away_is_looked_at_early_and_entered_again() {
        let mut deadlines = Deadlines::default();
        let mut deadline = deadlines.enter(1, 100);
        deadlines.set(1, &mut deadline, 500);
        let entry = deadlines.pop(100).unwrap();
        assert!(entry.counts(&mut deadline) && deadline.due_ms == 500);
        deadlines.look_by(1, &mut deadline, 500);
        assert!(deadlines.pop(499).is_none());
        assert!(deadlines.pop(500).unwrap().counts(&mut deadline));
    }

    #[test]
    fn one_that_moved_closer_comes_up_then_and_its_old_entry_does_not_count() {
        let mut deadlines = Deadlines::default();
        let mut deadline = deadlines.enter(1, 100);
        deadlines.set(1, &mut deadline, 50);
        assert!(deadlines.pop(50).unwrap().counts(&mut deadline));
        deadlines.look_by(1, &mut deadline, 300);
        assert!(!deadlines.pop(100).unwrap().counts(&mut deadline));
        assert!(deadlines.pop(300).unwrap().counts(&mut deadline));
    }
}
