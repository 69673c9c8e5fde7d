//! The multiples of one point that make its multiplication a mere sum: no doublings are left to do.
//!
//! A scalar is cut into windows of `width` bits, one for each row of the table. Digits are odd and signed: any odd k below
//! 2^(width·rows) is Σ ±2^j over all j < width·rows in exactly one way, with the sign at j given by bit j + 1 of k and the
//! topmost sign a plus; a window of such signs is an odd digit within ±(2^width − 1), never zero. An even k is replaced by
//! n − k, which is odd, and all signs by their opposites. So row i holds the points (2j + 1)·2^(width·i)·Q, j < 2^(width − 1),
//! half of what unsigned digits would need, and each sum has exactly one point of every row: no special cases.

use crate::affine::{self, Additions, Memory};
use crate::jacobian::{Affine, Point};
use crate::lanes::{Element, LANES_MAX, LaneWords, Lanes, Mask, Packed};
use crate::montgomery::{Field, Residue};
use crate::portable::Portable;
use crate::sum::{Picks, Sums};
use crate::words::{self, N, P, Words};

/// How a scalar is cut up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    /// Bits of a window.
    pub(crate) width: u32,
    /// Windows.
    pub(crate) rows: u32,
}

impl Shape {
    /// Windows of `width` bits that together have at least 256.
    pub(crate) const fn new(width: u32) -> Self {
        Self { width, rows: 256u32.div_ceil(width) }
    }

    /// Points in a row.
    pub(crate) const fn points_a_row(self) -> usize {
        1 << (self.width - 1)
    }

    /// Cuts a scalar in 1..n for each lane.
    #[inline(always)]
    pub(crate) fn cut<L: Lanes>(self, scalars: &LaneWords) -> Digits {
        let mut digits = Digits { shape: self, plus: [[0; LANES_MAX]; 6], even: 0 };
        for (lane, scalar) in scalars.iter().enumerate().take(L::COUNT) {
            let even = scalar[0] & 1 == 0;
            let odd = if even { words::sub(N, *scalar).0 } else { *scalar };
            digits.even |= Mask::from(even) << lane;
            digits.plus[0][lane] = odd[0] >> 1 | odd[1] << 63;
            digits.plus[1][lane] = odd[1] >> 1 | odd[2] << 63;
            digits.plus[2][lane] = odd[2] >> 1 | odd[3] << 63;
            digits.plus[3][lane] = odd[3] >> 1;
        }
        let top = self.width * self.rows - 1;
        digits.plus[(top / 64) as usize] = digits.plus[(top / 64) as usize].map(|word| word | 1 << (top % 64));
        digits
    }
}

/// Scalars cut up, one in each lane.
pub(crate) struct Digits {
    shape: Shape,
    /// Bit j, counted through the words, says whether the sign at j is a plus. One word more than needed, so that a window may be read
    /// across the end.
    plus: [[u64; LANES_MAX]; 6],
    /// Lanes where all signs are to be the opposite.
    even: Mask,
}

impl Digits {
    /// Which point of a row a lane's digit names, and whether to negate it.
    #[inline(always)]
    pub(crate) fn digit(&self, row: usize, lane: usize) -> (usize, bool) {
        let (width, bit) = (self.shape.width, row * self.shape.width as usize);
        let (word, shift) = (bit / 64, bit % 64);
        let window = self.plus[word][lane] >> shift | self.plus[word + 1][lane] << 1 << (63 - shift);
        // With the top sign a plus the digit is 2·low + 1; with a minus it is that of the complement, negated.
        let minus = window >> (width - 1) & 1 == 0;
        let index = (window ^ u64::from(minus).wrapping_neg()) & ((1 << (width - 1)) - 1);
        #[expect(clippy::cast_possible_truncation, reason = "a window has at most 16 bits")]
        (index as usize, minus ^ (self.even >> lane & 1 == 1))
    }

    /// A lane's point of a row, from its table.
    #[inline(always)]
    pub(crate) fn point<'a>(&self, row: usize, lane: usize, table: &'a [Packed]) -> (&'a Packed, bool) {
        let (index, negate) = self.digit(row, lane);
        (&table[(row << (self.shape.width - 1)) + index], negate)
    }

    /// All lanes' points of a row, each from its table. The digits are read first, all at once: that is one vector operation for all.
    #[inline(always)]
    pub(crate) fn row<'a, L: Lanes>(&self, row: usize, tables: &[&'a [Packed]; LANES_MAX]) -> Picks<'a> {
        let mut digits = [(0, false); LANES_MAX];
        for (lane, digit) in digits.iter_mut().enumerate().take(L::COUNT) {
            *digit = self.digit(row, lane);
        }
        let mut picks = Picks::all(&tables[0][0]);
        for (lane, (index, negate)) in digits.into_iter().enumerate().take(L::COUNT) {
            picks.points[lane] = &tables[lane][(row << (self.shape.width - 1)) + index];
            picks.negate |= Mask::from(negate) << lane;
        }
        picks
    }
}

