//! What arithmetic asks of a processor: 64 bits in each lane, and one instruction or two for each operation.
//!
//! What is written over these traits runs on any machine in tests: on numbers, and on intervals, which proves the bounds that it
//! relies on.

use crate::lanes::LANES_MAX;

/// What all vector units have. Values are proof that the instructions are there.
pub(crate) trait Instructions: Copy {
    /// How many lanes, at most `LANES_MAX`.
    const LANES: usize;
    /// 64 bits in each lane.
    type Vector: Copy;

    /// Runs `work`, compiled for the instructions.
    fn run<T>(self, work: impl FnOnce() -> T) -> T;
    /// Numbers that the processor has no lane for are ignored.
    fn vector(self, numbers: [u64; LANES_MAX]) -> Self::Vector;
    /// Zero, where the processor has no lane.
    fn numbers(self, vector: Self::Vector) -> [u64; LANES_MAX];
    /// The same number in every lane.
    fn constant(self, number: u64) -> Self::Vector;
    /// `a + b` modulo 2^64.
    fn add(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// `a − b` modulo 2^64.
    fn sub(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// The bits that both have.
    fn and(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// `a·2^by` modulo 2^64; `by` is a constant once all is inlined.
    fn shift_left(self, a: Self::Vector, by: u32) -> Self::Vector;
    /// `a / 2^by`, rounded down; `by` is a constant once all is inlined.
    fn shift_right(self, a: Self::Vector, by: u32) -> Self::Vector;
    /// `set` where the highest bit of `by` is set, else `clear`. In constant time.
    fn select(self, by: Self::Vector, clear: Self::Vector, set: Self::Vector) -> Self::Vector;
}

/// Floating-point numbers (IEEE 754, 64 bits) in the lanes, rounded to the nearest.
pub(crate) trait Floating: Instructions {
    /// `a + b`.
    fn float_add(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// `a − b`.
    fn float_sub(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// `a·b + c`, rounded once.
    fn float_mul_add(self, a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector;

    /// A product of two integers, of at most 2^102 in either direction, as `high`·2^51 + `low`: both as integers that exceed them by the
    /// bits of `HIGH` and `LOW`; |`low`| is at most 2^50.
    ///
    /// From 2^103 to 2^104 neighbours are 2^51 apart, from 2^52 to 2^53 they are 1 apart, and their bits are consecutive integers. So the
    /// first addition rounds to a multiple of 2^51 and has its number in its bits; the subtraction is exact, since all three are multiples of
    /// 2^51 and the result is near a product; and the last sum is `LOW` and what the rounding left, which is an integer.
    #[inline(always)]
    fn split_product(self, a: Self::Vector, b: Self::Vector) -> [Self::Vector; 2] {
        let high = self.float_mul_add(a, b, self.constant(const { HIGH.to_bits() }));
        let rest = self.float_sub(self.constant(const { (HIGH + LOW).to_bits() }), high);
        [high, self.float_mul_add(a, b, rest)]
    }
}

/// The middle of the numbers that are 2^51 apart.
pub(crate) const HIGH: f64 = 1.5 * power_of_two(103);
/// The middle of the numbers that are 1 apart.
pub(crate) const LOW: f64 = 1.5 * power_of_two(52);

/// 2^`exponent`, exponents from 0 to 1023.
pub(crate) const fn power_of_two(exponent: u64) -> f64 {
    f64::from_bits((1023 + exponent) << 52)
}

pub(crate) const LIMB_BITS: u32 = 52;
pub(crate) const LIMB_MASK: u64 = (1 << LIMB_BITS) - 1;

/// The multiplications of AVX-512 IFMA, and what is done with them in numbers of 52-bit limbs. A *normal* number has its lower four limbs below
/// 2^52.
pub(crate) trait MultiplyAdd52: Instructions {
    /// `sum` and the low 52 bits of the product of the low 52 bits of both.
    fn add_low_product(self, sum: Self::Vector, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// `sum` and what the product of the low 52 bits of both has above 52 bits.
    fn add_high_product(self, sum: Self::Vector, a: Self::Vector, b: Self::Vector) -> Self::Vector;

    /// The columns of a·b, normal both. Each takes at most five low and five high halves, so it stays below 10·2^52.
    #[inline(always)]
    fn product(self, a: &[Self::Vector; 5], b: &[Self::Vector; 5]) -> [Self::Vector; 10] {
        let mut columns = [self.constant(0); 10];
        for (i, a) in a.iter().enumerate() {
            for (j, b) in b.iter().enumerate() {
                columns[i + j] = self.add_low_product(columns[i + j], *a, *b);
            }
            for (j, b) in b.iter().enumerate() {
                columns[i + j + 1] = self.add_high_product(columns[i + j + 1], *a, *b);
            }
        }
        columns
    }

    /// The columns of a·a: unequal limbs once and doubled, then the squares. The bound is that of `product`.
    #[inline(always)]
    fn square_product(self, a: &[Self::Vector; 5]) -> [Self::Vector; 10] {
        let mut columns = [self.constant(0); 10];
        for i in 0..5 {
            for j in i + 1..5 {
                columns[i + j] = self.add_low_product(columns[i + j], a[i], a[j]);
                columns[i + j + 1] = self.add_high_product(columns[i + j + 1], a[i], a[j]);
            }
        }
        for column in &mut columns[1..9] {
            *column = self.add(*column, *column);
        }
        for i in 0..5 {
            columns[2 * i] = self.add_low_product(columns[2 * i], a[i], a[i]);
            columns[2 * i + 1] = self.add_high_product(columns[2 * i + 1], a[i], a[i]);
        }
        columns
    }

    /// Makes limbs of columns normal.
    #[inline(always)]
    fn carry(self, mut limbs: [Self::Vector; 5]) -> [Self::Vector; 5] {
        for i in 0..4 {
            limbs[i + 1] = self.add(limbs[i + 1], self.shift_right(limbs[i], LIMB_BITS));
            limbs[i] = self.and(limbs[i], self.constant(LIMB_MASK));
        }
        limbs
    }
}
