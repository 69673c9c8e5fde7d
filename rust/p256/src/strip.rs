//! One signature alone under a key that was met before: a few points of that key, and every lane at work on the one product.
//!
//! A table as in `comb` has no doublings left, but is too large to be kept for each device of a fleet. A strip is a comb in the sense of
//! Lim and Lee (CRYPTO '94): the scalar is cut into pieces, a piece into teeth of `columns` bits each. Bit j of every tooth together
//! name one point of the piece, so a product takes an addition a column and piece, and one doubling a column for all pieces. Pieces
//! are independent of each other until the end, so lanes take them side by side, and their sums are added up crosswise.
//!
//! Digits are signs, as in `comb`, of an odd scalar or of its opposite: so a piece has the points T ± Sₖ ± … ± S₀, T its topmost tooth's,
//! and never lacks one. That a column's sum equals or is opposite to what it is added to happens only to keys, or signatures, made
//! to that end; it shows at the end as in all sums (`jacobian`).

use crate::affine;
use crate::batch;
use crate::comb::{self, Comb};
use crate::inverse;
use crate::jacobian::{Affine, Point};
use crate::lanes::{LANES_MAX, Lanes, Mask, Packed};
use crate::montgomery::{Order, Residue};
use crate::portable::Portable;
use crate::sum::{self, Picks};
use crate::words::{self, N, Words};

/// How a scalar is cut up: `pieces` · `teeth` · `columns` = 256.
#[derive(Clone, Copy, Debug)]
struct Cut {
    pieces: usize,
    teeth: usize,
    columns: usize,
}

impl Cut {
    /// 16 points, 1 KiB. Eight lanes take a piece each; a lane alone, which has to take them one after another, is better off with fewer and
    /// larger ones. With twice as many points it would gain an eighth, and a fleet's idle connections would cost half as much again.
    /// Measured: benches/.
    const fn of<L: Lanes>() -> Self {
        if L::COUNT == LANES_MAX {
            Self { pieces: 8, teeth: 2, columns: 16 }
        } else {
            Self { pieces: 2, teeth: 4, columns: 32 }
        }
    }

    /// Points of a piece.
    const fn points_a_piece(self) -> usize {
        1 << (self.teeth - 1)
    }
}

/// The points of one key, piece after piece, for one back end.
#[derive(Clone, Debug)]
pub(crate) struct Strip(pub(crate) Box<[Packed]>);

impl Strip {
    /// The strip of the point with these coordinates, which is on the curve; `None` if it does not pass its test. Cost: 240 doublings.
    pub(crate) fn build<L: Lanes>(lanes: L, point: [Words; 2]) -> Option<Self> {
        let cut = const { Cut::of::<L>() };
        let powers = Powers::of::<L>(point);
        let points: Vec<_> = powers.teeth.chunks_exact(cut.teeth).flat_map(combinations).collect();
        let packed: Vec<_> = affine::normalize_all(Portable, &points).iter().map(comb::pack::<L>).collect();
        let strip = Self(packed.into());
        strip.is_right(lanes, &powers).then_some(strip)
    }

    /// Adds up the points of each piece, and those at the same place of all pieces, and compares with what the portable arithmetic makes of
    /// the powers. Each point is in one sum of either kind, so a wrong bit anywhere, or points that changed places, are found.
    pub(crate) fn is_right<L: Lanes>(&self, lanes: L, powers: &Powers) -> bool {
        let cut = const { Cut::of::<L>() };
        let (pieces, places) = (cut.pieces, cut.points_a_piece());
        let of_pieces = comb::sums(lanes, pieces, places, |piece, place| &self.0[piece * places + place]);
        let across = comb::sums(lanes, places, pieces, |place, piece| &self.0[piece * places + place]);

        // A tooth's powers of all pieces; then as for a piece.
        let tooth = |tooth: usize| {
            let mut powers = powers.teeth.iter().skip(tooth).step_by(cut.teeth);
            let first = powers.next().map(|power| Point::from_affine(Portable, *power));
            first.map(|first| powers.fold(first, |sum, power| sum.add_affine(Portable, power)))
        };
        let teeth: Vec<_> = (0..cut.teeth).filter_map(tooth).collect();
        let wanted = combinations(&affine::normalize_all(Portable, &teeth));
        let wanted = affine::normalize_all(Portable, &wanted);
        let number = |point: &Affine<Portable>| Some(point.map(Residue::number));
        of_pieces.into_iter().eq(powers.sums.iter().map(number)) && across.into_iter().eq(wanted.iter().map(number))
    }