/// A point's table.
#[derive(Debug)]
pub(crate) struct Comb {
    pub(crate) shape: Shape,
    /// Row after row.
    pub(crate) points: Box<[Packed]>,
}

impl Comb {
    /// The table of the point with these coordinates, which is on the curve; `None` if the finished table does not pass its test.
    pub(crate) fn build<L: Lanes>(lanes: L, shape: Shape, point: [Words; 2]) -> Option<Self> {
        let powers = powers(shape, point);
        let packed: Vec<_> = powers.iter().map(pack::<L>).collect();
        let mut points = vec![packed[0]; shape.rows as usize * shape.points_a_row()];
        let filled = fill(lanes, shape.width, &packed, &mut points, &mut Memory::new());
        let comb = Self { shape, points: points.into() };
        (filled && comb.is_right(lanes, &powers)).then_some(comb)
    }

    /// Adds up every row and every column, the way a verification adds, and compares with multiples computed without tables by the portable
    /// arithmetic. Each point of the table is in one sum of either kind, so a wrong bit anywhere, or points that changed places, are found.
    ///
    /// Row i is Σ (2j + 1)·2^(width·i)·Q = 2^(width·i + 2·width − 2)·Q; column j is (2j + 1)·Σ 2^(width·i)·Q.
    pub(crate) fn is_right<L: Lanes>(&self, lanes: L, powers: &[Affine<Portable>]) -> bool {
        let (rows, columns, width) = (self.shape.rows as usize, self.shape.points_a_row(), self.shape.width as usize);
        let in_rows = sums(lanes, rows, columns, |row, column| &self.points[row * columns + column]);
        let in_columns = sums(lanes, columns, rows, |column, row| &self.points[row * columns + column]);

        let of_rows = powers[2 * width - 2..].iter().step_by(width).take(rows).copied();
        let mut bases = powers.iter().step_by(width).take(rows);
        let first = bases.next().map(|base| Point::from_affine(Portable, *base));
        let first = first.map(|first| bases.fold(first, |sum, base| sum.add_affine(Portable, base)));
        let step = first.map(|first| affine::normalize_all(Portable, &[first.double(Portable)])[0]);
        let next = |sum: &Point<Portable>| step.map(|step| sum.add_affine(Portable, &step));
        let of_columns: Vec<_> = std::iter::successors(first, next).take(columns).collect();
        let of_columns = affine::normalize_all(Portable, &of_columns);

        let number = |point: Affine<Portable>| Some(point.map(Residue::number));
        in_rows.into_iter().eq(of_rows.map(number)) && in_columns.into_iter().eq(of_columns.into_iter().map(number))
    }
}

/// `count` sums of `addends` points each; `None` where equal or opposite points met.
pub(crate) fn sums<'a, L: Lanes>(
    lanes: L,
    count: usize,
    addends: usize,
    point: impl Fn(usize, usize) -> &'a Packed,
) -> Vec<Option<[Words; 2]>> {
    /// A table's sums are done in blocks of this many vectors, so that they fit in the cache.
    const VECTORS_MAX: usize = 16;
    let mut sums = Sums::new();
    let mut result = Vec::with_capacity(count);
    for first in (0..count).step_by(VECTORS_MAX * L::COUNT) {
        let vectors = VECTORS_MAX.min((count - first).div_ceil(L::COUNT));
        let mut picks = Vec::with_capacity(addends * vectors);
        for addend in 0..addends {
            for vector in 0..vectors {
                let mut pick = Picks::all(point(first, addend));
                for (lane, pick) in pick.points.iter_mut().enumerate().take(L::COUNT) {
                    *pick = point((first + vector * L::COUNT + lane).min(count - 1), addend);
                }
                picks.push(pick);
            }
        }
        sums.add_up(lanes, vectors, &picks, None);
        let totals: Vec<_> = (0..vectors).map(|vector| *sums.total(vector).0).collect();
        for (vector, [x, y]) in affine::normalize_all(lanes, &totals).into_iter().enumerate() {
            let (x, y, lost) = (lanes.to_numbers(&x), lanes.to_numbers(&y), sums.total(vector).1);
            let in_lane = |lane: usize| (lost >> lane & 1 == 0).then_some([x[lane], y[lane]]);
            result.extend((0..L::COUNT.min(count - result.len())).map(in_lane));
        }
    }
    result
}

