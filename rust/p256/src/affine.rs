//! Many additions of points in affine coordinates, with one inversion for all of them.
//!
//! The chord through (x₁, y₁) and (x₂, y₂) has the slope λ = (y₂ − y₁) / (x₂ − x₁), and the sum is
//! x₃ = λ² − x₁ − x₂, y₃ = λ·(x₁ − x₃) − y₁: two multiplications and a squaring, but for the division. All divisors of a batch
//! are inverted together (Montgomery, Math. Comp. 48, 1987, §10.3.1): the products of the first k of them are kept, the whole
//! product is inverted, and going back each divisor's inverse is split off: three multiplications a piece.
//!
//! A divisor that is zero modulo p, which is two equal or opposite points, would make the whole product zero. It is found
//! before it is multiplied in, replaced by one, and reported; its lane's sum is then meaningless, the others are untouched.

use crate::jacobian::{Affine, Point};
use crate::lanes::{Element, Lanes, Mask};
use crate::montgomery::{Field, Modulus};

/// A product is a chain of dependent multiplications; this many chains are wound side by side so that they overlap.
const CHAINS: usize = 4;

/// An addition is announced this many additions ahead: from two on, the latency of the third-level cache is hidden.
const AHEAD: usize = 3;

/// Additions to be done together. All methods are called with indices below the given count.
pub(crate) trait Additions<L: Lanes> {
    /// Whether `signs` means anything.
    const SIGNED: bool;

    /// `x` will soon be called for this index.
    #[inline(always)]
    fn announce(&self, _index: usize) {}
    /// x₁ and x₂, tight.
    fn x(&self, index: usize) -> [Element<L>; 2];
    /// x₁, y₁ and y₂, tight.
    fn rest(&self, index: usize) -> [Element<L>; 3];
    /// Lanes where y₂ is to be negated, and lanes where the sum is.
    #[inline(always)]
    fn signs(&self, _index: usize) -> [Mask; 2] {
        [0; 2]
    }
    /// Lanes whose points are equal or opposite: there the sum will be meaningless.
    fn report(&mut self, index: usize, lanes: Mask);
    /// The sum. Called in descending order of `index`; after that, `x` and `rest` are not called for that index.
    fn store(&mut self, index: usize, sum: Affine<L>);
}

/// What the additions remember between the way there and the way back.
pub(crate) struct Memory<L: Lanes> {
    /// For each divisor: the product of those before it in its chain, and itself.
    kept: Vec<[Element<L>; 2]>,
}

impl<L: Lanes> Memory<L> {
    pub(crate) fn new() -> Self {
        Self { kept: Vec::new() }
    }
}

/// Does `count` additions.
#[inline(always)]
pub(crate) fn add_all<L: Lanes, A: Additions<L>>(lanes: L, count: usize, additions: &mut A, memory: &mut Memory<L>) {
    if memory.kept.len() < count {
        memory.kept.resize(count, [lanes.one(); 2]);
    }
    let memory = &mut memory.kept[..count];
    lanes.run(
        #[inline(always)]
        || {
            let mut products = [lanes.one(); CHAINS];
            for (index, kept) in memory.iter_mut().enumerate() {
                if index + AHEAD < count {
                    additions.announce(index + AHEAD);
                }
                let [x1, x2] = additions.x(index);
                let mut divisor = lanes.difference(&x2, &x1);
                let zero = lanes.is_zero_difference(&divisor);
                if zero != 0 {
                    divisor = lanes.select(zero, &lanes.one(), &divisor);
                    additions.report(index, zero);
                }
                let product = &mut products[index % CHAINS];
                *kept = [*product, divisor];
                *product = lanes.mul(product, &divisor);
            }
            let mut inverses = products;
            invert_all(lanes, &mut inverses, &mut [lanes.one(); CHAINS], &lanes.one());
            for (index, [before, divisor]) in memory.iter().enumerate().rev() {
                let chain = &mut inverses[index % CHAINS];
                let inverse = lanes.mul(chain, before);
                *chain = lanes.mul(chain, divisor);
                let [x1, y1, y2] = additions.rest(index);
                let [negate_y2, negate_sum] = additions.signs(index);
                let rise =
                    if A::SIGNED { lanes.difference_signed(negate_y2, &y2, &y1) } else { lanes.difference(&y2, &y1) };
                let slope = lanes.mul(&rise, &inverse);
                // x₁ + x₂ = 2·x₁ + (x₂ − x₁)
                let x3 = lanes.square_sub::<2, 1>(&slope, &x1, divisor);
                let back = lanes.difference(&x1, &x3);
                let y3 = if A::SIGNED {
                    lanes.mul_sub_signed(negate_sum, &slope, &back, &y1)
                } else {
                    lanes.mul_sub::<1>(&slope, &back, &y1)
                };
                additions.store(index, [x3, y3]);
            }
        },
    );
}

/// Replaces each value by `factor` / value, all of them Montgomery forms and factors, with one inversion. `before` is room of the same
/// length. No value is zero.
#[inline(always)]
pub(crate) fn invert_all<L: Lanes, M: Modulus>(
    lanes: L,
    values: &mut [L::Residue<M>],
    before: &mut [L::Residue<M>],
    factor: &L::Residue<M>,
) {
    let mut product = lanes.one();
    for (value, before) in values.iter().zip(before.iter_mut()) {
        *before = product;
        product = lanes.mul(&product, value);
    }
    let mut inverse = lanes.mul(&lanes.invert(&product), factor);
    for (value, before) in values.iter_mut().zip(before.iter()).rev() {
        let inverted = lanes.mul(&inverse, before);
        inverse = lanes.mul(&inverse, value);
        *value = inverted;
    }
}

/// The affine coordinates of `points`, none of which is lost, with one inversion.
pub(crate) fn normalize_all<L: Lanes>(lanes: L, points: &[Point<L>]) -> Vec<Affine<L>> {
    let mut inverses: Vec<_> = points.iter().map(|point| point.z).collect();
    let mut before = inverses.clone();
    let mut result = Vec::with_capacity(points.len());
    lanes.run(
        #[inline(always)]
        || {
            invert_all::<L, Field>(lanes, &mut inverses, &mut before, &lanes.one());
            let zero = lanes.splat([0; 4]);
            for (point, inverse) in points.iter().zip(&inverses) {
                let squared = lanes.square(inverse);
                let cubed = lanes.mul(&squared, inverse);
                // Subtracting nothing is what makes them tight.
                let x = lanes.mul_sub::<1>(&point.x, &squared, &zero);
                let y = lanes.mul_sub::<1>(&point.y, &cubed, &zero);
                result.push([x, y]);
            }
        },
    );
    result
}
