//! The field in five limbs of 51 bits that are floating-point numbers: for processors that multiply those faster than integers.
//!
//! AVX2 multiplies integers of 32 bits, and adds up by another instruction; of floating-point numbers it multiplies 53 bits and adds in one.
//! Nothing here is rounded but where `Floating::split_product` asks for it, and so nothing is approximate. Measured on Zen 3: three quarters
//! of the time that ten limbs of 25.5 bits take (Bernstein's Curve25519, 2006, whose first form was in floating-point numbers, too).
//!
//! **Bounds.** An *element's* limbs are integers between ±(2^50 + 2^14), so that the product of two of them, and twice that, is within what
//! `split_product` takes, with room to spare. The columns of a product have at most five low parts, each within 2^50, and five high parts, each
//! hardly more. As 2^255 = p + 19, the upper five are added to the lower ones 19 times: within 20·10·2^50, below 2^58. A sum of two is
//! below 2^59; so what is carried is below 2^8, and from the highest limb to the lowest 19 times that, below 2^13. Tests prove it by intervals.
//!
//! **Constant time.** Additions and multiplications of floating-point numbers take as long whatever the numbers, but for those that are not
//! normal; here all are integers, and so zero or normal.

use super::field::Field;
use crate::instructions::{self, Floating, HIGH, LOW};

const LIMB_BITS: u32 = 51;

/// Field elements on a processor.
#[derive(Clone, Copy, Debug)]
pub(super) struct Floats<I>(pub(super) I);

impl<I: Floating> Field for Floats<I> {
    const LANES: usize = I::LANES;
    const POSITIONS: [usize; 6] = [0, 51, 102, 153, 204, 255];
    type Instructions = I;

    #[inline(always)]
    fn instructions(self) -> I {
        self.0
    }

    #[inline(always)]
    fn of_limbs(self, limbs: [I::Vector; 5]) -> [I::Vector; 5] {
        self.carry(&limbs)
    }

    #[inline(always)]
    fn limb(bits: u64) -> i64 {
        #[expect(clippy::cast_possible_truncation, reason = "an element's limb is an integer within 2^51")]
        let limb = f64::from_bits(bits) as i64;
        limb
    }

    #[inline(always)]
    fn mul(self, a: &[I::Vector; 5], b: &[I::Vector; 5]) -> [I::Vector; 5] {
        let mut columns = self.columns([1, 2, 3, 4, 5, 4, 3, 2, 1, 0]);
        for (i, a) in a.iter().enumerate() {
            for (j, b) in b.iter().enumerate() {
                self.accumulate(&mut columns, i + j, *a, *b);
            }
        }
        self.fold(&columns)
    }

    /// Products of unequal limbs once, of a limb and twice the other.
    #[inline(always)]
    fn square(self, a: &[I::Vector; 5]) -> [I::Vector; 5] {
        let mut columns = self.columns([1, 1, 2, 2, 3, 2, 2, 1, 1, 0]);
        for i in 0..5 {
            self.accumulate(&mut columns, 2 * i, a[i], a[i]);
            let twice = self.0.float_add(a[i], a[i]);
            for (j, other) in a.iter().enumerate().skip(i + 1) {
                self.accumulate(&mut columns, i + j, twice, *other);
            }
        }
        self.fold(&columns)
    }

    #[inline(always)]
    fn scale(self, n: u32, a: &[I::Vector; 5]) -> [I::Vector; 5] {
        let mut columns = self.columns([1, 1, 1, 1, 1, 0, 0, 0, 0, 0]);
        let n = self.0.constant(f64::from(n).to_bits());
        for (i, a) in a.iter().enumerate() {
            self.accumulate(&mut columns, i, *a, n);
        }
        self.fold(&columns)
    }

    #[inline(always)]
    fn sub(self, a: &[I::Vector; 5], b: &[I::Vector; 5]) -> [I::Vector; 5] {
        let mut difference = *a;
        for (limb, other) in difference.iter_mut().zip(b) {
            *limb = self.0.sub(*limb, *other);
        }
        difference
    }

    /// All limbs at once. What is above 51 bits, rounded to the nearest, goes to the next limb. Numbers are made positive for the shift by
    /// 2^62, which is 2^11 for the next limb.
    #[inline(always)]
    fn carry(self, sum: &[I::Vector; 5]) -> [I::Vector; 5] {
        let (mut limbs, mut carries) = (*sum, *sum);
        for i in 0..5 {
            let positive = self.0.add(sum[i], self.0.constant((1 << 62) + (1 << 50)));
            limbs[i] = self.0.and(positive, self.0.constant((1 << LIMB_BITS) - 1));
            carries[i] = self.0.shift_right(positive, LIMB_BITS);
        }
        let [a, b, c, d, e] = carries;
        for (i, (carry, times)) in [(self.times_19(e), 19), (a, 1), (b, 1), (c, 1), (d, 1)].into_iter().enumerate() {
            limbs[i] = self.float(self.0.add(limbs[i], carry), (1 << 50) + (times << 11));
        }
        limbs
    }
}

impl<I: Floating> Floats<I> {
    /// Empty columns: less what the products' bits have too much, given how many low parts each column will have. Of high parts it will have
    /// as many as the column before has low ones.
    #[inline(always)]
    fn columns(self, counts: [u64; 10]) -> [I::Vector; 10] {
        let (mut columns, mut previous) = ([self.0.constant(0); 10], 0);
        for (column, count) in columns.iter_mut().zip(counts) {
            let excess = LOW.to_bits().wrapping_mul(count).wrapping_add(HIGH.to_bits().wrapping_mul(previous));
            *column = self.0.constant(excess.wrapping_neg());
            previous = count;
        }
        columns
    }

    #[inline(always)]
    fn accumulate(self, columns: &mut [I::Vector; 10], column: usize, a: I::Vector, b: I::Vector) {
        let [high, low] = self.0.split_product(a, b);
        columns[column] = self.0.add(columns[column], low);
        columns[column + 1] = self.0.add(columns[column + 1], high);
    }

    #[inline(always)]
    fn fold(self, columns: &[I::Vector; 10]) -> [I::Vector; 5] {
        let [a, b, c, d, e, high @ ..] = *columns;
        let mut sum = [a, b, c, d, e];
        for (limb, high) in sum.iter_mut().zip(high) {
            *limb = self.0.add(*limb, self.times_19(high));
        }
        sum
    }

    #[inline(always)]
    fn times_19(self, a: I::Vector) -> I::Vector {
        self.0.add(self.0.add(a, self.0.add(a, a)), self.0.shift_left(a, 4))
    }

    /// The floating-point number `integer` − `less`. The integer is below 2^52, `less` too.
    #[inline(always)]
    fn float(self, integer: I::Vector, less: u64) -> I::Vector {
        // The bits of 2^52 and more are those of 2^52, and more.
        const ZERO: u64 = instructions::power_of_two(52).to_bits();
        self.0.float_sub(self.0.add(integer, self.0.constant(ZERO)), self.0.constant(ZERO + less))
    }
}
