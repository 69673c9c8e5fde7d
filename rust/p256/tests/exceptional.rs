//! S11: keys, digests and signatures chosen so that the sums meet equal or opposite points, zero scalars, or an x above n. The verdict is
//! aws-lc's in every lane and way of adding up, and nobody else's changes.
#![allow(
    clippy::expect_used,
    clippy::many_single_char_names,
    clippy::unwrap_used,
    reason = "a test fails by panicking; letters are those of the standard"
)]

mod common;

use common::curve::{self, Point};
use common::{Case, Prepared, Random, judge, public, sec1};
use holdfast_p256::{Backend, Job, Kernel, Scratch, Verdict};
use num_bigint::BigUint;

/// A case and why it is odd.
struct Odd {
    why: &'static str,
    case: Case,
    /// Whether the kernel must leave it open, if that is known.
    undecided: Option<bool>,
}

/// The signature with scalars u1 and u2 under d·G; `None` if the sum is infinity or its x is zero modulo n.
fn under(d: &BigUint, u1: &BigUint, u2: &BigUint) -> Option<Case> {
    let sum = (u1 + u2 * d) % curve::n();
    if sum == BigUint::ZERO {
        return None;
    }
    let x = BigUint::from_bytes_be(&public(&sum)[1..33]);
    Case::of_scalars(public(d), u1, u2, &x)
}

/// The sum of the rows `from..to` of a table with windows of `width` bits, as a scalar: signs of all bits but the lowest, the topmost plus.
fn part(scalar: &BigUint, width: u64, from: u64, to: u64) -> BigUint {
    let n = curve::n();
    let even = !scalar.bit(0);
    let odd = if even { &n - scalar } else { scalar.clone() };
    let bits = 256u64.div_ceil(width) * width;
    let mut sum = BigUint::ZERO;
    for bit in width * from..width * to {
        let power = BigUint::from(1u8) << bit;
        let plus = bit + 1 == bits || odd.bit(bit + 1);
        sum += if plus { power } else { &n * (BigUint::from(1u8) << 16) - power };
    }
    if even { (&n - sum % &n) % n } else { sum % n }
}

