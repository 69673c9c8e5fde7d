//! Every operation of `Lanes`, in each back end and lane, against plain big integers: values chosen to carry, to overflow and to sit at
//! the bounds of what an operation takes. `HOLDFAST_KERNEL_CASES` says how many; see `cases`.

use core::marker::PhantomData;

use num_bigint::BigUint;

#[path = "../tests/common/curve.rs"]
#[allow(dead_code, unreachable_pub, reason = "a tool box of all tests")]
pub(crate) mod curve;
#[path = "../tests/common/random.rs"]
#[allow(dead_code, unreachable_pub, reason = "a tool box of all tests")]
pub(crate) mod random;

use random::Random;

#[cfg(target_arch = "x86_64")]
use crate::ifma::{Ifma, Residues};
use crate::jacobian::Point;
use crate::lanes::{Element, LANES_MAX, LaneWords, Lanes, Mask, Packed};
use crate::montgomery::{Field, Modulus, Order, Residue};
use crate::portable::Portable;
use crate::words::{self, B, G, N, P, Words};

/// Values with limbs of the test's choosing.
pub(crate) trait Raw: Lanes {
    const LIMB_BITS: u32;
    fn value_of<M: Modulus>(self, limbs: [[u64; 5]; LANES_MAX]) -> Self::Residue<M>;
    fn limbs_of<M: Modulus>(self, value: &Self::Residue<M>) -> [[u64; 5]; LANES_MAX];
}

#[cfg(target_arch = "x86_64")]
impl Raw for Ifma {
    const LIMB_BITS: u32 = 52;

    fn value_of<M: Modulus>(self, limbs: [[u64; 5]; LANES_MAX]) -> Residues<M> {
        Residues(core::array::from_fn(|limb| Self::vector_of(limbs.map(|limbs| limbs[limb]))), PhantomData)
    }

    fn limbs_of<M: Modulus>(self, value: &Residues<M>) -> [[u64; 5]; LANES_MAX] {
        let limbs = value.0.map(Self::lanes_of);
        core::array::from_fn(|lane| limbs.map(|limb| limb[lane]))
    }
}

/// It keeps its values below the modulus: whatever is above, is taken off.
impl Raw for Portable {
    const LIMB_BITS: u32 = 64;

    fn value_of<M: Modulus>(self, limbs: [[u64; 5]; LANES_MAX]) -> Residue<M> {
        let [a, b, c, d, mut top] = limbs[0];
        let mut words = [a, b, c, d];
        while top > 0 || !words::less(words, M::M) {
            let (less, borrow) = words::sub(words, M::M);
            (words, top) = (less, top - u64::from(borrow));
        }
        Residue::from_montgomery(words)
    }

    fn limbs_of<M: Modulus>(self, value: &Residue<M>) -> [[u64; 5]; LANES_MAX] {
        let [a, b, c, d] = value.montgomery();
        [[a, b, c, d, 0]; LANES_MAX]
    }
}

/// Cases of each kind: 200,000 in a release build, some thousands where every operation is checked.
pub(crate) fn cases() -> usize {
    let asked = std::env::var("HOLDFAST_KERNEL_CASES").ok().map(|count| count.parse().expect("a number"));
    asked.unwrap_or(if cfg!(debug_assertions) { 4_000 } else { 200_000 })
}

impl Random {
    /// A number below `bound`: random, or of limbs that are all zeros or all ones, or next to a multiple of the modulus or a power of two.
    pub(crate) fn number(&mut self, modulus: &BigUint, bound: &BigUint) -> BigUint {
        let one = BigUint::from(1u8);
        let small = BigUint::from(self.below(4));
        let limbs = |random: &mut Self, bits: u64, ones: u64| {
            (0..300 / bits).fold(BigUint::ZERO, |number, _| {
                let limb = match random.below(3) {
                    0 => 0,
                    1 => ones,
                    _ => random.word() & ones,
                };
                (number << bits) | BigUint::from(limb)
            })
        };
        let number = match self.below(7) {
            0 | 1 => limbs(self, 52, (1 << 52) - 1),
            2 => limbs(self, 64, u64::MAX),
            3 => modulus * self.below(5) + small,
            4 => (modulus * (1 + self.below(4))) - small,
            5 => (&one << self.below(260)) - (small & &one),
            _ => (0..5).fold(BigUint::ZERO, |number, _| (number << 64) | BigUint::from(self.word())),
        };
        number % bound
    }
}

