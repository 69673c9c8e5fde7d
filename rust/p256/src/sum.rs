//! Sums of table points, one in each lane: a tree of affine additions while a shared inversion pays, then Jacobian ones.
//!
//! Level by level the rows are added in pairs, across all sums of the block at once, with one inversion a level. When too few
//! additions are left for that, each vector of sums takes its remaining rows one after another.

use crate::affine::{self, Additions, Memory};
use crate::jacobian::{Affine, Point};
use crate::lanes::{Element, LANES_MAX, Lanes, Mask, Packed};
use crate::window::Windows;

/// From this many vector additions on, one inversion and six multiplications for each are cheaper than eleven for each.
/// Measured: benches/.
const SHARED_MIN: usize = 30;

/// The points that one vector of sums takes from one row of the tables.
#[derive(Clone, Copy)]
pub(crate) struct Picks<'a> {
    pub(crate) points: [&'a Packed; LANES_MAX],
    /// Lanes whose point is to be negated.
    pub(crate) negate: Mask,
    /// Lanes that have no point in this row.
    pub(crate) absent: Mask,
}

impl<'a> Picks<'a> {
    /// The same point for every lane.
    pub(crate) fn all(point: &'a Packed) -> Self {
        Self { points: [point; LANES_MAX], negate: 0, absent: 0 }
    }

    /// Asks for the points, to be gathered soon.
    #[inline(always)]
    pub(crate) fn prefetch<L: Lanes>(&self, lanes: L) {
        for point in self.points.iter().take(L::COUNT) {
            lanes.prefetch(point);
        }
    }

    /// The points with their signs.
    #[inline(always)]
    pub(crate) fn gather<L: Lanes>(&self, lanes: L) -> Affine<L> {
        let [x, y] = lanes.gather(
            #[inline(always)]
            |lane| self.points[lane],
        );
        [x, lanes.difference_signed(self.negate, &y, &lanes.splat([0; 4]))]
    }
}

/// Room for a block of sums.
pub(crate) struct Sums<L: Lanes> {
    points: Vec<Affine<L>>,
    totals: Vec<Point<L>>,
    /// Lanes whose sum went through equal or opposite points, for each vector.
    lost: Vec<Mask>,
    memory: Memory<L>,
}

impl<L: Lanes> Sums<L> {
    pub(crate) fn new() -> Self {
        Self { points: Vec::new(), totals: Vec::new(), lost: Vec::new(), memory: Memory::new() }
    }

    /// Adds up `picks`: row after row, each with one entry for each of `vectors`, none absent. What `windows` has for a vector, if
    /// given, is added too.
    pub(crate) fn add_up(&mut self, lanes: L, vectors: usize, picks: &[Picks<'_>], windows: Option<&Windows<L>>) {
        let Self { points, totals, lost, memory } = self;
        let pairs = picks.len() / vectors / 2;
        let rows = picks.len() / vectors - pairs;
        lost.clear();
        lost.resize(vectors, 0);
        if points.len() < rows * vectors {
            points.resize(rows * vectors, [lanes.one(); 2]);
        }
        let mut level = First { lanes, vectors, picks, points, lost };
        affine::add_all(lanes, pairs * vectors, &mut level, memory);
        if rows > pairs {
            lanes.run(
                #[inline(always)]
                || {
                    for vector in 0..vectors {
                        points[pairs * vectors + vector] = picks[2 * pairs * vectors + vector].gather(lanes);
                    }
                },
            );
        }
        let mut stride = 1;
        loop {
            let pairs = rows.div_ceil(stride) / 2;
            if pairs * vectors < SHARED_MIN {
                break;
            }
            let mut level = Later { vectors, stride, points, lost };
            affine::add_all(lanes, pairs * vectors, &mut level, memory);
            stride *= 2;
        }
        totals.clear();
        lanes.run(
            #[inline(always)]
            || {
                for vector in 0..vectors {
                    totals.push(fold(
                        lanes,
                        windows.map(
                            #[inline(always)]
                            |windows| windows.multiply(lanes, vector),
                        ),
                        rows.div_ceil(stride),
                        #[inline(always)]
                        |row| (points[row * stride * vectors + vector], 0),
                    ));
                }
            },
        );
    }

    /// As `add_up`, for one vector alone in which each sum is spread over lanes that are `distinct` apart. No inversion would be shared,
    /// so there is none.
    pub(crate) fn add_up_few(&mut self, lanes: L, distinct: usize, picks: &[Picks<'_>]) {
        let Self { totals, lost, .. } = self;
        totals.clear();
        lost.clear();
        lost.push(0);
        for picks in picks {
            picks.prefetch(lanes);
        }
        lanes.run(
            #[inline(always)]
            || {
                let sum = fold(
                    lanes,
                    None,
                    picks.len(),
                    #[inline(always)]
                    |row| (picks[row].gather(lanes), picks[row].absent),
                );
                totals.push(sum.across(lanes, distinct));
            },
        );
    }

    /// The sum of a vector, and the lanes where it is meaningless.
    #[inline(always)]
    pub(crate) fn total(&self, vector: usize) -> (&Point<L>, Mask) {
        (&self.totals[vector], self.lost[vector])
    }
}

/// One after another: `start`, and the points of all rows, each with the lanes that have none. The first two are never absent.
#[inline(always)]
pub(crate) fn fold<L: Lanes>(
    lanes: L,
    start: Option<Point<L>>,
    rows: usize,
    point: impl Fn(usize) -> (Affine<L>, Mask),
) -> Point<L> {
    let (mut sum, done) = match start {
        Some(start) => (start, 0),
        None if rows > 1 => (Point::sum_of_affine(lanes, &point(0).0, &point(1).0), 2),
        None => (Point::from_affine(lanes, point(0).0), 1),
    };
    for row in done..rows {
        let (point, absent) = point(row);
        let next = sum.add_affine(lanes, &point);
        sum = if absent == 0 { next } else { Point::select(lanes, absent, &sum, &next) };
    }
    sum
}

/// The first level: pairs of rows, straight from the tables.
struct First<'a, L: Lanes> {
    lanes: L,
    vectors: usize,
    picks: &'a [Picks<'a>],
    points: &'a mut [Affine<L>],
    lost: &'a mut [Mask],
}

