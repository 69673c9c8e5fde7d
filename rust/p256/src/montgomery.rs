//! One residue modulo p or n, in Montgomery form with R = 2^256: the portable back end's arithmetic.
//!
//! A residue x is kept as x·R modulo m, always below m. The product of two forms is a·b·R⁻¹ modulo m (Montgomery, Math. Comp.
//! 44, 1985): of the eight words of a·b the lower four are cleared one by one, by adding a multiple q·m, and dropped.
//!
//! Bounds. Both moduli are below 2^256 − 2^223. Clearing takes four words t to (t + q·m) / 2^64 < 2^192 + m < 2^256: four words
//! again, and in the end no more than m. The upper words of a·b are below m, so the sum is below 2m: one subtraction of m
//! suffices. `wide` never overflows 128 bits: (2^64 − 1)² + 2·(2^64 − 1) = 2^128 − 1.

use std::marker::PhantomData;

use crate::inverse;
use crate::words::{self, N, P, Words};

/// A prime between 2^255 and 2^256.
pub(crate) trait Modulus: Copy + Eq + std::fmt::Debug {
    const M: Words;
    /// R² modulo `M`: takes a number into Montgomery form.
    const R2: Words = words::power_of_two(512, Self::M);

    /// −`M`⁻¹ modulo 2^64, by Newton's iteration: each step doubles the number of right bits, and m·m ≡ 1 modulo 8.
    const NEGATED_INVERSE: u64 = {
        let (mut inverse, mut step) = (Self::M[0], 0);
        while step < 5 {
            inverse = inverse.wrapping_mul(2u64.wrapping_sub(Self::M[0].wrapping_mul(inverse)));
            step += 1;
        }
        inverse.wrapping_neg()
    };
    /// Whether this is p, whose shape makes reduction cheaper.
    const IS_FIELD: bool;

    /// Adds to `t` the multiple of `M` that clears its lowest word, and drops that word.
    fn clear_word(t: Words) -> Words;
}

/// Modulo p: the field of the curve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Field;
/// Modulo n: the scalars.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Order;

impl Modulus for Field {
    const M: Words = P;
    const IS_FIELD: bool = true;

    /// p ≡ −1 modulo 2^64, so the multiple is the lowest word q itself, and
    /// q·p = −q + q·2^96 + q·2^192·(2^64 − 2^32 + 1): the first term clears the word, the second is two shifts.
    #[inline(always)]
    fn clear_word(t: Words) -> Words {
        let q = t[0];
        let (t1, carry) = wide_add(t[1], q << 32, 0);
        let (t2, carry) = wide_add(t[2], q >> 32, carry);
        let (t3, t4) = wide(q, P[3], t[3], carry);
        [t1, t2, t3, t4]
    }
}

impl Modulus for Order {
    const M: Words = N;
    const IS_FIELD: bool = false;

    #[inline(always)]
    fn clear_word(t: Words) -> Words {
        let q = t[0].wrapping_mul(Self::NEGATED_INVERSE);
        let (_, carry) = wide(q, N[0], t[0], 0);
        let (t1, carry) = wide(q, N[1], t[1], carry);
        let (t2, carry) = wide(q, N[2], t[2], carry);
        let (t3, t4) = wide(q, N[3], t[3], carry);
        [t1, t2, t3, t4]
    }
}

/// `a·b + c + d` as (low, high).
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "the two halves of a product")]
const fn wide(a: u64, b: u64, c: u64, d: u64) -> (u64, u64) {
    let sum = (a as u128).wrapping_mul(b as u128).wrapping_add(c as u128).wrapping_add(d as u128);
    (sum as u64, (sum >> 64) as u64)
}

/// `a + b + c` as (low, carry).
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "the two halves of a sum")]
const fn wide_add(a: u64, b: u64, c: u64) -> (u64, u64) {
    let sum = (a as u128).wrapping_add(b as u128).wrapping_add(c as u128);
    (sum as u64, (sum >> 64) as u64)
}

/// A residue modulo `M`, in Montgomery form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Residue<M>(Words, PhantomData<M>);

impl<M: Modulus> Residue<M> {
    pub(crate) const ZERO: Self = Self([0; 4], PhantomData);

    /// From a number of up to 256 bits, which may exceed the modulus.
    #[inline(always)]
    pub(crate) fn new(number: Words) -> Self {
        Self::from_montgomery(words::reduce_once(number, M::M)).mul(Self(M::R2, PhantomData))
    }