pub(crate) fn big(words: Words) -> BigUint {
    words.iter().rev().fold(BigUint::ZERO, |number, word| (number << 64) | BigUint::from(*word))
}

pub(crate) fn small(number: &BigUint) -> Words {
    let mut words = [0; 4];
    for (word, digit) in words.iter_mut().zip(number.iter_u64_digits()) {
        *word = digit;
    }
    assert!(number.bits() <= 256);
    words
}

/// One back end under test, with numbers on one side and its values on the other.
struct Bench<L> {
    lanes: L,
    random: Random,
    /// 2^230: what tight allows above p.
    slack: BigUint,
}

type Numbers = [BigUint; LANES_MAX];

impl<L: Raw> Bench<L> {
    fn new(lanes: L, seed: u64) -> Self {
        Self { lanes, random: Random(seed), slack: BigUint::from(1u8) << 230 }
    }

    /// Numbers below `bound` multiples of the modulus (1 is: tight), and the same as a value.
    fn values<M: Modulus>(&mut self, bound: u64) -> (Numbers, L::Residue<M>) {
        let modulus = big(M::M);
        let limit = if bound == 1 { &modulus + &self.slack } else { &modulus * bound };
        let numbers: Numbers = core::array::from_fn(|_| self.random.number(&modulus, &limit));
        let value = self.value(&numbers);
        (numbers, value)
    }

    fn value<M: Modulus>(&self, numbers: &Numbers) -> L::Residue<M> {
        let mask = (BigUint::from(1u8) << L::LIMB_BITS) - 1u8;
        let limb = |number: &BigUint, limb: usize| {
            let shifted = number >> (limb * L::LIMB_BITS as usize);
            let limb = if limb < 4 { shifted & &mask } else { shifted };
            limb.iter_u64_digits().next().unwrap_or(0)
        };
        self.lanes.value_of(core::array::from_fn(|lane| core::array::from_fn(|index| limb(&numbers[lane], index))))
    }

    fn numbers<M: Modulus>(&self, value: &L::Residue<M>) -> Vec<BigUint> {
        let limbs = self.lanes.limbs_of(value);
        let sum = |limbs: &[u64; 5]| {
            limbs.iter().rev().fold(BigUint::ZERO, |number, limb| (number << L::LIMB_BITS) + BigUint::from(*limb))
        };
        limbs.iter().take(L::COUNT).map(sum).collect()
    }

    /// The value is `wanted` in each lane, modulo the modulus, within its bound, with its limbs carried.
    fn check<M: Modulus>(&self, what: &str, value: &L::Residue<M>, bound: u64, wanted: impl Fn(usize) -> BigUint) {
        let modulus = big(M::M);
        let limit = if bound == 1 { &modulus + &self.slack } else { &modulus * bound };
        let limbs = self.lanes.limbs_of(value);
        for (lane, number) in self.numbers(value).iter().enumerate() {
            assert_eq!(number % &modulus, wanted(lane) % &modulus, "{what}, lane {lane}");
            assert!(*number < limit, "{what}, lane {lane}: {number:x} is not below {bound} times the modulus");
            let carried = limbs[lane][..4].iter().all(|limb| L::LIMB_BITS == 64 || *limb >> L::LIMB_BITS == 0);
            assert!(carried, "{what}, lane {lane}: {limbs:x?}");
        }
    }

    fn mask(&mut self) -> Mask {
        self.random.word().to_le_bytes()[0]
    }

