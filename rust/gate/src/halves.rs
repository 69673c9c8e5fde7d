//! Packets that devices have begun and not ended: of these a worker keeps only so much in all (M10, M12).
//!
//! One connection may keep a whole packet's length, and by keep-alives of half an hour for that long. Many of them together, each within
//! its bounds, would have the memory of all. Beyond the bound those go first that have held the most for the longest.

use std::cmp::Reverse;
use std::collections::HashMap;

use crate::slots::Handle;

/// What holds less is not looked at: with as many connections as a worker has by default it is half of the bound.
const HELD_BYTES_MIN: usize = 4 * 1024;

/// Who holds how much. Whoever holds little, as nearly all do, is not in it.
#[derive(Debug, Default)]
pub(crate) struct Halves {
    held: HashMap<Handle, Half>,
    bytes: usize,
}

#[derive(Clone, Copy, Debug)]
struct Half {
    bytes: usize,
    since_ms: u64,
}

impl Halves {
    /// A connection holds so much now; `ended`: of another packet than before.
    pub(crate) fn note(&mut self, handle: Handle, bytes: usize, ended: bool, now_ms: u64) {
        if bytes < HELD_BYTES_MIN {
            return self.forget(handle);
        }
        let half = self.held.entry(handle).or_insert(Half { bytes: 0, since_ms: now_ms });
        if ended {
            half.since_ms = now_ms;
        }
        self.bytes = self.bytes.saturating_sub(half.bytes).saturating_add(bytes);
        half.bytes = bytes;
    }

    pub(crate) fn forget(&mut self, handle: Handle) {
        if self.held.is_empty() {
            return;
        }
        if let Some(half) = self.held.remove(&handle) {
            self.bytes = self.bytes.saturating_sub(half.bytes);
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Where there is more than `bytes_max`: whom to close, so that an eighth of it is free again. Many at once, for they are looked for
    /// among all.
    pub(crate) fn beyond(&self, bytes_max: usize, now_ms: u64) -> Vec<Handle> {
        if self.bytes <= bytes_max {
            return Vec::new();
        }
        let mut held: Vec<(Handle, Half)> = self.held.iter().map(|(handle, half)| (*handle, *half)).collect();
        held.sort_unstable_by_key(|(handle, half)| {
            let age_ms = now_ms.saturating_sub(half.since_ms).saturating_add(1);
            (Reverse(u64::try_from(half.bytes).unwrap_or(u64::MAX).saturating_mul(age_ms)), *handle)
        });
        let mut left = self.bytes;
        let enough = bytes_max.saturating_sub(bytes_max / 8);
        let goes = |(_, half): &(Handle, Half)| {
            let goes = left > enough;
            left = left.saturating_sub(half.bytes);
            goes
        };
        held.into_iter().take_while(goes).map(|(handle, _)| handle).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_go_that_have_held_the_most_for_the_longest() {
        let mut halves = Halves::default();
        halves.note(1, 100_000, false, 0);
        halves.note(2, 50_000, false, 0);
        halves.note(3, 100_000, false, 9_000);
        halves.note(4, 10_000, false, 0);
        halves.note(5, HELD_BYTES_MIN - 1, false, 0);
        assert_eq!(halves.bytes(), 260_000);
        assert_eq!(halves.beyond(260_000, 10_000), [0; 0]);
        assert_eq!(halves.beyond(259_999, 10_000), [1]);
        assert_eq!(halves.beyond(100_000, 10_000), [1, 2, 3]);
        // More of the same packet does not make it younger, another packet does.
        halves.note(1, 110_000, false, 9_999);
        assert_eq!(halves.beyond(252_000, 10_000), [1]);
        halves.note(1, 110_000, true, 9_999);
        assert_eq!(halves.beyond(252_000, 10_000), [2]);
        halves.note(2, 0, true, 10_000);
        halves.forget(3);
        halves.forget(3);
        assert_eq!((halves.bytes(), halves.held.len()), (120_000, 2));
    }
}
