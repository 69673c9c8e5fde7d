//! A block of signatures, from numbers to outcomes. SEC 1 §4.1.4: one is valid if x(e/s·G + r/s·Q) ≡ r modulo n.
//!
//! All s are inverted together; the scalars are cut into digits; the points that the digits name are added up (`sum`), for a key
//! without a table on top of r/s·Q (`window`). Each signature has a lane to itself, or, where there are fewer signatures than
//! lanes, several lanes that take the rows of the tables by turns. A lane left over repeats the last signature, so that nothing
//! from an earlier block is ever read; its outcome is dropped.

use crate::affine;
use crate::comb::{Comb, Digits, Shape};
use crate::jacobian::Point;
use crate::lanes::{Element, LANES_MAX, LaneWords, Lanes, Mask, Packed};
use crate::montgomery::Order;
use crate::sum::{Picks, Sums};
use crate::window::Windows;
use crate::words::{self, N, P, Words};

/// Signatures that share inversions. More share better, until their points no longer fit in the second-level cache.
/// Measured: benches/.
pub(crate) const BLOCK: usize = 128;

/// What is to hold: r and s in 1..n, e any 256 bits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Equation<'a> {
    pub(crate) e: Words,
    pub(crate) r: Words,
    pub(crate) s: Words,
    pub(crate) key: Key<'a>,
}

/// A public key, on the curve.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Key<'a> {
    /// Its table, in the back end's form.
    Table(&'a Comb),
    /// Its coordinates.
    Point([Words; 2]),
}

/// What a block needs, kept for the next one.
pub(crate) struct Work<L: Lanes> {
    sums: Sums<L>,
    windows: Windows<L>,
    /// s, then 1/s, for each vector.
    inverses: Vec<L::Residue<Order>>,
    before: Vec<L::Residue<Order>>,
    /// Lanes where e ≡ 0, for each vector: their first scalar has no digits.
    no_digits: Vec<Mask>,
}

impl<L: Lanes> Work<L> {
    pub(crate) fn new() -> Self {
        Self {
            sums: Sums::new(),
            windows: Windows::new(),
            inverses: Vec::new(),
            before: Vec::new(),
            no_digits: Vec::new(),
        }
    }

