//! Changes to a stream on its way: what an attacker between two honest ends can do.

use crate::Input;

#[derive(Clone, Copy, Debug)]
enum Edit {
    Change(u8),
    Insert(u8),
    Remove(u8),
    Repeat(u8),
}

/// Edits by their place in the stream.
#[derive(Debug)]
pub struct Edits {
    edits: Vec<(usize, Edit)>,
    passed: usize,
}

impl Edits {
    /// Four octets each: two for the place, one for the kind, one for how.
    pub fn read(input: &mut Input<'_>) -> Self {
        let mut edits = Vec::new();
        while !input.is_empty() && edits.len() < 32 {
            let place = input.below(1 << 13);
            let edit = match (input.byte() % 4, input.byte()) {
                // A change that changes nothing is none.
                (0, how) => Edit::Change(how.max(1)),
                (1, how) => Edit::Insert(how),
                (2, how) => Edit::Remove(how),
                (_, how) => Edit::Repeat(how),
            };
            edits.push((place, edit));
        }
        edits.sort_by_key(|(place, _)| *place);
        Self { edits, passed: 0 }
    }

    /// The next of the stream as it arrives.
    pub fn apply(&mut self, sent: &[u8]) -> Vec<u8> {
        let mut arrived = Vec::with_capacity(sent.len());
        let mut removed = 0usize;
        for octet in sent {
            let mut octet = *octet;
            for (_, edit) in self.edits.iter().filter(|(place, _)| *place == self.passed) {
                match *edit {
                    Edit::Change(how) => octet ^= how,
                    Edit::Insert(how) => arrived.push(how),
                    Edit::Remove(how) => removed = removed.max(usize::from(how) + 1),
                    Edit::Repeat(how) => arrived.extend_from_within(arrived.len().saturating_sub(usize::from(how))..),
                }
            }
            if removed > 0 {
                removed -= 1;
            } else {
                arrived.push(octet);
            }
            self.passed += 1;
        }
        arrived
    }
}
