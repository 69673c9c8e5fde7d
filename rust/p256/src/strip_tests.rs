//! Strips on every back end, on eight lanes made of portable ones too: against aws-lc, and against plain big integers.

use aws_lc_rs::digest::{Digest, SHA256};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use num_bigint::BigUint;

use crate::arithmetic_tests::curve;
use crate::arithmetic_tests::random::Random;
use crate::arithmetic_tests::{big, small};
use crate::comb::{Comb, Shape};
use crate::eight::Eight;
#[cfg(target_arch = "x86_64")]
use crate::ifma::Ifma;
use crate::lanes::Lanes;
use crate::portable::Portable;
use crate::strip::{Powers, Strip};
use crate::words::{self, G, N, Words};

fn key(secret: &BigUint) -> [Words; 2] {
    let point = curve::mul(secret, &curve::generator()).expect("not infinity");
    point.map(|number| small(&number))
}

/// e, r and s of a signature that is verified with the scalars u1 and u2 under secret·G.
fn equation(secret: &BigUint, u1: &BigUint, u2: &BigUint) -> Option<[Words; 3]> {
    let n = big(N);
    let [x, _] = curve::mul(&((u1 + u2 * secret) % &n), &curve::generator())?;
    let r = x % &n;
    let s = &r * u2.modinv(&n)? % &n;
    let e = u1 * &s % &n;
    (r != BigUint::ZERO).then(|| [small(&e), small(&r), small(&s)])
}

fn judged(point: [Words; 2], [e, r, s]: [Words; 3]) -> bool {
    let octets = [&[4][..], &words::to_be_bytes(point[0]), &words::to_be_bytes(point[1])].concat();
    let integer = |number: Words| {
        let mut octets = big(number).to_bytes_be();
        if octets[0] >= 0x80 {
            octets.insert(0, 0);
        }
        [&[2, u8::try_from(octets.len()).expect("short")][..], &octets].concat()
    };
    let inside = [integer(r), integer(s)].concat();
    let der = [&[0x30, u8::try_from(inside.len()).expect("short")][..], &inside].concat();
    let digest = Digest::import_less_safe(&words::to_be_bytes(e), &SHA256).expect("32 bytes");
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, octets).verify_digest(&digest, &der).is_ok()
}

/// Random and chosen scalars, right and spoilt, under random keys and such as are near the generator.
fn verdicts_are_aws_lcs<L: Lanes>(lanes: L) {
    let random = &mut Random(71);
    let (n, one) = (big(N), BigUint::from(1u8));
    let generator = Comb::build(lanes, Shape::new(6), G).expect("a table");
    let mut undecided = 0;
    for number in 0..10 {
        let secret = match number {
            0 => one.clone(),
            1 => &n - 1u8,
            2 => BigUint::from(2u8),
            3 => &n - 2u8,
            4 => &one << 32,
            5 => &one << 16,
            _ => random.scalar(),
        };
        let point = key(&secret);
        let strip = Strip::build(lanes, point).expect("a strip");
        let chosen = [one.clone(), &n - 1u8, BigUint::from(2u8), (&one << 128) - 1u8, &one << 255, &one << 16, &n >> 1];
        let scalars: Vec<_> = chosen.into_iter().chain((0..3).map(|_| random.scalar())).collect();
        // Pairs that differ from key to key, equal ones and a first of zero among them.
        let firsts = scalars.iter().chain([&BigUint::ZERO]);
        for (u1, u2) in firsts.zip(scalars.iter().skip(number % 3).cycle()) {
            let Some([e, r, s]) = equation(&secret, u1, u2) else { continue };
            let flipped = |[a, b, c, d]: Words| [a, b ^ 1 << 7, c, d];
            let wrong = [[flipped(e), r, s], [e, flipped(r), s], [e, r, flipped(s)]];
            for (equation, valid) in [([e, r, s], true)].into_iter().chain(wrong.map(|wrong| (wrong, false))) {
                let context = format!("u1 {u1:x}, u2 {u2:x} under {secret:x}");
                if let Some(verdict) = strip.verify(lanes, &generator, equation) {
                    assert_eq!(verdict, valid, "{context}");
                } else {
                    undecided += 1;
                    assert!(number < 6 || *u1 == BigUint::ZERO, "{context}");
                }
                assert_eq!(judged(point, equation), valid, "{context}");
            }
        }
    }
    assert!(undecided > 0, "u1 = 0 is left open");
}

