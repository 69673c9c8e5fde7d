//! Numbers that are the same in every run with the same seed.

use num_bigint::BigUint;

use super::curve;

/// `SplitMix64` (Steele, Lea, Flood, OOPSLA 2014).
pub struct Random(pub u64);

impl Random {
    pub fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    #[expect(clippy::cast_possible_truncation, reason = "the remainder is below a usize")]
    pub fn below(&mut self, count: usize) -> usize {
        (self.word() % count as u64) as usize
    }

    /// In 1..n.
    pub fn scalar(&mut self) -> BigUint {
        let number = (0..5).fold(BigUint::ZERO, |number, _| (number << 64) | BigUint::from(self.word()));
        number % (curve::n() - 1u8) + 1u8
    }
}
