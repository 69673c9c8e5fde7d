//! S02, S05: what is a signature, and what is a key, is what aws-lc says it is.
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{Case, Random, curve, der, judge, public, sec1};
use holdfast_p256::{KeyError, PublicKey, Signature};
use num_bigint::BigUint;

fn good(random: &mut Random) -> Case {
    let (d, u1, u2) = (random.scalar(), random.scalar(), random.scalar());
    let x = BigUint::from_bytes_be(&public(&((&u1 + &u2 * &d) % curve::n()))[1..33]);
    Case::of_scalars(public(&d), &u1, &u2, &x).expect("r is not zero")
}

/// Octets changed, lost, doubled or added anywhere: if it still parses, it is the same numbers, written the only way there is.
#[test]
fn a_signature_has_one_encoding() {
    let random = &mut Random(41);
    let case = good(random);
    let whole = der(&case.r, &case.s);
    assert!(judge(&case.key, &case.digest, &whole));
    assert_eq!(Signature::from_der(&whole), Signature::from_scalars(&common::bytes(&case.r), &common::bytes(&case.s)));
    let mut seen = 0;
    let mut check = |octets: &[u8]| {
        if octets != whole {
            let same =
                Signature::from_der(octets).is_some_and(|signature| Some(signature) == Signature::from_der(&whole));
            assert!(!same, "{octets:x?}");
            assert!(!judge(&case.key, &case.digest, octets), "{octets:x?}");
            seen += 1;
        }
    };
    for cut in 0..whole.len() {
        check(&whole[..cut]);
        check(&[&whole[..cut], &whole[cut + 1..]].concat());
        for octet in 0..=255 {
            check(&[&whole[..cut], &[octet], &whole[cut + 1..]].concat());
            check(&[&whole[..cut], &[octet], &whole[cut..]].concat());
        }
    }
    check(&[&whole[..], &[0]].concat());
    assert!(seen > 30_000);
}

/// Every way of writing small numbers that a lax reader might take: aws-lc takes none but one, and so it is here.
#[test]
fn only_minimal_integers_are_read() {
    let case = good(&mut Random(42));
    let plain = |contents: &[u8]| [&[0x02, u8::try_from(contents.len()).unwrap()][..], contents].concat();
    let integers: [&[u8]; 12] = [
        &[],
        &[0],
        &[0, 0],
        &[1],
        &[0, 1],
        &[0x7f],
        &[0x80],
        &[0, 0x80],
        &[0xff],
        &[0xff, 0x7f],
        &[0, 0xff, 0xff],
        &[0x80, 0],
    ];
    for r in integers {
        for s in integers {
            let inside = [plain(r), plain(s)].concat();
            let octets = [&[0x30, u8::try_from(inside.len()).unwrap()][..], &inside].concat();
            let minimal = |octets: &[u8]| matches!(octets, [0x01..=0x7f] | [0, 0x80] | [0, 0xff, 0xff]);
            assert_eq!(Signature::from_der(&octets).is_some(), minimal(r) && minimal(s), "{octets:x?}");
            assert!(!judge(&case.key, &case.digest, &octets));
        }
    }
    for odd in [
        &[0x30][..],
        &[],
        &[0x31, 0],
        &[0x30, 0x80, 0, 0],
        &[0x30, 0x81, 6, 2, 1, 1, 2, 1, 1],
        &[0x30, 6, 3, 1, 1, 2, 1, 1],
    ] {
        assert!(Signature::from_der(odd).is_none(), "{odd:x?}");
    }
    assert!(Signature::from_der(&[0x30, 6, 2, 1, 1, 2, 1, 1]).is_some());
    // Lengths of 128 and more, in long form, are nothing a signature could need.
    let long = [&[0x30, 0x81, 0x88, 0x02, 0x81, 0x82][..], &[1; 0x82], &[2, 1, 1]].concat();
    assert!(Signature::from_der(&long).is_none());
    assert!(!judge(&case.key, &case.digest, &long));
}

#[test]
fn a_key_is_an_uncompressed_point_of_the_curve() {
    let random = &mut Random(43);
    let point = curve::mul(&random.scalar(), &curve::generator());
    let octets = sec1(&point);
    let accepted = |octets: &[u8]| {
        aws_lc_rs::signature::ParsedPublicKey::new(&aws_lc_rs::signature::ECDSA_P256_SHA256_ASN1, octets).is_ok()
    };
    let check = |octets: &[u8], wanted: Result<(), KeyError>| {
        assert_eq!(PublicKey::from_sec1(octets).map(|_| ()), wanted, "{octets:x?}");
        octets.to_vec()
    };
    assert!(accepted(&check(&octets, Ok(()))));
    // Off the curve: each coordinate off by one, exchanged, zero.
    let [x, y] = point.clone().unwrap();
    for wrong in [[&x + 1u8, y.clone()], [x.clone(), &y + 1u8], [y.clone(), x.clone()], [BigUint::ZERO, BigUint::ZERO]]
    {
        assert!(!accepted(&check(&sec1(&Some(wrong)), Err(KeyError::NotOnCurve))));
    }
    // Coordinates at or above p, among them ones that are on the curve modulo p.
    let p = curve::p();
    let small = (1u32..).find_map(|x| curve::y_of(&x.into()).map(|y| [BigUint::from(x), y])).unwrap();
    assert!(accepted(&check(&sec1(&Some(small.clone())), Ok(()))));
    for wrong in [[&small[0] + &p, small[1].clone()], [p.clone(), y.clone()], [x.clone(), p.clone()]] {
        assert!(!accepted(&check(&sec1(&Some(wrong)), Err(KeyError::CoordinateTooLarge))));
    }
    // Infinity, compressed, hybrid, other lengths: aws-lc takes the compressed form, RFC 5480 §2.2 need not.
    let with_tag = |tag: u8, length: usize| [&[tag][..], &octets[1..length]].concat();
    for wrong in
        [vec![], vec![0], vec![4], with_tag(2, 33), with_tag(3, 33), with_tag(6, 65), with_tag(7, 65), with_tag(0, 65)]
    {
        check(&wrong, Err(KeyError::NotUncompressed));
    }
    for wrong in [&octets[..64], &[&octets[..], &[0]].concat()] {
        assert!(!accepted(&check(wrong, Err(KeyError::NotUncompressed))));
    }
}
