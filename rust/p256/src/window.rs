//! Multiples of points seen for the first time: 256 doublings, and every five of them one addition from a small table.

use crate::affine::{self, Memory};
use crate::comb::{self, Digits, Shape};
use crate::jacobian::{Affine, Point};
use crate::lanes::{LANES_MAX, LaneWords, Lanes, Mask, Packed};
use crate::sum::Picks;
use crate::words::Words;

/// Wider windows save an addition in fifty-two and cost sixteen points; narrower ones cost thirteen additions. Measured: benches/.
const SHAPE: Shape = Shape::new(5);
const WIDTH: usize = SHAPE.width as usize;

/// Room for a block of multiplications.
pub(crate) struct Windows<L: Lanes> {
    /// Q, 2Q, 4Q, 8Q, 16Q for each point.
    powers: Vec<Packed>,
    /// Q, 3Q … 31Q for each point.
    points: Vec<Packed>,
    /// The scalars, for each vector.
    digits: Vec<Digits>,
    memory: Memory<L>,
}

impl<L: Lanes> Windows<L> {
    pub(crate) fn new() -> Self {
        Self { powers: Vec::new(), points: Vec::new(), digits: Vec::new(), memory: Memory::new() }
    }

    /// Prepares `vectors` of points, given by x and y, which are on the curve.
    #[inline(always)]
    pub(crate) fn start(&mut self, lanes: L, vectors: usize, point: impl Fn(usize) -> [Words; 2]) {
        self.digits.clear();
        let count = vectors * L::COUNT;
        let nothing = Packed([0; 8]);
        self.powers.resize(count * WIDTH, nothing);
        self.points.resize(count * SHAPE.points_a_row(), nothing);
        let mut powers = Vec::with_capacity(vectors * WIDTH);
        lanes.run(
            #[inline(always)]
            || {
                for vector in 0..vectors {
                    let (mut x, mut y): (LaneWords, LaneWords) = ([[0; 4]; LANES_MAX], [[0; 4]; LANES_MAX]);
                    for lane in 0..L::COUNT {
                        [x[lane], y[lane]] = point(vector * L::COUNT + lane);
                    }
                    let mut power = Point::from_affine(lanes, [lanes.coordinates(&x), lanes.coordinates(&y)]);
                    powers.push(power);
                    for _ in 1..WIDTH {
                        power = power.double(lanes);
                        powers.push(power);
                    }
                }
            },
        );
        for (index, power) in affine::normalize_all(lanes, &powers).iter().enumerate() {
            let (vector, exponent) = (index / WIDTH, index % WIDTH);
            let [x, y] = [lanes.store(&power[0]), lanes.store(&power[1])];
            for lane in 0..L::COUNT {
                self.powers[(vector * L::COUNT + lane) * WIDTH + exponent] = Packed::new(x[lane], y[lane]);
            }
        }
        let filled = comb::fill(lanes, SHAPE.width, &self.powers, &mut self.points, &mut self.memory);
        debug_assert!(filled, "small multiples of a point of prime order differ");
    }

    /// Takes the scalars, in 1..n, of the next vector.
    #[inline(always)]
    pub(crate) fn push_scalars(&mut self, scalars: &LaneWords) {
        self.digits.push(SHAPE.cut::<L>(scalars));
    }

    /// The products of one vector.
    #[inline(always)]
    pub(crate) fn multiply(&self, lanes: L, vector: usize) -> Point<L> {
        let top = SHAPE.rows as usize - 1;
        let mut product = Point::from_affine(lanes, self.gather(lanes, vector, top));
        for row in (0..top).rev() {
            for _ in 0..WIDTH {
                product = product.double(lanes);
            }
            product = product.add_affine(lanes, &self.gather(lanes, vector, row));
        }
        product
    }

    /// The points that a row's digits name, each in its lane's table.
    #[inline(always)]
    fn gather(&self, lanes: L, vector: usize, row: usize) -> Affine<L> {
        let (tables, _) = self.points.as_chunks::<{ SHAPE.points_a_row() }>();
        let tables = &tables[vector * L::COUNT..];
        let digits = &self.digits[vector];
        let mut picks = Picks::all(&tables[0][0]);
        for (lane, table) in tables.iter().enumerate().take(L::COUNT) {
            let (index, negate) = digits.digit(row, lane);
            picks.points[lane] = &table[index];
            picks.negate |= Mask::from(negate) << lane;
        }
        picks.gather(lanes)
    }
}
