//! The back end for every machine: one lane, kept fully reduced.

use crate::lanes::{LANES_MAX, LaneWords, Lanes, Mask, Packed};
use crate::montgomery::{Field, Modulus, Residue};
use crate::words::{self, Words};

/// One lane of 64-bit words.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Portable;

type Element = Residue<Field>;

impl Lanes for Portable {
    const COUNT: usize = 1;
    const RADIX_BITS: u32 = 256;
    type Residue<M: Modulus> = Residue<M>;

    #[inline(always)]
    fn run<T>(self, work: impl FnOnce() -> T) -> T {
        work()
    }

    #[inline(always)]
    fn splat<M: Modulus>(self, words: Words) -> Residue<M> {
        Residue::from_montgomery(words)
    }

    #[inline(always)]
    fn load<M: Modulus>(self, words: &LaneWords) -> Residue<M> {
        Residue::from_montgomery(words::reduce_once(words[0], M::M))
    }

    #[inline(always)]
    fn store<M: Modulus>(self, value: &Residue<M>) -> LaneWords {
        [value.montgomery(); LANES_MAX]
    }

    #[inline(always)]
    fn mul<M: Modulus>(self, a: &Residue<M>, b: &Residue<M>) -> Residue<M> {
        a.mul(*b)
    }

    #[inline(always)]
    fn invert<M: Modulus>(self, value: &Residue<M>) -> Residue<M> {
        value.invert()
    }

    #[inline(always)]
    fn select<M: Modulus>(self, mask: Mask, a: &Residue<M>, b: &Residue<M>) -> Residue<M> {
        if mask & 1 == 1 { *a } else { *b }
    }

    #[inline(always)]
    fn exchange<M: Modulus>(self, _distance: usize, value: &Residue<M>) -> Residue<M> {
        *value
    }

    #[inline(always)]
    fn gather<'a>(self, point: impl Fn(usize) -> &'a Packed) -> [Element; 2] {
        let point = point(0);
        [Residue::from_montgomery(*point.half::<false>()), Residue::from_montgomery(*point.half::<true>())]
    }

    #[inline(always)]
    fn gather_x<'a>(self, point: impl Fn(usize) -> &'a Packed) -> Element {
        Residue::from_montgomery(*point(0).half::<false>())
    }

    #[inline(always)]
    fn gather_y<'a>(self, point: impl Fn(usize) -> &'a Packed) -> Element {
        Residue::from_montgomery(*point(0).half::<true>())
    }

    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    fn prefetch(self, point: &Packed) {
        crate::ifma::prefetch(point);
    }

    #[inline(always)]
    fn square(self, a: &Element) -> Element {
        a.square()
    }

    #[inline(always)]
    fn mul_sub<const K: u64>(self, a: &Element, b: &Element, c: &Element) -> Element {
        a.mul(*b).sub(c.times::<K>())
    }

    #[inline(always)]
    fn mul_sub_signed(self, negate: Mask, a: &Element, b: &Element, c: &Element) -> Element {
        a.mul(*b).sub(*c).negate_if(negate & 1 == 1)
    }

    #[inline(always)]
    fn square_sub<const K: u64, const J: u64>(self, a: &Element, c: &Element, d: &Element) -> Element {
        let difference = a.square().sub(c.times::<K>());
        if J == 0 { difference } else { difference.sub(*d) }
    }

    #[inline(always)]
    fn sum(self, a: &Element, b: &Element) -> Element {
        a.add(*b)
    }

    #[inline(always)]
    fn difference(self, a: &Element, b: &Element) -> Element {
        a.sub(*b)
    }

    #[inline(always)]
    fn difference_signed(self, negate: Mask, a: &Element, b: &Element) -> Element {
        a.negate_if(negate & 1 == 1).sub(*b)
    }

    #[inline(always)]
    fn scaled_difference<const J: u64, const K: u64>(self, a: &Element, b: &Element) -> Element {
        if J == K { a.sub(*b).times::<J>() } else { a.times::<J>().sub(b.times::<K>()) }
    }

    #[inline(always)]
    fn is_zero_difference(self, difference: &Element) -> Mask {
        Mask::from(difference.is_zero())
    }
}