impl<L: Lanes> First<'_, L> {
    #[inline(always)]
    fn sides(&self, index: usize) -> [&Picks<'_>; 2] {
        let (pair, vector) = (index / self.vectors, index % self.vectors);
        let left = 2 * pair * self.vectors + vector;
        [&self.picks[left], &self.picks[left + self.vectors]]
    }
}

impl<L: Lanes> Additions<L> for First<'_, L> {
    const SIGNED: bool = true;

    #[inline(always)]
    fn announce(&self, index: usize) {
        for picks in self.sides(index) {
            picks.prefetch(self.lanes);
        }
    }

    #[inline(always)]
    fn x(&self, index: usize) -> [Element<L>; 2] {
        let [a, b] = self.sides(index);
        [
            self.lanes.gather_x(
                #[inline(always)]
                |lane| a.points[lane],
            ),
            self.lanes.gather_x(
                #[inline(always)]
                |lane| b.points[lane],
            ),
        ]
    }

    #[inline(always)]
    fn rest(&self, index: usize) -> [Element<L>; 3] {
        let [a, b] = self.sides(index);
        let [x, y] = self.lanes.gather(
            #[inline(always)]
            |lane| a.points[lane],
        );
        let y2 = self.lanes.gather_y(
            #[inline(always)]
            |lane| b.points[lane],
        );
        [x, y, y2]
    }

    /// ±A ± B is ±(A ± B), with the outer sign A's and the inner one whether the two differ.
    #[inline(always)]
    fn signs(&self, index: usize) -> [Mask; 2] {
        let [a, b] = self.sides(index);
        [a.negate ^ b.negate, a.negate]
    }

    fn report(&mut self, index: usize, lanes: Mask) {
        self.lost[index % self.vectors] |= lanes;
    }

    #[inline(always)]
    fn store(&mut self, index: usize, sum: Affine<L>) {
        self.points[index] = sum;
    }
}

/// A later level: row 2·i·stride takes up row (2·i + 1)·stride.
struct Later<'a, L: Lanes> {
    vectors: usize,
    stride: usize,
    points: &'a mut [Affine<L>],
    lost: &'a mut [Mask],
}

impl<L: Lanes> Later<'_, L> {
    #[inline(always)]
    fn places(&self, index: usize) -> [usize; 2] {
        let (pair, vector) = (index / self.vectors, index % self.vectors);
        let left = 2 * pair * self.stride * self.vectors + vector;
        [left, left + self.stride * self.vectors]
    }
}

impl<L: Lanes> Additions<L> for Later<'_, L> {
    const SIGNED: bool = false;

    #[inline(always)]
    fn x(&self, index: usize) -> [Element<L>; 2] {
        let [left, right] = self.places(index);
        [self.points[left][0], self.points[right][0]]
    }

    #[inline(always)]
    fn rest(&self, index: usize) -> [Element<L>; 3] {
        let [left, right] = self.places(index);
        let [x, y] = self.points[left];
        [x, y, self.points[right][1]]
    }

    fn report(&mut self, index: usize, lanes: Mask) {
        self.lost[index % self.vectors] |= lanes;
    }

    #[inline(always)]
    fn store(&mut self, index: usize, sum: Affine<L>) {
        let [left, _] = self.places(index);
        self.points[left] = sum;
    }
}
