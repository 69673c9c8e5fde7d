//! Points as X, Y, Z with x = X/Z², y = Y/Z³: additions without a division, for sums too few to share one.
//!
//! The formulas are the textbook ones (Cohen, Miyaji, Ono, ASIACRYPT 1998, §2.3), arranged for the fused operations of `Lanes`.
//! None of them treats special cases. Whatever goes wrong, equal or opposite points, shows as Z = 0 modulo p, because each Z
//! is a product with the difference that vanished; and Z stays 0 in all later steps, because each new Z is a multiple of
//! the old one. So one look at the last Z tells whether the sum can be trusted: see `Point::squared_z`.
//! A doubling never goes wrong: no point of a group of odd order has y = 0.

use crate::lanes::{Element, Lanes, Mask};

/// X and Y tight, Z a factor.
#[derive(Clone, Copy)]
pub(crate) struct Point<L: Lanes> {
    pub(crate) x: Element<L>,
    pub(crate) y: Element<L>,
    pub(crate) z: Element<L>,
}

/// x and y, tight.
pub(crate) type Affine<L> = [Element<L>; 2];

impl<L: Lanes> Point<L> {
    #[inline(always)]
    pub(crate) fn from_affine(lanes: L, [x, y]: Affine<L>) -> Self {
        Self { x, y, z: lanes.one() }
    }

    /// a + b: 4 multiplications, 2 squarings.
    #[inline(always)]
    pub(crate) fn sum_of_affine(lanes: L, a: &Affine<L>, b: &Affine<L>) -> Self {
        let h = lanes.difference(&b[0], &a[0]);
        let r = lanes.difference(&b[1], &a[1]);
        Self::conclude(lanes, &h, &r, &a[0], &a[1], h)
    }

    /// self + b: 8 multiplications, 3 squarings. The coordinates of b need only be factors.
    #[inline(always)]
    pub(crate) fn add_affine(&self, lanes: L, b: &Affine<L>) -> Self {
        let zz = lanes.square(&self.z);
        let h = lanes.mul_sub::<1>(&b[0], &zz, &self.x);
        let zzz = lanes.mul(&self.z, &zz);
        let r = lanes.mul_sub::<1>(&b[1], &zzz, &self.y);
        let z = lanes.mul(&self.z, &h);
        Self::conclude(lanes, &h, &r, &self.x, &self.y, z)
    }

    /// self + b: 12 multiplications, 4 squarings.
    #[inline(always)]
    pub(crate) fn add(&self, lanes: L, b: &Self) -> Self {
        let (zz, bzz) = (lanes.square(&self.z), lanes.square(&b.z));
        let (u, s) = (lanes.mul(&self.x, &bzz), lanes.mul(&self.y, &lanes.mul(&b.z, &bzz)));
        let h = lanes.mul_sub::<1>(&b.x, &zz, &u);
        let r = lanes.mul_sub::<1>(&b.y, &lanes.mul(&self.z, &zz), &s);
        let z = lanes.mul(&lanes.mul(&self.z, &b.z), &h);
        Self::conclude(lanes, &h, &r, &u, &s, z)
    }

    /// The chord's second half: from h = x₂ − x₁ and r = y₂ − y₁ over the common Z of (x₁, y₁).
    ///
    /// X = r² − h³ − 2·x₁·h², Y = r·(x₁·h² − X) − y₁·h³. All are factors, x₁ and y₁ products.
    #[inline(always)]
    fn conclude(lanes: L, h: &Element<L>, r: &Element<L>, x1: &Element<L>, y1: &Element<L>, z: Element<L>) -> Self {
        let hh = lanes.square(h);
        let hhh = lanes.mul(h, &hh);
        let v = lanes.mul(x1, &hh);
        let x = lanes.square_sub::<2, 1>(r, &v, &hhh);
        let y = lanes.mul_sub::<1>(r, &lanes.difference(&v, &x), &lanes.mul(y1, &hhh));
        Self { x, y, z }
    }

    /// 2·self: 4 multiplications, 4 squarings. On y² = x³ − 3x + b the tangent's 3x² − 3 is 3·(x − 1)·(x + 1).
    ///
    /// M = 3·(X − Z²)·(X + Z²), S = X·Y²: X' = M² − 8S, Y' = M·(4S − X') − 8·Y⁴, Z' = 2YZ.
    #[inline(always)]
    pub(crate) fn double(&self, lanes: L) -> Self {
        let zz = lanes.square(&self.z);
        let yy = lanes.square(&self.y);
        let m = lanes.mul(&lanes.scaled_difference::<3, 3>(&self.x, &zz), &lanes.sum(&self.x, &zz));
        let s = lanes.mul(&self.x, &yy);
        let x = lanes.square_sub::<8, 0>(&m, &s, &s);
        let y = lanes.mul_sub::<8>(&m, &lanes.scaled_difference::<4, 1>(&s, &x), &lanes.square(&yy));
        let z = lanes.mul(&lanes.sum(&self.y, &self.y), &self.z);
        Self { x, y, z }
    }

    /// Z², and the lanes where Z is zero: the sum was lost on the way.
    #[inline(always)]
    pub(crate) fn squared_z(&self, lanes: L) -> (Element<L>, Mask) {
        let zz = lanes.square(&self.z);
        (zz, lanes.is_zero_difference(&lanes.difference(&zz, &lanes.splat([0; 4]))))
    }

    /// `a` where the mask is set, else `b`.
    #[inline(always)]
    pub(crate) fn select(lanes: L, mask: Mask, a: &Self, b: &Self) -> Self {
        Self { x: lanes.select(mask, &a.x, &b.x), y: lanes.select(mask, &a.y, &b.y), z: lanes.select(mask, &a.z, &b.z) }
    }

    /// Each lane's point moved to the lane at `distance`.
    #[inline(always)]
    pub(crate) fn exchange(&self, lanes: L, distance: usize) -> Self {
        Self {
            x: lanes.exchange(distance, &self.x),
            y: lanes.exchange(distance, &self.y),
            z: lanes.exchange(distance, &self.z),
        }
    }

    /// The sums over all lanes that are a multiple of `distance`, a power of two, apart: the same one in each of these lanes.
    #[inline(always)]
    pub(crate) fn across(self, lanes: L, distance: usize) -> Self {
        let (mut sum, mut distance) = (self, distance);
        while distance < L::COUNT {
            sum = sum.add(lanes, &sum.exchange(lanes, distance));
            distance *= 2;
        }
        sum
    }
}