    /// Judges 1 to `BLOCK` signatures, whose keys either all have tables of the shape `shape` or all have none. `each` gets position,
    /// lane and outcome: whether it is valid, or `None` if equal or opposite points, or a zero scalar, stood in the way.
    pub(crate) fn verify(
        &mut self,
        lanes: L,
        generator: &Comb,
        shape: Shape,
        equations: &[Equation<'_>],
        mut each: impl FnMut(usize, u8, Option<bool>),
    ) {
        let count = equations.len();
        let block = Block::new::<L>(equations);
        let (distinct, known) = (block.distinct, block.is_known());
        self.invert(lanes, &block);
        if !known {
            self.windows.start(lanes, block.vectors, |place| match block.at(place / L::COUNT, place % L::COUNT).key {
                Key::Point(point) => point,
                Key::Table(_) => [[0; 4]; 2],
            });
        }
        let picks = self.pick(lanes, generator, shape, &block);
        let Self { sums, windows, no_digits, .. } = self;
        if block.vectors == 1 && known {
            sums.add_up_few(lanes, distinct, &picks);
        } else {
            sums.add_up(lanes, block.vectors, &picks, (!known).then_some(windows));
        }

        for (vector, no_digits) in no_digits.iter().enumerate() {
            let r = block.gather::<L>(vector, |equation| equation.r);
            let (total, lost) = sums.total(vector);
            let outcome = lanes.run(
                #[inline(always)]
                || judge(lanes, total, &r),
            );
            let undecided = outcome.undecided | lost | no_digits;
            for (lane, place) in (0..).zip(vector * distinct..count).take(distinct) {
                let bit = |mask: Mask| mask >> lane & 1 == 1;
                each(place, lane, if bit(undecided) { None } else { Some(bit(outcome.valid)) });
            }
        }
    }

    /// 1/s for all lanes, times what makes `e · 1/s` a plain number.
    fn invert(&mut self, lanes: L, block: &Block<'_>) {
        self.inverses.clear();
        for vector in 0..block.vectors {
            self.inverses.push(lanes.load(&block.gather::<L>(vector, |equation| equation.s)));
        }
        self.before.resize(block.vectors, lanes.one());
        // A plain number s is the Montgomery form of s/R. Its inverse in that form is R²/s; times the form of 1/R it is R/s, and
        // a multiplication by that takes the plain number e to the plain number e/s.
        let plain = lanes.splat([1, 0, 0, 0]);
        lanes.run(
            #[inline(always)]
            || affine::invert_all(lanes, &mut self.inverses, &mut self.before[..block.vectors], &plain),
        );
    }

    /// Cuts e/s and r/s into digits, and picks their points from the tables: first the generator's rows, then the keys'. Without tables
    /// r/s goes to `windows`.
    fn pick<'a>(&mut self, lanes: L, generator: &'a Comb, shape: Shape, block: &Block<'a>) -> Vec<Picks<'a>> {
        let rows = generator.shape.rows as usize + if block.is_known() { shape.rows as usize } else { 0 };
        let parts = L::COUNT / block.distinct;
        let mut picks = vec![Picks::all(&generator.points[0]); rows.div_ceil(parts) * block.vectors];
        self.no_digits.clear();
        lanes.run(
            #[inline(always)]
            || {
                for vector in 0..block.vectors {
                    let [mut first, second] = self.scalars(lanes, block, vector);
                    // r is not zero modulo n, but e may be. Any other scalar will do then, since the outcome is not used.
                    let mut no_digits = 0;
                    for (lane, scalar) in first.iter_mut().enumerate().take(L::COUNT) {
                        if *scalar == [0; 4] {
                            no_digits |= 1 << lane;
                            *scalar = [1, 0, 0, 0];
                        }
                    }
                    self.no_digits.push(no_digits);
                    if !block.is_known() {
                        self.windows.push_scalars(&second);
                    }
                    let sources = Sources {
                        generator: generator.shape.cut::<L>(&first),
                        keys_from: generator.shape.rows as usize,
                        generator_points: [&generator.points; LANES_MAX],
                        key: shape.cut::<L>(&second),
                        key_points: block.tables::<L>(vector),
                    };
                    if parts == 1 {
                        for row in 0..rows {
                            picks[row * block.vectors + vector] = sources.all::<L>(row);
                        }
                    } else {
                        // One vector alone, in which part p of the lanes takes the rows p, p + parts …
                        for (step, picks) in picks.iter_mut().enumerate() {
                            for lane in 0..L::COUNT {
                                let row = step * parts + lane / block.distinct;
                                if row < rows {
                                    sources.one(row, lane, picks);
                                } else {
                                    picks.absent |= 1 << lane;
                                }
                            }
                        }
                    }
                }
            },
        );
        picks
    }

    /// e/s and r/s modulo n.
    #[inline(always)]
    fn scalars(&self, lanes: L, block: &Block<'_>, vector: usize) -> [LaneWords; 2] {
        let inverse = &self.inverses[vector];
        let e = lanes.load(&block.gather::<L>(
            vector,
            #[inline(always)]
            |equation| equation.e,
        ));
        let r = lanes.load(&block.gather::<L>(
            vector,
            #[inline(always)]
            |equation| equation.r,
        ));
        [lanes.store(&lanes.mul(&e, inverse)), lanes.store(&lanes.mul(&r, inverse))]
    }
}

/// The rows of one vector's tables, with the digits that pick from them.
struct Sources<'a> {
    generator: Digits,
    /// Rows before this one are the generator's, the others the keys'.
    keys_from: usize,
    generator_points: [&'a [Packed]; LANES_MAX],
    key: Digits,
    key_points: [&'a [Packed]; LANES_MAX],
}

impl<'a> Sources<'a> {
    /// The picks of all lanes from the same row.
    #[inline(always)]
    fn all<L: Lanes>(&self, row: usize) -> Picks<'a> {
        match row.checked_sub(self.keys_from) {
            None => self.generator.row::<L>(row, &self.generator_points),
            Some(row) => self.key.row::<L>(row, &self.key_points),
        }
    }

    /// Sets the pick of one lane.
    #[inline(always)]
    fn one(&self, row: usize, lane: usize, picks: &mut Picks<'a>) {
        let negate;
        (picks.points[lane], negate) = match row.checked_sub(self.keys_from) {
            None => self.generator.point(row, lane, self.generator_points[lane]),
            Some(row) => self.key.point(row, lane, self.key_points[lane]),
        };
        picks.negate |= Mask::from(negate) << lane;
    }
}

/// Lanes whose signature holds, and lanes where it cannot be told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outcome {
    pub(crate) valid: Mask,
    pub(crate) undecided: Mask,
}