fn odd_cases() -> Vec<Odd> {
    let n = curve::n();
    let one = BigUint::from(1u8);
    let random = &mut Random(11);
    let mut odd = Vec::new();
    let mut push = |why, case: Option<Case>, undecided| {
        if let Some(case) = case {
            odd.push(Odd { why, case, undecided });
        }
    };
    // Keys that are small multiples of the generator, and their opposites: many equal points in the two tables.
    for factor in [1u32, 2, 3, 5, 1 << 8, 1 << 13, 1 << 16, (1 << 13) + 1] {
        for d in [BigUint::from(factor), &n - factor] {
            for _ in 0..6 {
                push("Q is a small multiple of ±G", under(&d, &random.scalar(), &random.scalar()), None);
            }
            for small in 1u8..8 {
                push("Q = ±dG, small scalars", under(&d, &small.into(), &(8 - small).into()), None);
                push("Q = ±dG, scalars near n", under(&d, &(&n - small), &small.into()), None);
            }
            let u2 = random.scalar();
            push("u1·G = u2·Q", under(&d, &(&u2 * &d % &n), &u2), None);
        }
    }
    for _ in 0..20 {
        let (d, u2) = (random.scalar(), random.scalar());
        push("u1·G = u2·Q", under(&d, &(&u2 * &d % &n), &u2), None);
        push("u1 = 1", under(&d, &one, &u2), Some(false));
        push("u1 = n − 1", under(&d, &(&n - 1u8), &u2), Some(false));
        push("u2 = 1", under(&d, &u2, &one), Some(false));
        push("u2 = n − 1", under(&d, &u2, &(&n - 1u8)), Some(false));
        // R = ∞: no r can be right, whatever is claimed.
        let u1 = (&n - &u2 * &d % &n) % &n;
        let r = random.scalar();
        let s = &r * u2.modinv(&n).unwrap() % &n;
        let infinite = Case { key: public(&d), digest: common::bytes(&(&u1 * &s % &n)), r, s };
        push("u1·G = −u2·Q: the sum is infinity", Some(infinite), Some(true));
        // e ≡ 0: u1 = 0, so R = u2·Q; once rightly, once not. As 0 and as n, which is the same.
        let right = under(&d, &BigUint::ZERO, &u2).unwrap();
        for digest in [[0; 32], common::bytes(&n)] {
            push("e ≡ 0, right", Some(Case { digest, ..right.clone() }), Some(true));
            push("e ≡ 0, wrong", Some(Case { digest, r: random.scalar(), ..right.clone() }), Some(true));
        }
        // A digest between n and 2^256 stands for e − n.
        let case = under(&d, &random.scalar(), &u2).unwrap();
        let e = BigUint::from_bytes_be(&case.digest);
        if (&e + &n).bits() <= 256 {
            push("e + n", Some(Case { digest: common::bytes(&(e + &n)), ..case }), Some(false));
        }
    }
    // A part of u1·G that equals a part of ±u2·Q, as the tables cut them: the key is what makes them equal.
    for (from, to) in [(0, 20), (4, 20), (8, 20), (16, 20), (0, 2)] {
        for count in [1, 2, 4, 8, 12, 16, 32] {
            let (u1, u2) = (random.scalar(), random.scalar());
            let whole = (from, to) == (0, 2);
            let theirs = if whole { u2.clone() } else { part(&u2, 8, 0, count) };
            let d = part(&u1, 13, from, to) * theirs.modinv(&n).unwrap() % &n;
            push("a part of u1·G is a part of u2·Q", under(&d, &u1, &u2), None);
            push("a part of u1·G is a part of −u2·Q", under(&(&n - d), &u1, &u2), None);
        }
    }
    // The last window of five bits finds the sum of all others equal to its own point: n ≡ 17 modulo 32.
    for u2 in [BigUint::from(34u8), &n - 34u8] {
        push("u2 = ±34", under(&random.scalar(), &random.scalar(), &u2), None);
    }
    // An R whose x is at or above n, or so small that r + n is below p too: the key is what makes that R come out.
    let recovered = |random: &mut Random, r_point: &Point| {
        let [x, _] = r_point.clone().unwrap();
        let (u1, u2) = (random.scalar(), random.scalar());
        let rest = curve::add(r_point, &curve::negate(&curve::mul(&u1, &curve::generator())));
        let key = curve::mul(&u2.modinv(&curve::n()).unwrap(), &rest);
        Case::of_scalars(sec1(&key), &u1, &u2, &x)
    };
    let points = |from: BigUint| {
        (0u32..).map(move |step| &from + step).filter_map(|x| curve::y_of(&x).map(|y| Some([x, y]))).take(8)
    };
    for point in points(&n + 1u8) {
        let case = recovered(random, &point).unwrap();
        let other = (&case.r + 1u8) % &n;
        push("x(R) ≥ n: r is x − n", Some(case.clone()), Some(false));
        push("x(R) ≥ n, but r is off by one", Some(Case { r: other, ..case }), Some(false));
    }
    for point in points(curve::p() - 40u8).filter(|point| point.as_ref().unwrap()[0] < curve::p()) {
        push("x(R) just below p", recovered(random, &point), Some(false));
    }
    for point in points(one.clone()) {
        push("x(R) tiny: r, where r + n would do as well", recovered(random, &point), Some(false));
    }
    let gap = curve::p() - &n;
    for point in points(&gap - 4u8).chain(points(&n - 5u8)) {
        push("x(R) where r + n stops being below p, or near n", recovered(random, &point), Some(false));
    }
    odd
}

/// Neighbours with nothing odd about them, by turns good and bad.
fn neighbours(count: usize) -> Vec<(Case, bool)> {
    let random = &mut Random(12);
    (0..count)
        .map(|index| {
            let mut case = under(&random.scalar(), &random.scalar(), &random.scalar()).unwrap();
            let good = index % 3 != 0;
            if !good {
                case.digest[31] ^= 1;
            }
            (case, good)
        })
        .collect()
}