    /// The number, below the modulus.
    #[inline(always)]
    pub(crate) fn number(self) -> Words {
        self.mul(Self([1, 0, 0, 0], PhantomData)).0
    }

    /// From words that are already in Montgomery form, below the modulus.
    #[inline(always)]
    pub(crate) const fn from_montgomery(words: Words) -> Self {
        Self(words, PhantomData)
    }

    #[inline(always)]
    pub(crate) fn montgomery(self) -> Words {
        self.0
    }

    #[inline(always)]
    pub(crate) fn is_zero(self) -> bool {
        self.0 == [0; 4]
    }

    #[inline(always)]
    pub(crate) fn add(self, other: Self) -> Self {
        let (sum, overflowed) = words::add(self.0, other.0);
        let (difference, below) = words::sub(sum, M::M);
        Self(if below && !overflowed { sum } else { difference }, PhantomData)
    }

    #[inline(always)]
    pub(crate) fn sub(self, other: Self) -> Self {
        let (difference, below) = words::sub(self.0, other.0);
        // Adding a masked modulus instead of choosing keeps the compiler from branching on a coin toss.
        let mask = u64::from(below).wrapping_neg();
        Self(words::add(difference, M::M.map(|word| word & mask)).0, PhantomData)
    }

    /// `self` times a small number, by doubling.
    #[inline(always)]
    pub(crate) fn times<const K: u64>(self) -> Self {
        match K {
            1 => self,
            2 => self.add(self),
            3 => self.times::<2>().add(self),
            4 => self.times::<2>().times::<2>(),
            8 => self.times::<4>().times::<2>(),
            _ => unreachable!("no formula asks for it"),
        }
    }

    /// −`self` if asked for. The choice is made with a mask: signs are coin tosses, which no processor can foresee.
    #[inline(always)]
    pub(crate) fn negate_if(self, negate: bool) -> Self {
        let (keep, change) = (u64::from(!negate).wrapping_neg(), u64::from(negate).wrapping_neg());
        let negated = Self::ZERO.sub(self).0;
        let mut result = self.0;
        for (word, negated) in result.iter_mut().zip(negated) {
            *word = (*word & keep) | (negated & change);
        }
        Self(result, PhantomData)
    }

    /// 1 / `self`; zero for zero.
    pub(crate) fn invert(self) -> Self {
        Self(inverse::divide::<M>(M::R2, self.0), PhantomData)
    }

    #[inline(always)]
    pub(crate) fn mul(self, other: Self) -> Self {
        Self::reduce(product(self.0, other.0))
    }

    #[inline(always)]
    pub(crate) fn square(self) -> Self {
        Self::reduce(square(self.0))
    }

    /// The residue whose form is `product` / R: `product` is below M².
    #[inline(always)]
    fn reduce(product: [u64; 8]) -> Self {
        let [p0, p1, p2, p3, upper @ ..] = product;
        let lower = M::clear_word(M::clear_word(M::clear_word(M::clear_word([p0, p1, p2, p3]))));
        let (sum, overflowed) = words::add(lower, upper);
        let (difference, below) = words::sub(sum, M::M);
        let keep = u64::from(below && !overflowed).wrapping_neg();
        let mut result = difference;
        for (word, sum) in result.iter_mut().zip(sum) {
            *word = (*word & !keep) | (sum & keep);
        }
        Self(result, PhantomData)
    }
}

/// a·b.
#[inline(always)]
fn product(a: Words, b: Words) -> [u64; 8] {
    let mut product = [0; 8];
    for i in 0..4 {
        let mut carry = 0;
        for j in 0..4 {
            (product[i + j], carry) = wide(a[i], b[j], product[i + j], carry);
        }
        product[i + 4] = carry;
    }
    product
}

/// a·a: unequal words once and doubled, then the squares.
#[inline(always)]
fn square(a: Words) -> [u64; 8] {
    let mut product = [0; 8];
    for i in 0..3 {
        let mut carry = 0;
        for j in i + 1..4 {
            (product[i + j], carry) = wide(a[i], a[j], product[i + j], carry);
        }
        product[i + 4] = carry;
    }
    for i in (1..8).rev() {
        product[i] = product[i] << 1 | product[i - 1] >> 63;
    }
    let mut carry = 0;
    for i in 0..4 {
        let (low, high) = wide(a[i], a[i], 0, 0);
        (product[2 * i], carry) = wide_add(product[2 * i], low, carry);
        (product[2 * i + 1], carry) = wide_add(product[2 * i + 1], high, carry);
    }
    product
}