/// A signature whose r is x − n verifies, and the other x that the same r might stand for does not.
fn an_x_above_n_is_met<L: Lanes>(lanes: L) {
    let n = big(N);
    let generator = Comb::build(lanes, Shape::new(6), G).expect("a table");
    let random = &mut Random(72);
    let points = (1u32..).filter_map(|step| {
        let x = &n + step;
        curve::y_of(&x).map(|y| Some([x, y]))
    });
    for sum in points.take(3) {
        let (u1, u2) = (random.scalar(), random.scalar());
        let rest = curve::add(&sum, &curve::negate(&curve::mul(&u1, &curve::generator())));
        let point = curve::mul(&u2.modinv(&n).expect("modulo a prime"), &rest).expect("not infinity");
        let point = point.map(|number| small(&number));
        let r = sum.expect("not infinity")[0].clone() - &n;
        let s = &r * u2.modinv(&n).expect("modulo a prime") % &n;
        let equation = [small(&(u1 * &s % &n)), small(&r), small(&s)];
        assert!(judged(point, equation));
        let strip = Strip::build(lanes, point).expect("a strip");
        assert_eq!(strip.verify(lanes, &generator, equation), Some(true));
        let off_by_one = [equation[0], small(&(r + 1u8)), equation[2]];
        assert_eq!(strip.verify(lanes, &generator, off_by_one), Some(false));
    }
}

/// The self-test of a strip finds one wrong bit in any of its points, and two points that changed places.
fn a_wrong_point_is_found<L: Lanes>(lanes: L) {
    let random = &mut Random(73);
    let point = key(&random.scalar());
    let powers = Powers::of::<L>(point);
    let mut strip = Strip::build(lanes, point).expect("a strip");
    for place in 0..strip.0.len() {
        let right = strip.0[place];
        strip.0[place].0[random.below(8)] ^= 1 << random.below(64);
        assert!(!strip.is_right(lanes, &powers), "point {place}");
        strip.0[place] = right;
        for other in 0..strip.0.len() {
            strip.0.swap(place, other);
            assert_eq!(strip.is_right(lanes, &powers), place == other, "points {place} and {other}");
            strip.0.swap(place, other);
        }
    }
    assert!(!strip.is_right(lanes, &Powers::of::<L>(G)), "the strip of another point");
}

/// One wrong bit in any point of a strip that is in service: no signature passes for it, and what is right is at most refused.
fn a_point_spoilt_later_accepts_nothing<L: Lanes>(lanes: L) {
    let random = &mut Random(74);
    let generator = Comb::build(lanes, Shape::new(6), G).expect("a table");
    let secret = random.scalar();
    let good = equation(&secret, &random.scalar(), &random.scalar()).expect("a signature");
    let strip = Strip::build(lanes, key(&secret)).expect("a strip");
    assert_eq!(strip.verify(lanes, &generator, good), Some(true));
    let mut refused = 0;
    for place in 0..strip.0.len() {
        let mut spoilt = strip.clone();
        spoilt.0[place].0[random.below(8)] ^= 1 << random.below(64);
        refused += usize::from(spoilt.verify(lanes, &generator, good) != Some(true));
        let forged = [good[0], good[1], small(&random.scalar())];
        assert_ne!(spoilt.verify(lanes, &generator, forged), Some(true), "point {place}");
    }
    assert!(refused > strip.0.len() / 2, "most points are used by a product");
}

macro_rules! on_every_back_end {
    ($($test:ident)*) => {
        mod portable { $(
            #[test]
            #[cfg_attr(miri, ignore = "hours")]
            fn $test() {
                super::$test(super::Portable);
            }
        )* }
        mod eight { $(
            #[test]
            #[cfg_attr(miri, ignore = "hours")]
            fn $test() {
                super::$test(super::Eight);
            }
        )* }
        #[cfg(target_arch = "x86_64")]
        mod ifma { $(
            #[test]
            fn $test() {
                if let Some(lanes) = super::Ifma::detect() {
                    super::$test(lanes);
                }
            }
        )* }
    };
}

on_every_back_end! {
    verdicts_are_aws_lcs
    an_x_above_n_is_met
    a_wrong_point_is_found
    a_point_spoilt_later_accepts_nothing
}
