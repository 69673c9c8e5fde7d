//! The Montgomery ladder, over any back end. RFC 7748 §5.
//!
//! Constant time: all scalars and coordinates take the same instructions and the same addresses. What follows a scalar's bits is
//! `Field::select` alone.

use super::field::{Element, Field, Sum, Vector};
use crate::instructions::Instructions;
use crate::lanes::{LANES_MAX, LaneWords};
use crate::words::Words;

/// (A − 2) / 4 of the curve v² = u³ + A·u² + u. RFC 7748 §4.1.
const A24: u32 = 121_665;

/// The u-coordinates, below p, of multiples of the points at `us`, which are below 2^255; infinity has 0. The scalars come as `swaps`.
#[inline(always)]
pub(super) fn multiply<F: Field>(field: F, swaps: &LaneWords, us: &LaneWords) -> LaneWords {
    field.instructions().run(
        #[inline(always)]
        || {
            let (u, one) = (field.load(us), field.load(&[[1, 0, 0, 0]; LANES_MAX]));
            // Infinity is X = 1, Z = 0; the point is X = u, Z = 1.
            let point = sum_and_difference(field, &field.mul(&u, &one), &field.square(&one));
            let mut points = [[one, one], point];
            // A scalar's bit 255 is clear: there are 255 steps.
            for (index, steps) in [(3, 63), (2, 64), (1, 64), (0, 64)] {
                let mut swap = field.bits(swaps, 64 * index, 64 * index + 64);
                swap = field.instructions().shift_left(swap, 64 - steps);
                for _ in 0..steps {
                    points = step(field, swap, &u, &points);
                    swap = field.instructions().shift_left(swap, 1);
                }
            }
            let [[sum, difference], _] = points;
            // X and Z, doubled both.
            let [x, z] = sum_and_difference(field, &field.mul(&sum, &one), &field.mul(&difference, &one));
            field.store(&field.carry(&field.mul(&x, &invert(field, &z))))
        },
    )
}

/// A scalar, clamped (RFC 7748 §5, `decodeScalar25519`), as what the ladder does with it: bit i says whether bits i and i + 1 differ, so
/// that the two points change places. The lowest bit of a clamped scalar is clear, so in the end they are where they were.
pub(super) fn swaps([a, b, c, d]: Words) -> Words {
    let [a, d] = [a & !7, d & (u64::MAX >> 1) | 1 << 62];
    [a ^ (a >> 1 | b << 63), b ^ (b >> 1 | c << 63), c ^ (c >> 1 | d << 63), d ^ d >> 1]
}

/// u = X / Z, as X + Z and X − Z.
type Point<F> = [Element<F>; 2];

/// From two points, whose difference is at `u`, one's double and their sum: the second one's where the word's highest bit is set, else
/// the first one's. The letters are RFC 7748's.
///
/// Only the double asks which one is which: were both exchanged, DA and CB would be too, and the squares of their sum and difference stay.
#[inline(always)]
fn step<F: Field>(field: F, swap: Vector<F>, u: &Element<F>, [[a, b], [c, d]]: &[Point<F>; 2]) -> [Point<F>; 2] {
    let [sum, difference] = sum_and_difference(field, &field.mul(d, a), &field.mul(c, b));
    let (aa, bb) = (field.square(&field.select(swap, a, c)), field.square(&field.select(swap, b, d)));
    let e = field.carry(&field.sub(&aa, &bb));
    let f = field.carry(&field.add(&aa, &field.scale(A24, &e)));
    let double = sum_and_difference(field, &field.mul(&field.carry(&aa), &field.carry(&bb)), &field.mul(&e, &f));
    let difference_squared = field.carry(&field.square(&difference));
    [double, sum_and_difference(field, &field.square(&sum), &field.mul(u, &difference_squared))]
}

#[inline(always)]
fn sum_and_difference<F: Field>(field: F, a: &Sum<F>, b: &Sum<F>) -> [Element<F>; 2] {
    [field.carry(&field.add(a, b)), field.carry(&field.sub(a, b))]
}

/// 1 / `value`, or zero of zero: its power p − 2 = 2^255 − 21 (Fermat).
#[inline(always)]
fn invert<F: Field>(field: F, value: &Element<F>) -> Element<F> {
    /// From powers i and k: i's, squared n times, multiplied by k's. Below 2^6 the exponents are 1, 5, 11 and 31, then 2^10 − 1 and so on.
    const CHAIN: [(usize, usize, usize); 11] = [
        (0, 2, 0),
        (1, 1, 0),
        (1, 2, 2),
        (3, 5, 3),
        (4, 10, 4),
        (5, 20, 5),
        (6, 10, 4),
        (7, 50, 7),
        (8, 100, 8),
        (9, 50, 7),
        (10, 5, 2),
    ];
    let mut powers = [*value; 12];
    for (index, (base, squarings, factor)) in CHAIN.into_iter().enumerate() {
        let mut power = powers[base];
        for _ in 0..squarings {
            power = field.carry(&field.square(&power));
        }
        powers[index + 1] = field.carry(&field.mul(&power, &powers[factor]));
    }
    powers[11]
}