/// Puts each odd case in each lane of batches of every kind. How many were left open in small batches, and in large ones.
fn check(kernel: &Kernel, known: bool, odd: &[&Odd], neighbours: &[(Case, bool)]) -> [usize; 2] {
    let mut scratch = Scratch::default();
    let near: Vec<_> = neighbours.iter().map(|(case, _)| Prepared::new(kernel, &case.key)).collect();
    let mut left_open = [0; 2];
    for odd in odd {
        let key = Prepared::new(kernel, &odd.case.key);
        let wanted = odd.case.judged();
        let signature = odd.case.signature().expect("in range");
        let context = format!("{}, {}, alone", kernel.backend(), odd.why);
        match kernel.verify_alone(&key.strip, &odd.case.digest, &signature).verdict {
            Verdict::Valid => assert!(wanted && odd.undecided != Some(true), "{context}"),
            Verdict::Invalid => assert!(!wanted && odd.undecided != Some(true), "{context}"),
            Verdict::Undecided => assert_ne!(odd.undecided, Some(false), "{context}"),
        }
        for count in [1, 2, 4, 8, 40] {
            // Each lane of one vector; where there are no lanes, or every operation is checked, the first and the last.
            let all_lanes = kernel.backend() == Backend::Ifma && !cfg!(debug_assertions);
            let places = if all_lanes { (0..count.min(8)).collect() } else { vec![0, count - 1] };
            for place in places {
                let job = |at: usize| {
                    let (case, key) = if at == place { (&odd.case, &key) } else { (&neighbours[at].0, &near[at]) };
                    Job { key: key.as_key(known), digest: case.digest, signature: case.signature().expect("in range") }
                };
                let jobs: Vec<_> = (0..count).map(job).collect();
                for (at, finding) in kernel.verify(&jobs, &mut scratch).iter().enumerate() {
                    let context = format!("{}, {}, known {known}, job {at} of {count}", kernel.backend(), odd.why);
                    if at != place {
                        let good = neighbours[at].1;
                        assert_eq!(finding.verdict == Verdict::Valid, good, "{context}: a neighbour");
                        assert_ne!(finding.verdict, Verdict::Undecided, "{context}: a neighbour");
                        continue;
                    }
                    left_open[usize::from(count > 8)] += usize::from(finding.verdict == Verdict::Undecided);
                    match finding.verdict {
                        Verdict::Valid => assert!(wanted, "{context}"),
                        Verdict::Invalid => assert!(!wanted, "{context}"),
                        Verdict::Undecided => {}
                    }
                    if let Some(undecided) = odd.undecided {
                        assert_eq!(finding.verdict == Verdict::Undecided, undecided, "{context}");
                    }
                }
            }
        }
    }
    left_open
}

#[test]
fn exceptional_points_get_the_verdict_of_the_plain_verifier_in_every_lane() {
    let odd = odd_cases();
    // The cases are what they claim: signatures made from scalars are valid, but for those made wrong.
    for odd in &odd {
        let wrong = ["is infinity", "wrong", "off by one"].iter().any(|mark| odd.why.contains(mark));
        assert_eq!(odd.case.judged(), !wrong, "{}", odd.why);
    }
    let near = neighbours(40);
    for (case, good) in &near {
        assert_eq!(case.judged(), *good);
    }
    for kernel in common::kernels() {
        for known in [true, false] {
            let colliding: Vec<_> =
                odd.iter().filter(|odd| odd.why.contains("part") || odd.why.contains("34")).collect();
            let [small, large] = check(&kernel, known, &colliding, &near);
            assert!(small > 0 && large > 0, "{} {known}: the sums collided: {small} {large}", kernel.backend());
            let others = odd.iter().filter(|odd| odd.undecided.is_some() || !odd.why.contains("part"));
            // A debug build takes every fourth.
            let others: Vec<_> = others.step_by(if cfg!(debug_assertions) { 4 } else { 1 }).collect();
            check(&kernel, known, &others, &near);
        }
    }
}

/// S02: r and s out of range never reach the kernel, and aws-lc agrees that they are never valid.
#[test]
fn scalars_out_of_range_are_no_signature() {
    let random = &mut Random(13);
    let n = curve::n();
    let good = under(&random.scalar(), &random.scalar(), &random.scalar()).unwrap();
    assert!(good.judged() && good.signature().is_some());
    let all_ones: BigUint = (BigUint::from(1u8) << 256) - 1u8;
    let out = [BigUint::ZERO, n.clone(), &n + 1u8, &n + &good.r, all_ones.clone(), all_ones + 1u8, &n * 2u8];
    for wrong in out {
        for case in [Case { r: wrong.clone(), ..good.clone() }, Case { s: wrong.clone(), ..good.clone() }] {
            assert!(case.signature().is_none(), "{case:?}");
            assert!(!judge(&case.key, &case.digest, &common::der(&case.r, &case.s)));
        }
    }
    // The nearest acceptance: −s is as good as s, and n − 1 is in range.
    assert!(Case { s: &n - &good.s, ..good.clone() }.judged());
    assert!(Case { s: n - 1u8, ..good }.signature().is_some());
}