    fn multiplications<M: Modulus>(&mut self) {
        let lanes = self.lanes;
        let modulus = big(M::M);
        let radix_inverse = (BigUint::from(1u8) << L::RADIX_BITS).modinv(&modulus).unwrap();
        let ((a, left), (b, right)) = (self.values::<M>(4), self.values::<M>(4));
        self.check("mul", &lanes.mul(&left, &right), 2, |lane| &a[lane] * &b[lane] * &radix_inverse);
        let mask = self.mask();
        let chosen = |lane: usize| if mask >> lane & 1 == 1 { &a[lane] } else { &b[lane] };
        self.check("select", &lanes.select(mask, &left, &right), 4, |lane| chosen(lane).clone());
        for distance in [1, 2, 4].into_iter().filter(|distance| *distance < L::COUNT) {
            self.check("exchange", &lanes.exchange(distance, &left), 4, |lane| a[lane ^ distance].clone());
        }
        let a4 = a;
        let (a, product) = self.values::<M>(2);
        for (lane, words) in lanes.store(&product).into_iter().enumerate().take(L::COUNT) {
            assert_eq!(big(words), &a[lane] % &modulus, "store, lane {lane}");
        }
        let any: Numbers = core::array::from_fn(|_| self.random.number(&modulus, &(BigUint::from(1u8) << 256)));
        let any_words: LaneWords = core::array::from_fn(|lane| small(&any[lane]));
        self.check("load", &lanes.load::<M>(&any_words), 4, |lane| any[lane].clone());
        self.check("to_montgomery", &lanes.to_montgomery::<M>(&lanes.load(&any_words)), 2, |lane| {
            &any[lane] << L::RADIX_BITS
        });
        for (lane, words) in lanes.to_numbers::<M>(&left).into_iter().enumerate().take(L::COUNT) {
            assert_eq!(big(words), &a4[lane] * &radix_inverse % &modulus, "to_numbers, lane {lane}");
        }
        self.check("one", &lanes.one::<M>(), 1, |_| BigUint::from(1u8) << L::RADIX_BITS);
    }

    fn inversions<M: Modulus>(&mut self) {
        let modulus = big(M::M);
        let (a, value) = self.values::<M>(2);
        let radix_squared = BigUint::from(1u8) << (2 * L::RADIX_BITS);
        if a.iter().take(L::COUNT).all(|number| *number != BigUint::ZERO && *number != modulus) {
            self.check("invert", &self.lanes.invert(&value), 2, |lane| {
                &radix_squared * a[lane].modinv(&modulus).expect("modulo a prime")
            });
        }
    }