/// `point` doubled 0, 1, 2 … times: as often as the table and its test need.
pub(crate) fn powers(shape: Shape, point: [Words; 2]) -> Vec<Affine<Portable>> {
    let mut power = Point::from_affine(Portable, point.map(Residue::new));
    let mut powers = Vec::new();
    for _ in 0..shape.width * (shape.rows + 1) - 1 {
        powers.push(power);
        power = power.double(Portable);
    }
    affine::normalize_all(Portable, &powers)
}

/// The same point in the Montgomery form of another back end.
pub(crate) fn pack<L: Lanes>(point: &Affine<Portable>) -> Packed {
    let radix = Residue::<Field>::from_montgomery(const { words::power_of_two(L::RADIX_BITS, P) });
    let [x, y] = point.map(|coordinate| coordinate.mul(radix).montgomery());
    Packed::new(x, y)
}

/// Fills rows of 2^(`width` − 1) points each from `width` powers for each row: Q, 2Q, 4Q … to Q, 3Q, 5Q …
///
/// Row by row the first 2^k points plus 2^(k+1)·Q are the next 2^k: `width` − 1 rounds of additions. False if one of them
/// failed, which happens only if the powers are wrong.
pub(crate) fn fill<L: Lanes>(
    lanes: L,
    width: u32,
    powers: &[Packed],
    points: &mut [Packed],
    memory: &mut Memory<L>,
) -> bool {
    let points_a_row = 1 << (width - 1);
    for (row, powers) in points.chunks_exact_mut(points_a_row).zip(powers.chunks_exact(width as usize)) {
        row[0] = powers[0];
    }
    let rows = points.len() / points_a_row;
    let mut fine = true;
    for round in 0..width - 1 {
        let count = rows << round;
        let mut additions = Doubling { lanes, width, round, powers, points, count, fine: &mut fine };
        affine::add_all(lanes, count.div_ceil(L::COUNT), &mut additions, memory);
    }
    fine
}

/// One round of `fill`: the addition number `index · L::COUNT + lane` is done in that lane.
struct Doubling<'a, L> {
    lanes: L,
    width: u32,
    round: u32,
    powers: &'a [Packed],
    points: &'a mut [Packed],
    count: usize,
    fine: &'a mut bool,
}

impl<L: Lanes> Doubling<'_, L> {
    /// Where the addend and the power of a lane's addition are. Lanes past the end repeat the last addition.
    #[inline(always)]
    fn places(&self, index: usize, lane: usize) -> [usize; 2] {
        let number = (index * L::COUNT + lane).min(self.count - 1);
        let (row, column) = (number >> self.round, number & ((1 << self.round) - 1));
        [(row << (self.width - 1)) + column, row * self.width as usize + self.round as usize + 1]
    }
}

impl<L: Lanes> Additions<L> for Doubling<'_, L> {
    const SIGNED: bool = false;

    #[inline(always)]
    fn x(&self, index: usize) -> [Element<L>; 2] {
        [
            self.lanes.gather_x(
                #[inline(always)]
                |lane| &self.points[self.places(index, lane)[0]],
            ),
            self.lanes.gather_x(
                #[inline(always)]
                |lane| &self.powers[self.places(index, lane)[1]],
            ),
        ]
    }

    #[inline(always)]
    fn rest(&self, index: usize) -> [Element<L>; 3] {
        let [x, y] = self.lanes.gather(
            #[inline(always)]
            |lane| &self.points[self.places(index, lane)[0]],
        );
        let power_y = self.lanes.gather_y(
            #[inline(always)]
            |lane| &self.powers[self.places(index, lane)[1]],
        );
        [x, y, power_y]
    }

    fn report(&mut self, _index: usize, _lanes: Mask) {
        *self.fine = false;
    }

    #[inline(always)]
    fn store(&mut self, index: usize, sum: Affine<L>) {
        let [x, y] = [self.lanes.store(&sum[0]), self.lanes.store(&sum[1])];
        let left = self.count - index * L::COUNT;
        for lane in 0..L::COUNT.min(left) {
            let [place, _] = self.places(index, lane);
            self.points[place + (1 << self.round)] = Packed::new(x[lane], y[lane]);
        }
    }
}
