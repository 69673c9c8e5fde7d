//! Digits, tables and sums, against plain big integers.

use num_bigint::BigUint;

use crate::arithmetic_tests::curve;
use crate::arithmetic_tests::random::Random;
use crate::arithmetic_tests::{big, small};
use crate::comb::{Comb, Shape, powers};
#[cfg(target_arch = "x86_64")]
use crate::ifma::Ifma;
use crate::lanes::{LANES_MAX, LaneWords, Lanes};
use crate::portable::Portable;
use crate::sum::Sums;
use crate::words::{G, N, P};

fn scalars(random: &mut Random) -> LaneWords {
    let n = big(N);
    core::array::from_fn(|_| small(&(random.number(&n, &(&n - 1u8)) + 1u8)))
}

#[test]
fn digits_add_up_to_their_scalar_and_are_never_zero() {
    let random = &mut Random(61);
    for width in 2..=16 {
        let shape = Shape::new(width);
        for _ in 0..if cfg!(miri) { 1 } else { 200 } {
            let scalars = scalars(random);
            let digits = shape.cut::<Portable>(&scalars);
            let mut sum = BigUint::ZERO;
            for row in 0..shape.rows as usize {
                let (index, negate) = digits.digit(row, 0);
                assert!(index < shape.points_a_row());
                let term = (BigUint::from(2 * index + 1) << (row * width as usize)) % big(N);
                sum += if negate { big(N) - term } else { term };
            }
            assert_eq!(sum % big(N), big(scalars[0]), "width {width}");
        }
    }
}

/// Sums of table points in every number of vectors are the multiples that their scalars say.
fn sums_are_multiples<L: Lanes>(lanes: L) {
    let random = &mut Random(62);
    let shape = Shape::new(if cfg!(miri) { 3 } else { 6 });
    let comb = Comb::build(lanes, shape, G).expect("a table");
    let mut sums = Sums::new();
    for vectors in if cfg!(miri) { vec![1] } else { vec![1, 2, 3, 9] } {
        let scalars: Vec<_> = (0..vectors).map(|_| scalars(random)).collect();
        let digits: Vec<_> = scalars.iter().map(|scalars| shape.cut::<L>(scalars)).collect();
        let tables = [&*comb.points; LANES_MAX];
        let rows = 0..shape.rows as usize;
        let picks: Vec<_> =
            rows.flat_map(|row| digits.iter().map(move |digits| digits.row::<L>(row, &tables))).collect();
        sums.add_up(lanes, vectors, &picks, None);
        for (vector, scalars) in scalars.iter().enumerate() {
            let (total, lost) = sums.total(vector);
            let (zz, at_infinity) = total.squared_z(lanes);
            let (x, zz) = (lanes.to_numbers(&total.x), lanes.to_numbers(&zz));
            for lane in 0..L::COUNT {
                if (lost | at_infinity) >> lane & 1 == 0 {
                    let Some([wanted, _]) = curve::mul(&big(scalars[lane]), &curve::generator()) else {
                        panic!("a scalar below n gives no infinity")
                    };
                    assert_eq!(wanted * big(zz[lane]) % big(P), big(x[lane]), "{vectors} vectors, lane {lane}");
                }
            }
        }
    }
}

/// The self-test of a table finds one wrong bit in any of its points, and two points that changed places.
fn a_wrong_point_is_found<L: Lanes>(lanes: L) {
    let random = &mut Random(63);
    let point = curve::mul(&random.scalar(), &curve::generator()).map(|point| point.map(|number| small(&number)));
    let point = point.expect("not infinity");
    let shape = Shape::new(4);
    let mut comb = Comb::build(lanes, shape, point).expect("a table");
    let powers = powers(shape, point);
    assert!(comb.is_right(lanes, &powers));
    for place in 0..comb.points.len() {
        let right = comb.points[place];
        comb.points[place].0[random.below(8)] ^= 1 << random.below(64);
        assert!(!comb.is_right(lanes, &powers), "point {place}");
        comb.points[place] = right;
        // Any other point, one in the same row, one in the same column.
        for other in [random.below(comb.points.len()), place ^ 1, place ^ 8] {
            comb.points.swap(place, other);
            assert!(place == other || !comb.is_right(lanes, &powers), "points {place} and {other}");
            comb.points.swap(place, other);
        }
    }
    assert!(!comb.is_right(lanes, &crate::comb::powers(shape, G)), "the table of another point");
    assert!(comb.is_right(lanes, &powers));
}

#[test]
fn portable_sums_are_multiples() {
    sums_are_multiples(Portable);
}

#[test]
#[cfg_attr(miri, ignore = "hours")]
fn portable_table_with_a_wrong_point_is_found() {
    a_wrong_point_is_found(Portable);
}

#[cfg(target_arch = "x86_64")]
#[test]
fn ifma_sums_are_multiples() {
    if let Some(lanes) = Ifma::detect() {
        sums_are_multiples(lanes);
    }
}

#[cfg(target_arch = "x86_64")]
#[test]
fn ifma_table_with_a_wrong_point_is_found() {
    if let Some(lanes) = Ifma::detect() {
        a_wrong_point_is_found(lanes);
    }
}