    fn field(&mut self) {
        let lanes = self.lanes;
        let p = big(P);
        let radix_inverse = (BigUint::from(1u8) << L::RADIX_BITS).modinv(&p).unwrap();
        let minus = |number: &BigUint| &p * 16u8 - number;
        let ((a, left), (b, right)) = (self.values::<Field>(4), self.values::<Field>(4));
        let ((c, product), (d, other)) = (self.values::<Field>(2), self.values::<Field>(2));
        let ((e, tight), (f, also)) = (self.values::<Field>(1), self.values::<Field>(1));
        let mask = self.mask();
        let signed = |lane: usize, number: BigUint| if mask >> lane & 1 == 1 { &p - number % &p } else { number };
        let times = |a: &BigUint, b: &BigUint| a * b * &radix_inverse;

        self.check("square", &lanes.square(&left), 2, |lane| times(&a[lane], &a[lane]));
        self.check("mul_sub 1", &lanes.mul_sub::<1>(&left, &right, &product), 1, |lane| {
            times(&a[lane], &b[lane]) + minus(&c[lane])
        });
        self.check("mul_sub 8", &lanes.mul_sub::<8>(&left, &right, &product), 1, |lane| {
            times(&a[lane], &b[lane]) + minus(&c[lane]) * 8u8
        });
        self.check("mul_sub_signed", &lanes.mul_sub_signed(mask, &left, &right, &product), 1, |lane| {
            signed(lane, times(&a[lane], &b[lane]) + minus(&c[lane]))
        });
        self.check("square_sub 2 1", &lanes.square_sub::<2, 1>(&left, &product, &right), 1, |lane| {
            times(&a[lane], &a[lane]) + minus(&c[lane]) * 2u8 + minus(&b[lane])
        });
        self.check("square_sub 8 0", &lanes.square_sub::<8, 0>(&left, &product, &product), 1, |lane| {
            times(&a[lane], &a[lane]) + minus(&c[lane]) * 8u8
        });
        self.check("sum", &lanes.sum(&product, &other), 4, |lane| &c[lane] + &d[lane]);
        self.check("difference", &lanes.difference(&product, &tight), 4, |lane| &c[lane] + minus(&e[lane]));
        self.check("difference_signed", &lanes.difference_signed(mask, &tight, &also), 1, |lane| {
            signed(lane, e[lane].clone()) + minus(&f[lane])
        });
        self.check("scaled_difference 3 3", &lanes.scaled_difference::<3, 3>(&product, &other), 1, |lane| {
            &c[lane] * 3u8 + minus(&d[lane]) * 3u8
        });
        self.check("scaled_difference 4 1", &lanes.scaled_difference::<4, 1>(&product, &other), 1, |lane| {
            &c[lane] * 4u8 + minus(&d[lane])
        });

        // In some lanes the same residue, as itself or with p more: there and nowhere else is the difference zero.
        let same: Numbers = core::array::from_fn(|lane| {
            let more = &e[lane] + &p * self.random.below(2);
            if mask >> lane & 1 == 1 && more < &p * 2u8 { more } else { c[lane].clone() }
        });
        let zero = lanes.is_zero_difference(&lanes.difference(&self.value(&same), &tight));
        for lane in 0..L::COUNT {
            let wanted = &same[lane] % &p == &e[lane] % &p;
            assert_eq!(
                zero >> lane & 1 == 1,
                wanted,
                "is_zero_difference, lane {lane}: {:x} {:x}",
                same[lane],
                e[lane]
            );
        }
    }

    fn gathers(&mut self) {
        let lanes = self.lanes;
        let p = big(P);
        let numbers: [[BigUint; 2]; LANES_MAX] =
            core::array::from_fn(|_| core::array::from_fn(|_| self.random.number(&p, &p)));
        let points = numbers.each_ref().map(|[x, y]| Packed::new(small(x), small(y)));
        let [x, y] = lanes.gather(|lane| &points[lane]);
        for (what, value, index) in [
            ("gather x", x, 0),
            ("gather y", y, 1),
            ("gather_x", lanes.gather_x(|lane| &points[lane]), 0),
            ("gather_y", lanes.gather_y(|lane| &points[lane]), 1),
        ] {
            self.check::<Field>(what, &value, 1, |lane| numbers[lane][index].clone());
        }
    }

    fn all(&mut self, cases: usize) {
        for round in 0..cases.div_ceil(L::COUNT) {
            self.lanes.run(|| {
                self.multiplications::<Field>();
                self.multiplications::<Order>();
                self.field();
                self.gathers();
                if round % 16 == 0 {
                    self.inversions::<Field>();
                    self.inversions::<Order>();
                }
            });
        }
    }
}

#[test]
fn portable_arithmetic_agrees_with_big_integers() {
    Bench::new(Portable, 1).all(cases() / 4);
}

#[cfg(target_arch = "x86_64")]
#[test]
fn ifma_arithmetic_agrees_with_big_integers() {
    if let Some(lanes) = Ifma::detect() {
        Bench::new(lanes, 2).all(cases());
    }
}

/// Affine coordinates of a Jacobian point, by big integers.
fn affine<L: Raw>(lanes: L, point: &Point<L>, lane: usize) -> Option<[BigUint; 2]> {
    let p = big(P);
    let number = |value: &Element<L>| big(lanes.to_numbers::<Field>(value)[lane]);
    let inverse = number(&point.z).modinv(&p)?;
    let squared = &inverse * &inverse;
    Some([number(&point.x) * &squared % &p, number(&point.y) * squared * inverse % &p])
}

