//! What the targets share: how their bytes are read, and the tool boxes of other rooms' tests.
#![forbid(unsafe_code)]
#![allow(missing_docs, clippy::missing_panics_doc, reason = "a fuzz target fails by panicking")]

#[path = "../../x509/tests/forge/mod.rs"]
pub mod forge;
#[path = "../../gate/tests/world/mod.rs"]
pub mod world;

pub mod chains;
pub mod edits;

/// The input, taken from the front; what is not there reads as zero, so every input means something.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a>(pub &'a [u8]);

impl<'a> Input<'a> {
    pub fn byte(&mut self) -> u8 {
        self.take(1).first().copied().unwrap_or(0)
    }

    pub fn flag(&mut self) -> bool {
        self.byte() & 1 == 1
    }

    /// A number below `end`, which is at most 65,536.
    pub fn below(&mut self, end: usize) -> usize {
        let high = if end > 256 { self.byte() } else { 0 };
        (usize::from(high) << 8 | usize::from(self.byte())) % end
    }

    pub fn take(&mut self, count: usize) -> &'a [u8] {
        let (head, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        head
    }

    /// Octets behind their length, which is two octets.
    pub fn block(&mut self) -> &'a [u8] {
        let length = self.below(1 << 16);
        self.take(length)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Sizes of pieces: small ones and whole.
    pub fn piece(&mut self) -> usize {
        match self.byte() {
            0 => usize::MAX,
            size => usize::from(size),
        }
    }
}

/// Blocks as [`Input::block`] reads them.
pub fn blocks(parts: &[Vec<u8>]) -> Vec<u8> {
    let block = |part: &Vec<u8>| [&u16::try_from(part.len()).unwrap_or(u16::MAX).to_be_bytes()[..], part].concat();
    parts.iter().flat_map(block).collect()
}
