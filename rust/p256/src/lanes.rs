//! What the algorithm asks of a back end: residues modulo a prime, `COUNT` of them side by side, in Montgomery form.
//!
//! The algorithm is written once, over this trait; `portable` has one lane, `ifma` eight. A mask is one bit a lane.
//!
//! Reduction is lazy, and the bounds are part of each operation's contract. In multiples of the prime p:
//! - *tight*: less than p and a little more (p + 2^230);
//! - *product*: below 2p, what a multiplication gives;
//! - *factor*: below 4p, what a multiplication takes.
//!
//! A tight value is a product, and a product is a factor. A back end may keep its values smaller, never larger.

use crate::montgomery::{Field, Modulus};
use crate::words::{self, P, Words};

/// The most lanes that a back end has.
pub(crate) const LANES_MAX: usize = 8;

/// One bit a lane, lane 0 lowest.
pub(crate) type Mask = u8;

/// One number a lane; lanes that the back end does not have are ignored.
pub(crate) type LaneWords = [Words; LANES_MAX];

/// A point in a table: x, then y, each below p, in the back end's Montgomery form. One cache line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C, align(64))]
pub(crate) struct Packed(pub(crate) [u64; 8]);

impl Packed {
    pub(crate) fn new(x: Words, y: Words) -> Self {
        Self([x[0], x[1], x[2], x[3], y[0], y[1], y[2], y[3]])
    }

    /// The words of x, or with `Y`, of y.
    #[inline(always)]
    pub(crate) fn half<const Y: bool>(&self) -> &Words {
        &self.0.as_chunks::<4>().0[usize::from(Y)]
    }
}

/// A field element in each lane.
pub(crate) type Element<L> = <L as Lanes>::Residue<Field>;

/// A back end. Values are proof that it may run here.
pub(crate) trait Lanes: Copy {
    /// How many lanes.
    const COUNT: usize;
    /// The Montgomery form of x is x·2^`RADIX_BITS` modulo the prime.
    const RADIX_BITS: u32;
    /// `COUNT` residues modulo `M`.
    type Residue<M: Modulus>: Copy;

    /// Runs `work`, compiled for this back end's instructions. Loops belong inside; calls to the other methods are then inlined.
    fn run<T>(self, work: impl FnOnce() -> T) -> T;

    /// The same words, below `M`, in every lane.
    fn splat<M: Modulus>(self, words: Words) -> Self::Residue<M>;
    /// Any words below 2^256 in each lane: a factor.
    fn load<M: Modulus>(self, words: &LaneWords) -> Self::Residue<M>;
    /// The words of a product, below `M`.
    fn store<M: Modulus>(self, value: &Self::Residue<M>) -> LaneWords;
    /// Two factors give a product.
    fn mul<M: Modulus>(self, a: &Self::Residue<M>, b: &Self::Residue<M>) -> Self::Residue<M>;
    /// 1 / `value`, tight, of a product that is zero in no lane (else the result is zero or any other value in every lane).
    fn invert<M: Modulus>(self, value: &Self::Residue<M>) -> Self::Residue<M>;
    /// `a` where the mask is set, else `b`.
    fn select<M: Modulus>(self, mask: Mask, a: &Self::Residue<M>, b: &Self::Residue<M>) -> Self::Residue<M>;
    /// Lane i becomes lane i XOR `distance`, which is 1, 2 or 4 and less than `COUNT`.
    fn exchange<M: Modulus>(self, distance: usize, value: &Self::Residue<M>) -> Self::Residue<M>;

    /// Tight coordinates of one point a lane.
    fn gather<'a>(self, point: impl Fn(usize) -> &'a Packed) -> [Element<Self>; 2];
    /// The x of one point a lane, tight.
    fn gather_x<'a>(self, point: impl Fn(usize) -> &'a Packed) -> Element<Self>;
    /// The y of one point a lane, tight.
    fn gather_y<'a>(self, point: impl Fn(usize) -> &'a Packed) -> Element<Self>;

    /// Asks for a point that will soon be gathered.
    #[inline(always)]
    fn prefetch(self, _point: &Packed) {}

    /// `a²` of a factor: a product.
    fn square(self, a: &Element<Self>) -> Element<Self>;
    /// `a·b − K·c`, tight; a and b factors, c a product, `K` at most 8.
    fn mul_sub<const K: u64>(self, a: &Element<Self>, b: &Element<Self>, c: &Element<Self>) -> Element<Self>;
    /// `±(a·b − c)`, tight, negated where the mask is set; a and b factors, c a product.
    fn mul_sub_signed(self, negate: Mask, a: &Element<Self>, b: &Element<Self>, c: &Element<Self>) -> Element<Self>;
    /// `a² − K·c − J·d`, tight; a and d factors, c a product, `K` at most 8, `J` at most 1.
    fn square_sub<const K: u64, const J: u64>(
        self,
        a: &Element<Self>,
        c: &Element<Self>,
        d: &Element<Self>,
    ) -> Element<Self>;
    /// `a + b`, a factor; both products.
    fn sum(self, a: &Element<Self>, b: &Element<Self>) -> Element<Self>;
    /// `a − b`, a factor; a a product, b tight.
    fn difference(self, a: &Element<Self>, b: &Element<Self>) -> Element<Self>;
    /// `±a − b`, tight, a negated where the mask is set; both tight.
    fn difference_signed(self, negate: Mask, a: &Element<Self>, b: &Element<Self>) -> Element<Self>;
    /// `J·a − K·b`, tight; both products, `J` and `K` at most 4.
    fn scaled_difference<const J: u64, const K: u64>(self, a: &Element<Self>, b: &Element<Self>) -> Element<Self>;
    /// The lanes where a result of `difference` is zero modulo p.
    fn is_zero_difference(self, difference: &Element<Self>) -> Mask;

    /// One, in Montgomery form.
    #[inline(always)]
    fn one<M: Modulus>(self) -> Self::Residue<M> {
        self.splat(const { words::power_of_two(Self::RADIX_BITS, M::M) })
    }

    /// The Montgomery form, a product, of numbers.
    #[inline(always)]
    fn to_montgomery<M: Modulus>(self, number: &Self::Residue<M>) -> Self::Residue<M> {
        self.mul(number, &self.splat(const { words::power_of_two(2 * Self::RADIX_BITS, M::M) }))
    }

    /// The Montgomery form, tight, of coordinates.
    #[inline(always)]
    fn coordinates(self, numbers: &LaneWords) -> Element<Self> {
        let squared_radix = self.splat(const { words::power_of_two(2 * Self::RADIX_BITS, P) });
        self.mul_sub::<1>(&self.load(numbers), &squared_radix, &self.splat([0; 4]))
    }

    /// The numbers, below the prime, of a factor in Montgomery form.
    #[inline(always)]
    fn to_numbers<M: Modulus>(self, value: &Self::Residue<M>) -> LaneWords {
        self.store(&self.mul(value, &self.splat([1, 0, 0, 0])))
    }
}
