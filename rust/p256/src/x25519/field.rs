//! What the ladder asks of a back end: elements of the field of p = 2^255 − 19, several side by side.
//!
//! A product comes as a *sum*, a few columns that are still too large to be multiplied. Sums are added and subtracted, and carried to be
//! elements again: the ladder needs nothing else, and so nothing is carried twice. How far sums reach is each back end's own affair, as long
//! as it is for `a·b ± c·d`.

use crate::instructions::Instructions;
use crate::lanes::{LANES_MAX, LaneWords};
use crate::words::{self, Words};

/// What a back end has in each lane.
pub(super) type Vector<F> = <<F as Field>::Instructions as Instructions>::Vector;
/// A number modulo p in each lane.
pub(super) type Element<F> = [Vector<F>; 5];
/// A sum of products in each lane.
pub(super) type Sum<F> = [Vector<F>; 5];

/// A back end. Values are proof that it may run here.
pub(super) trait Field: Copy {
    /// How many lanes, at most `LANES_MAX`.
    const LANES: usize;
    /// Where limbs begin, and where the last one ends: at 255.
    const POSITIONS: [usize; 6];
    /// What it runs on.
    type Instructions: Instructions;

    /// The means to run it.
    fn instructions(self) -> Self::Instructions;
    /// An element of integers, each as long as its limb.
    fn of_limbs(self, limbs: [Vector<Self>; 5]) -> Element<Self>;
    /// The integer that a lane of an element's limb stands for, between ±2^52.
    fn limb(bits: u64) -> i64;

    /// `a·b`.
    fn mul(self, a: &Element<Self>, b: &Element<Self>) -> Sum<Self>;
    /// `a²`.
    fn square(self, a: &Element<Self>) -> Sum<Self>;
    /// `n·a`, n below 2^17.
    fn scale(self, n: u32, a: &Element<Self>) -> Sum<Self>;
    /// `a − b`, neither of them a sum or difference.
    fn sub(self, a: &Sum<Self>, b: &Sum<Self>) -> Sum<Self>;
    /// The element that a sum stands for.
    fn carry(self, sum: &Sum<Self>) -> Element<Self>;

    /// `a + b`, neither of them a sum or difference.
    #[inline(always)]
    fn add(self, a: &Sum<Self>, b: &Sum<Self>) -> Sum<Self> {
        let mut sum = *a;
        for (limb, other) in sum.iter_mut().zip(b) {
            *limb = self.instructions().add(*limb, *other);
        }
        sum
    }

    /// `set` where the word's highest bit is set, else `clear`: the same instructions whatever the bit.
    #[inline(always)]
    fn select(self, word: Vector<Self>, clear: &Element<Self>, set: &Element<Self>) -> Element<Self> {
        let mut chosen = *clear;
        for (limb, set) in chosen.iter_mut().zip(set) {
            *limb = self.instructions().select(word, *limb, *set);
        }
        chosen
    }

    /// Of each lane's number, which is below 2^256, the bits from position `from` to position `to`, 64 at the most.
    #[inline(always)]
    fn bits(self, numbers: &LaneWords, from: usize, to: usize) -> Vector<Self> {
        let mut lanes = [0; LANES_MAX];
        for (lane, number) in lanes.iter_mut().zip(numbers) {
            *lane = bits(number, from, to);
        }
        self.instructions().vector(lanes)
    }

    /// Numbers below 2^255.
    #[inline(always)]
    fn load(self, numbers: &LaneWords) -> Element<Self> {
        let mut limbs = [self.instructions().constant(0); 5];
        for (limb, ends) in limbs.iter_mut().zip(Self::POSITIONS.windows(2)) {
            *limb = self.bits(numbers, ends[0], ends[1]);
        }
        self.of_limbs(limbs)
    }

    /// The numbers, below p.
    #[inline(always)]
    fn store(self, element: &Element<Self>) -> LaneWords {
        let mut limbs = [[0; LANES_MAX]; 5];
        for (numbers, limb) in limbs.iter_mut().zip(element) {
            *numbers = self.instructions().numbers(*limb);
        }
        let mut numbers = [[0; 4]; LANES_MAX];
        for (lane, number) in numbers.iter_mut().enumerate() {
            let [a, b, c, d, e] = [0, 1, 2, 3, 4].map(|i| Self::limb(limbs[i][lane]));
            *number = canonical([a, b, c, d, e], Self::POSITIONS);
        }
        numbers
    }
}

/// The bits of a number from position `from` to position `to`, 64 at the most.
#[inline(always)]
fn bits(number: &Words, from: usize, to: usize) -> u64 {
    let (word, shift) = (from / 64, from % 64);
    let next = if word < 3 { number[word + 1] } else { 0 };
    // Two shifts, since one by 64 is none.
    (number[word] >> shift | next << 1 << (63 - shift)) & (u64::MAX >> (64 - (to - from)))
}

/// The number below p of Σ `limb`·2^`position`, limbs between ±2^52. No branch asks for a limb.
#[inline(always)]
fn canonical(limbs: [i64; 5], positions: [usize; 6]) -> Words {
    // 4p, and so nothing is below zero in the end.
    let mut sums = [-4 * 19, 0, 0, 0, 2_i128];
    for (limb, position) in limbs.into_iter().zip(positions) {
        let shifted = i128::from(limb) << (position % 64);
        sums[position / 64] += shifted & i128::from(u64::MAX);
        sums[position / 64 + 1] += shifted >> 64;
    }
    for index in 0..4 {
        sums[index + 1] += sums[index] >> 64;
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the next word has what is above")]
    let [a, b, c, d, e] = sums.map(|sum| sum as u64);
    // 2^255 = p + 19. Now below 2^255 + 19·8, so once more suffices, where adding 19 reaches bit 255.
    let once = add_19([a, b, c, low_63(d)], e << 1 | d >> 63);
    let mut twice = add_19(once, add_19(once, 1)[3] >> 63);
    twice[3] = low_63(twice[3]);
    twice
}

#[inline(always)]
fn low_63(word: u64) -> u64 {
    word & (u64::MAX >> 1)
}

#[inline(always)]
fn add_19(number: Words, times: u64) -> Words {
    words::add(number, [19 * times, 0, 0, 0]).0
}