    /// `scalar`, in 1..n, times the key: a part of it in each lane.
    #[inline(always)]
    fn multiply<L: Lanes>(&self, lanes: L, scalar: Words) -> Point<L> {
        let cut = const { Cut::of::<L>() };
        let even = scalar[0] & 1 == 0;
        let odd = if even { words::sub(N, scalar).0 } else { scalar };
        // As in `comb`: the sign of bit j is bit j + 1 of the scalar, the topmost a plus.
        let plus =
            [odd[0] >> 1 | odd[1] << 63, odd[1] >> 1 | odd[2] << 63, odd[2] >> 1 | odd[3] << 63, odd[3] >> 1 | 1 << 63];
        let mut product: Option<Point<L>> = None;
        for column in (0..cut.columns).rev() {
            product = product.map(
                #[inline(always)]
                |product| product.double(lanes),
            );
            for first in (0..cut.pieces).step_by(L::COUNT) {
                let mut picks = Picks::all(&self.0[0]);
                for (lane, point) in picks.points.iter_mut().enumerate().take(L::COUNT) {
                    let mut signs = 0;
                    for tooth in 0..cut.teeth {
                        let bit = ((first + lane) * cut.teeth + tooth) * cut.columns + column;
                        signs |= usize::from(plus[bit / 64] >> (bit % 64) & 1 == 1) << tooth;
                    }
                    // With a minus at the top the point is that of the opposite signs, negated.
                    let minus = signs >> (cut.teeth - 1) & 1 == 0;
                    let place = (signs ^ usize::from(minus).wrapping_neg()) & (cut.points_a_piece() - 1);
                    *point = &self.0[(first + lane) * cut.points_a_piece() + place];
                    picks.negate |= Mask::from(minus ^ even) << lane;
                }
                let point = picks.gather(lanes);
                product = Some(match product {
                    Some(product) => product.add_affine(lanes, &point),
                    None => Point::from_affine(lanes, point),
                });
            }
        }
        product.unwrap_or_else(
            #[inline(always)]
            || Point::from_affine(lanes, Picks::all(&self.0[0]).gather(lanes)),
        )
    }

    /// Whether the signature holds: r and s in 1..n, e any 256 bits. `None` where equal or opposite points, or a zero scalar, stood in the
    /// way. Lanes all have the same sum in the end: where they are not of one mind, it does not.
    pub(crate) fn verify<L: Lanes>(&self, lanes: L, generator: &Comb, [e, r, s]: [Words; 3]) -> Option<bool> {
        let inverse =
            Residue::<Order>::from_montgomery(inverse::divide::<Order>(const { words::power_of_two(256, N) }, s));
        // The inverse is in Montgomery form, the other factor a plain number, and so is the product.
        let scalar = |number| Residue::from_montgomery(words::reduce_once(number, N)).mul(inverse).montgomery();
        let [first, second] = [scalar(e), scalar(r)];
        if first == [0; 4] {
            return None;
        }
        let digits = generator.shape.cut::<Portable>(&[first; LANES_MAX]);
        let rows = generator.shape.rows as usize;
        let step = |first: usize| {
            let mut picks = Picks::all(&generator.points[0]);
            for lane in 0..L::COUNT {
                if first + lane < rows {
                    let (point, negate) = digits.point(first + lane, 0, &generator.points);
                    picks.points[lane] = point;
                    picks.negate |= Mask::from(negate) << lane;
                } else {
                    picks.absent |= 1 << lane;
                }
            }
            picks.prefetch(lanes);
            picks
        };
        let picks: Vec<_> = (0..rows).step_by(L::COUNT).map(step).collect();
        let outcome = lanes.run(
            #[inline(always)]
            || {
                let product = self.multiply(lanes, second);
                let sum = sum::fold(
                    lanes,
                    Some(product),
                    picks.len(),
                    #[inline(always)]
                    |row| (picks[row].gather(lanes), picks[row].absent),
                );
                batch::judge(lanes, &sum.across(lanes, 1), &[r; LANES_MAX])
            },
        );
        let all = Mask::MAX >> (LANES_MAX - L::COUNT);
        match (outcome.undecided & all, outcome.valid & all) {
            (undecided, _) if undecided == all => None,
            (0, valid) => Some(valid == all),
            // A machine that computes wrongly: whoever asks a plain verifier about rejects finds that out.
            _ => Some(false),
        }
    }
}

/// What a strip is made from, and tested with.
pub(crate) struct Powers {
    /// 2^(`columns`·i)·Q for each tooth of all pieces.
    teeth: Vec<Affine<Portable>>,
    /// What the points of each piece add up to: all but the topmost tooth's cancel out.
    sums: Vec<Affine<Portable>>,
}

impl Powers {
    pub(crate) fn of<L: Lanes>(point: [Words; 2]) -> Self {
        let cut = const { Cut::of::<L>() };
        let mut power = Point::from_affine(Portable, point.map(Residue::new));
        let (mut teeth, mut sums) = (Vec::new(), Vec::new());
        for exponent in 0..256 {
            let (tooth, above) = (exponent / cut.columns, exponent % cut.columns);
            if above == 0 {
                teeth.push(power);
            }
            if above == cut.teeth - 1 && tooth % cut.teeth == cut.teeth - 1 {
                sums.push(power);
                if sums.len() == cut.pieces {
                    break;
                }
            }
            power = power.double(Portable);
        }
        let count = teeth.len();
        teeth.append(&mut sums);
        let mut teeth = affine::normalize_all(Portable, &teeth);
        let sums = teeth.split_off(count);
        Self { teeth, sums }
    }
}

/// T ± … ± S₀ of a piece's teeth S₀ … T, in the order of the signs read as a number.
fn combinations(teeth: &[Affine<Portable>]) -> Vec<Point<Portable>> {
    let Some((top, others)) = teeth.split_last() else { return Vec::new() };
    others.iter().rev().fold(vec![Point::from_affine(Portable, *top)], |sums, [x, y]| {
        let minus = [*x, Residue::ZERO.sub(*y)];
        sums.iter().flat_map(|sum| [minus, [*x, *y]].map(|tooth| sum.add_affine(Portable, &tooth))).collect()
    })
}