/// Whether x(`sum`) ≡ `r` modulo n. x is below p < 2n, so it is r or, if that is below p, r + n; and x = X / Z².
#[inline(always)]
pub(crate) fn judge<L: Lanes>(lanes: L, sum: &Point<L>, r: &LaneWords) -> Outcome {
    let (zz, undecided) = sum.squared_z(lanes);
    let mut valid = has_x(lanes, &sum.x, &zz, r);
    let (mut second, mut has_second) = (*r, 0);
    for (lane, r) in second.iter_mut().enumerate().take(L::COUNT) {
        if words::less(*r, const { words::sub(P, N).0 }) {
            *r = words::add(*r, N).0;
            has_second |= 1 << lane;
        }
    }
    if has_second != 0 {
        valid |= has_x(lanes, &sum.x, &zz, &second) & has_second;
    }
    Outcome { valid, undecided }
}

/// The lanes where X = `candidate` · Z².
#[inline(always)]
fn has_x<L: Lanes>(lanes: L, x: &Element<L>, zz: &Element<L>, candidate: &LaneWords) -> Mask {
    let candidate = lanes.to_montgomery(&lanes.load(candidate));
    lanes.is_zero_difference(&lanes.difference(&lanes.mul(&candidate, zz), x))
}

/// Which signature is in which lane.
struct Block<'a> {
    equations: &'a [Equation<'a>],
    /// Different signatures in a vector; they are repeated to fill it.
    distinct: usize,
    vectors: usize,
}

impl<'a> Block<'a> {
    fn new<L: Lanes>(equations: &'a [Equation<'a>]) -> Self {
        let count = equations.len();
        let mut block = Self { equations, distinct: L::COUNT, vectors: count.div_ceil(L::COUNT) };
        if block.is_known() && count < L::COUNT {
            block.distinct = count.next_power_of_two();
        }
        block
    }

    /// Whether the keys have tables.
    fn is_known(&self) -> bool {
        matches!(self.equations[0].key, Key::Table(_))
    }

    /// Each lane's key's table; empty without.
    #[inline(always)]
    fn tables<L: Lanes>(&self, vector: usize) -> [&'a [Packed]; LANES_MAX] {
        let mut tables: [&[Packed]; LANES_MAX] = [&[]; LANES_MAX];
        for (lane, table) in tables.iter_mut().enumerate().take(L::COUNT) {
            if let Key::Table(comb) = self.at(vector, lane).key {
                *table = &comb.points;
            }
        }
        tables
    }

    #[inline(always)]
    fn at(&self, vector: usize, lane: usize) -> &'a Equation<'a> {
        &self.equations[(vector * self.distinct + lane % self.distinct).min(self.equations.len() - 1)]
    }

    /// One number of the signature in each lane.
    #[inline(always)]
    fn gather<L: Lanes>(&self, vector: usize, number: impl Fn(&Equation<'_>) -> Words) -> LaneWords {
        let mut result = [[0; 4]; LANES_MAX];
        for (lane, words) in result.iter_mut().enumerate().take(L::COUNT) {
            *words = number(self.at(vector, lane));
        }
        result
    }
}