/// Additions and doublings in every lane, special cases among them: those, and only those, end with Z = 0.
fn jacobian_formulas_are_right<L: Raw>(lanes: L) {
    let random = &mut Random(3);
    // ±G to ±6G: few enough that equal and opposite points meet all the time.
    let few: Vec<_> = (1u8..=6)
        .map(|factor| curve::mul(&factor.into(), &curve::generator()))
        .flat_map(|point| [point.clone(), curve::negate(&point)])
        .collect();
    for _ in 0..if cfg!(debug_assertions) { 40 } else { 400 } {
        let chosen: [[curve::Point; LANES_MAX]; 4] =
            core::array::from_fn(|_| core::array::from_fn(|_| few[random.below(few.len())].clone()));
        let [a, b, c, d] = chosen.each_ref().map(|points| {
            [0, 1].map(|index: usize| {
                lanes.coordinates(&points.each_ref().map(|point| small(&point.as_ref().unwrap()[index])))
            })
        });
        let sum = Point::sum_of_affine(lanes, &a, &b).double(lanes).add_affine(lanes, &c);
        let sum = sum.add(lanes, &Point::from_affine(lanes, d).double(lanes));
        let (_, lost) = sum.squared_z(lanes);
        for lane in 0..L::COUNT {
            let [a, b, c, d] = chosen.each_ref().map(|points| &points[lane]);
            // The same in big integers; lost from the first addition on whose points have the same x, or one of which is infinite.
            let mut is_lost = false;
            let mut add = |a: &curve::Point, b: &curve::Point| {
                is_lost |= a.as_ref().zip(b.as_ref()).is_none_or(|(a, b)| a[0] == b[0]);
                curve::add(a, b)
            };
            let ab = add(a, b);
            let abc = add(&curve::add(&ab, &ab), c);
            let all = add(&abc, &curve::add(d, d));
            assert_eq!(lost >> lane & 1 == 1, is_lost, "lane {lane}");
            if !is_lost {
                assert_eq!(affine(lanes, &sum, lane), all, "lane {lane}");
            }
        }
    }
}

#[test]
fn portable_jacobian_formulas_are_right() {
    jacobian_formulas_are_right(Portable);
}

#[cfg(target_arch = "x86_64")]
#[test]
fn ifma_jacobian_formulas_are_right() {
    if let Some(lanes) = Ifma::detect() {
        jacobian_formulas_are_right(lanes);
    }
}

#[test]
fn division_is_right_for_every_kind_of_divisor() {
    fn check<M: Modulus>(random: &mut Random, count: usize) {
        let modulus = big(M::M);
        for _ in 0..count {
            let (c, x) = (random.number(&modulus, &modulus), random.number(&modulus, &modulus));
            let quotient = big(crate::inverse::divide::<M>(small(&c), small(&x)));
            assert!(quotient < modulus);
            if x == BigUint::ZERO {
                assert_eq!(quotient, BigUint::ZERO);
            } else {
                assert_eq!(quotient * x % &modulus, c);
            }
        }
    }
    let mut random = Random(4);
    check::<Field>(&mut random, cases() / 4);
    check::<Order>(&mut random, cases() / 4);
}

#[test]
fn constants_are_those_of_the_curve() {
    assert_eq!([big(P), big(N)], [curve::p(), curve::n()]);
    assert_eq!(Some(G.map(big)), curve::generator());
    let [x, y] = G.map(big);
    assert_eq!(&y * &y % curve::p(), (&x * &x * &x + (curve::p() - 3u8) * &x + big(B)) % curve::p());
    // n is prime and n·G is infinity, so n is the order.
    assert_eq!(curve::mul(&curve::n(), &curve::generator()), None);
    assert_eq!(big(words::power_of_two(520, P)), (BigUint::from(1u8) << 520) % curve::p());
}
