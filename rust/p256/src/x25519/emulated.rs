//! Processors for tests: one that every machine can be, and one that computes with intervals.

use crate::instructions::{Floating, HIGH, Instructions, LIMB_MASK, LOW, MultiplyAdd52, power_of_two};
use crate::lanes::LANES_MAX;

/// Eight lanes on every machine: AVX-512 IFMA, and AVX2 with twice the lanes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Emulated;

type Lanes = [u64; LANES_MAX];

fn each(lane: impl FnMut(usize) -> u64) -> Lanes {
    core::array::from_fn(lane)
}

fn float(lane: impl Fn(usize) -> f64) -> Lanes {
    each(|i| lane(i).to_bits())
}

impl Instructions for Emulated {
    const LANES: usize = LANES_MAX;
    type Vector = Lanes;

    fn run<T>(self, work: impl FnOnce() -> T) -> T {
        work()
    }

    fn vector(self, numbers: Lanes) -> Lanes {
        numbers
    }

    fn numbers(self, vector: Lanes) -> Lanes {
        vector
    }

    fn constant(self, number: u64) -> Lanes {
        [number; LANES_MAX]
    }

    fn add(self, a: Lanes, b: Lanes) -> Lanes {
        each(|i| a[i].wrapping_add(b[i]))
    }

    fn sub(self, a: Lanes, b: Lanes) -> Lanes {
        each(|i| a[i].wrapping_sub(b[i]))
    }

    fn and(self, a: Lanes, b: Lanes) -> Lanes {
        each(|i| a[i] & b[i])
    }

    fn shift_left(self, a: Lanes, by: u32) -> Lanes {
        a.map(|a| a << by)
    }

    fn shift_right(self, a: Lanes, by: u32) -> Lanes {
        a.map(|a| a >> by)
    }

    fn select(self, by: Lanes, clear: Lanes, set: Lanes) -> Lanes {
        each(|i| if by[i] >> 63 == 1 { set[i] } else { clear[i] })
    }
}

impl Floating for Emulated {
    fn float_add(self, a: Lanes, b: Lanes) -> Lanes {
        float(|i| f64::from_bits(a[i]) + f64::from_bits(b[i]))
    }

    fn float_sub(self, a: Lanes, b: Lanes) -> Lanes {
        float(|i| f64::from_bits(a[i]) - f64::from_bits(b[i]))
    }

    fn float_mul_add(self, a: Lanes, b: Lanes, c: Lanes) -> Lanes {
        float(|i| f64::from_bits(a[i]).mul_add(f64::from_bits(b[i]), f64::from_bits(c[i])))
    }
}

fn product_of_52(a: u64, b: u64) -> u128 {
    u128::from(a & LIMB_MASK) * u128::from(b & LIMB_MASK)
}

#[expect(clippy::cast_possible_truncation, reason = "a product of 104 bits, cut to halves")]
impl MultiplyAdd52 for Emulated {
    fn add_low_product(self, sum: Lanes, a: Lanes, b: Lanes) -> Lanes {
        each(|i| sum[i].wrapping_add(product_of_52(a[i], b[i]) as u64 & LIMB_MASK))
    }

    fn add_high_product(self, sum: Lanes, a: Lanes, b: Lanes) -> Lanes {
        each(|i| sum[i].wrapping_add((product_of_52(a[i], b[i]) >> 52) as u64))
    }
}

/// A processor whose lanes hold all that a lane may hold: what holds for its results holds for all inputs. It panics where bounds are
/// too wide to tell, or an operation would lose something.
#[derive(Clone, Copy, Debug)]
pub(super) struct Intervals;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Interval {
    /// The numbers from `from` to `from + width` modulo 2^64.
    Bits { from: u64, width: u64 },
    /// The integers from one floating-point number to another.
    Floats { from: f64, to: f64 },
}

use Interval::{Bits, Floats};

impl Interval {
    fn between(from: u64, to: u64) -> Self {
        Bits { from, width: to.checked_sub(from).expect("in order") }
    }

    /// Both ends, of an interval that does not contain both the largest number and zero.
    pub(super) fn ends(self) -> [u64; 2] {
        let Bits { from, width } = self else { panic!("{self:?}") };
        [from, from.checked_add(width).expect("no step from the largest number to zero")]
    }

    /// Both ends, as floating-point numbers of one exponent have them in their bits.
    pub(super) fn floats(self) -> [f64; 2] {
        if let Floats { from, to } = self {
            return [from, to];
        }
        let [from, to] = self.ends();
        assert_eq!(from >> 52, to >> 52, "one sign and one exponent");
        [from, to].map(f64::from_bits)
    }

