//! Whatever the octets: what is read as an ECDSA signature is the DER of two numbers in 1..n, and of nothing else; and every such DER is
//! read.
#![no_main]

use holdfast_fuzz::Input;
use holdfast_fuzz::forge::{element, sequence};
use holdfast_p256::Signature;

/// The order of P-256's group, SEC 2 §2.4.2.
const N: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6, 0xfa,
    0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
];

/// The one DER of a number.
fn integer(number: &[u8; 32]) -> Vec<u8> {
    let minimal = number.iter().position(|octet| *octet != 0).map_or(&number[31..], |first| &number[first..]);
    let sign = if minimal[0] >= 0x80 { &[0][..] } else { &[] };
    element(2, &[&[sign, minimal].concat()])
}

fn der(r: &[u8; 32], s: &[u8; 32]) -> Vec<u8> {
    sequence(&[integer(r), integer(s)])
}

/// The last 32 octets of an INTEGER whose contents these are, if nothing is lost.
fn number(contents: &[u8]) -> Option<[u8; 32]> {
    let cut = contents.len().saturating_sub(32);
    let mut number = [0; 32];
    number[32 - (contents.len() - cut)..].copy_from_slice(&contents[cut..]);
    contents[..cut].iter().all(|octet| *octet == 0).then_some(number)
}

fn in_range(number: &[u8; 32]) -> bool {
    *number != [0; 32] && *number < N
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Some(signature) = Signature::from_der(data) {
        let (r, rest) = data[4..].split_at(usize::from(data[3]));
        let (r, s) = (number(r).expect("r fits"), number(&rest[2..]).expect("s fits"));
        assert!(in_range(&r) && in_range(&s));
        assert_eq!(Some(signature), Signature::from_scalars(&r, &s));
        assert_eq!(der(&r, &s), data, "a second encoding");
    }
    let mut input = Input(data);
    let [r, s] = [input.take(32), input.take(32)].map(|octets| number(octets).expect("32 octets at most"));
    assert_eq!(Signature::from_der(&der(&r, &s)).is_some(), in_range(&r) && in_range(&s));
    assert_eq!(Signature::from_der(&der(&r, &s)), Signature::from_scalars(&r, &s));
});
