//! The field in five limbs of 52 bits, for the multiplications of AVX-512 IFMA.
//!
//! **Bounds.** An *element's* limbs are below 2^52, else multiplications would not see all of them, and the highest is below 2^48. A product's
//! columns are below 10·2^52. As 2^260 = 32·p + 608, the upper five are added to the lower ones 608 times, each in three parts: the
//! low and the high half of the product with its low 52 bits, and the product with what is above, which is below 2^4. So a product is a sum
//! whose limbs are below 12·2^52. Before another is subtracted, 1,024·p is added, whose limbs are larger. What comes of it is below
//! 2^63, and is carried limb by limb, after the highest limb's part above 2^255 went to the lowest, 19 times. Tests prove it by intervals.

use super::field::Field;
use crate::instructions::{LIMB_BITS, MultiplyAdd52};

/// 1,024·p, limb by limb.
const MULTIPLE_OF_P: [u64; 5] = {
    let limb = 1 << 10 << LIMB_BITS;
    [limb - (19 << 10), limb - (1 << 10), limb - (1 << 10), limb - (1 << 10), (1 << 57) - (1 << 10)]
};

/// Field elements on a processor.
#[derive(Clone, Copy, Debug)]
pub(super) struct Integers<I>(pub(super) I);

impl<I: MultiplyAdd52> Field for Integers<I> {
    const LANES: usize = I::LANES;
    const POSITIONS: [usize; 6] = [0, 52, 104, 156, 208, 255];
    type Instructions = I;

    #[inline(always)]
    fn instructions(self) -> I {
        self.0
    }

    #[inline(always)]
    fn of_limbs(self, limbs: [I::Vector; 5]) -> [I::Vector; 5] {
        limbs
    }

    #[inline(always)]
    fn limb(bits: u64) -> i64 {
        bits.cast_signed()
    }

    #[inline(always)]
    fn mul(self, a: &[I::Vector; 5], b: &[I::Vector; 5]) -> [I::Vector; 5] {
        self.fold(&self.0.product(a, b))
    }

    #[inline(always)]
    fn square(self, a: &[I::Vector; 5]) -> [I::Vector; 5] {
        self.fold(&self.0.square_product(a))
    }

    #[inline(always)]
    fn scale(self, n: u32, a: &[I::Vector; 5]) -> [I::Vector; 5] {
        let zero = self.0.constant(0);
        self.mul(a, &[self.0.constant(n.into()), zero, zero, zero, zero])
    }

    #[inline(always)]
    fn sub(self, a: &[I::Vector; 5], b: &[I::Vector; 5]) -> [I::Vector; 5] {
        let mut difference = *a;
        for i in 0..5 {
            difference[i] = self.0.add(a[i], self.0.sub(self.0.constant(MULTIPLE_OF_P[i]), b[i]));
        }
        difference
    }

    #[inline(always)]
    fn carry(self, sum: &[I::Vector; 5]) -> [I::Vector; 5] {
        let mut limbs = *sum;
        let above = self.0.shift_right(limbs[4], 47);
        limbs[4] = self.0.and(limbs[4], self.0.constant((1 << 47) - 1));
        limbs[0] = self.0.add_low_product(limbs[0], above, self.0.constant(19));
        self.0.carry(limbs)
    }
}

impl<I: MultiplyAdd52> Integers<I> {
    #[inline(always)]
    fn fold(self, columns: &[I::Vector; 10]) -> [I::Vector; 5] {
        let factor = self.0.constant(608);
        let [a, b, c, d, e, high @ ..] = *columns;
        // The last is what the highest column has for 2^260 again.
        let mut sum = [a, b, c, d, e, self.0.constant(0)];
        for (i, high) in high.into_iter().enumerate() {
            sum[i] = self.0.add_low_product(sum[i], high, factor);
            sum[i + 1] = self.0.add_high_product(sum[i + 1], high, factor);
            sum[i + 1] = self.0.add_low_product(sum[i + 1], self.0.shift_right(high, LIMB_BITS), factor);
        }
        let [a, b, c, d, e, again] = sum;
        [self.0.add_low_product(a, again, factor), b, c, d, e]
    }
}