    fn within(from: f64, to: f64, bound: f64) -> Self {
        assert!(-bound <= from && from <= to && to <= bound, "{from} {to}");
        Floats { from, to }
    }
}

impl Instructions for Intervals {
    const LANES: usize = LANES_MAX;
    type Vector = Interval;

    fn run<T>(self, work: impl FnOnce() -> T) -> T {
        work()
    }

    fn vector(self, numbers: Lanes) -> Interval {
        numbers.iter().fold(Interval::between(numbers[0], numbers[0]), |interval, number| {
            let [from, to] = interval.ends();
            Interval::between(from.min(*number), to.max(*number))
        })
    }

    fn numbers(self, _: Interval) -> Lanes {
        unreachable!("the ladder's end is not tested so")
    }

    fn constant(self, number: u64) -> Interval {
        Bits { from: number, width: 0 }
    }

    fn add(self, a: Interval, b: Interval) -> Interval {
        let (Bits { from: a, width: a_width }, Bits { from: b, width: b_width }) = (a, b) else {
            panic!("{a:?} {b:?}")
        };
        Bits { from: a.wrapping_add(b), width: a_width.checked_add(b_width).expect("less than everything") }
    }

    fn sub(self, a: Interval, b: Interval) -> Interval {
        let Bits { from, width } = b else { panic!("{b:?}") };
        self.add(a, Bits { from: from.wrapping_add(width).wrapping_neg(), width })
    }

    fn and(self, a: Interval, mask: Interval) -> Interval {
        let ([_, to], [mask, same]) = (a.ends(), mask.ends());
        assert_eq!(mask, same);
        Interval::between(0, to.min(mask))
    }

    fn shift_left(self, a: Interval, by: u32) -> Interval {
        let Bits { from, width } = a else { panic!("{a:?}") };
        Bits { from: from << by, width: width.checked_mul(1 << by).expect("less than everything") }
    }

    fn shift_right(self, a: Interval, by: u32) -> Interval {
        let [from, to] = a.ends();
        Interval::between(from >> by, to >> by)
    }

    fn select(self, _: Interval, clear: Interval, set: Interval) -> Interval {
        assert_eq!(clear, set, "one interval for all elements");
        clear
    }
}

impl Floating for Intervals {
    fn float_add(self, a: Interval, b: Interval) -> Interval {
        let ([a_from, a_to], [b_from, b_to]) = (a.floats(), b.floats());
        Interval::within(a_from + b_from, a_to + b_to, power_of_two(53))
    }

    fn float_sub(self, a: Interval, b: Interval) -> Interval {
        let ([a_from, a_to], [b_from, b_to]) = (a.floats(), b.floats());
        Interval::within(a_from - b_to, a_to - b_from, power_of_two(53))
    }

    fn float_mul_add(self, _: Interval, _: Interval, _: Interval) -> Interval {
        unreachable!("only to split products")
    }

    /// As its contract says; that it is kept is tested with numbers.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to far below 2^63")]
    fn split_product(self, a: Interval, b: Interval) -> [Interval; 2] {
        let ([a_from, a_to], [b_from, b_to]) = (a.floats(), b.floats());
        let largest = a_from.abs().max(a_to.abs()) * b_from.abs().max(b_to.abs());
        assert!(largest <= power_of_two(102), "{largest}");
        let high = (largest / power_of_two(51)).ceil() as u64;
        let around = |middle: f64, half: u64| Bits { from: middle.to_bits() - half, width: 2 * half };
        [around(HIGH, high), around(LOW, 1 << 50)]
    }
}

impl Intervals {
    /// The interval of the low 52 bits' products.
    fn product(a: Interval, b: Interval) -> u128 {
        let [a, b] = [a, b].map(|factor| factor.ends()[1].min(LIMB_MASK));
        product_of_52(a, b)
    }
}

#[expect(clippy::cast_possible_truncation, reason = "a product of 104 bits, cut to halves")]
impl MultiplyAdd52 for Intervals {
    fn add_low_product(self, sum: Interval, a: Interval, b: Interval) -> Interval {
        self.add(sum, Interval::between(0, Self::product(a, b).min(LIMB_MASK.into()) as u64))
    }

    fn add_high_product(self, sum: Interval, a: Interval, b: Interval) -> Interval {
        self.add(sum, Interval::between(0, (Self::product(a, b) >> 52) as u64))
    }
}
